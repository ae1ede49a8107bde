//! Creating the room, sending into it, redacting.

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId, TransactionId, UserId,
    api::error::ErrorKind, events::room::member::MembershipState,
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{Pdu, pdu, room_version};
use tokio::sync::RwLockWriteGuard;

use super::{
    Room, limits,
    load::{Loaded, membership_of},
    loaded,
    plan::{Changed, Draft, Plan, Transaction, not_built},
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        room::{Create, Redact, Send, SentBy},
    },
    store::room::{events, meta, state},
};

impl Room {
    /// Makes the room: all events of the beginning in one batch.
    pub(super) async fn create(self: &Arc<Self>, command: Create) -> Result<()> {
        let Create { creator, room_version, create_event, state, invites } = command;
        let mut guard = self.state.write().await;
        if guard.is_some() || self.load().await?.is_some() {
            return Err(Error::api(ErrorKind::RoomInUse, "this room exists already"));
        }
        let rules = room_version::rules(&room_version).ok_or_else(|| {
            Error::api(ErrorKind::UnsupportedRoomVersion, "this room version is not supported")
        })?;
        let create = Pdu::from_signed(&create_event, &rules).map_err(not_built)?;
        if create.room_id != self.id || create.sender != creator.user_id {
            return Err(Error::internal("the create event is of another room or user"));
        }
        let mut room = Loaded::empty(room_version, rules);
        let mut plan = Plan::new(&room);
        plan.stmts.push(meta::insert(self.scope(), &room.version));
        plan.stmts.push(state::insert_first_chain(self.scope()));
        self.add(&room, &mut plan, (&Arc::new(create), &[]), None, || false).await?;
        for it in &state {
            let content = pdu::parse_content(&it.content).map_err(not_built)?;
            let draft = Draft::state(&creator.user_id, &it.event_type, &it.state_key, content);
            self.plan_event(&mut room, &mut plan, draft).await?;
        }
        for (user_id, content) in &invites {
            let content = pdu::parse_content(content).map_err(not_built)?;
            let key = user_id.as_str();
            let draft = Draft::state(&creator.user_id, "m.room.member", key, content);
            self.check_target(&draft)?;
            self.plan_event(&mut room, &mut plan, draft).await?;
        }
        self.commit(&mut room, &mut plan).await?;
        *guard = Some(room);
        self.tell_of(guard, plan).await;
        Ok(())
    }

    /// Sends an event.
    pub(super) async fn send(self: &Arc<Self>, command: Send) -> Result<OwnedEventId> {
        let Send { caller, event_type, state_key, content, transaction_id, timestamp_ms } = command;
        let mut content = pdu::parse_content(&content).map_err(not_built)?;
        if event_type == "m.room.member" {
            // Only this server says in whose name somebody joins a restricted room, after it has
            // checked that the rule admits them.
            content.remove("join_authorised_via_users_server");
        }
        if event_type == "m.room.redaction" && state_key.is_none() {
            return self.send_redaction(&caller, content, transaction_id.as_deref()).await;
        }
        let mut guard = self.write().await?;
        let room = loaded(&mut guard)?;
        self.check_joined(room, &caller.user_id).await?;
        let transaction = transaction(&caller, transaction_id.as_deref(), &event_type);
        if let Some(key) = &state_key
            && let Some((_, same)) = self.state_event(room, &event_type, key).await?
            && same.sender == caller.user_id
            && is_same_content(&same.content, &content)
        {
            // A client that sets what is set already gets the event that did.
            return Ok(same.event_id.clone());
        }
        let draft = Draft {
            sender: &caller.user_id,
            event_type: &event_type,
            state_key: state_key.as_deref(),
            content,
            redacts: None,
            timestamp_ms,
            transaction: transaction.clone(),
        };
        self.check_target(&draft)?;
        let mut plan = Plan::new(room);
        match self.plan_and_commit(room, &mut plan, draft).await {
            Ok(event_id) => {
                self.tell_of(guard, plan).await;
                Ok(event_id)
            }
            // Whether the request is a repeated one is read only now: a repeated one violates the
            // key of its transaction, and the others need not wait for a reading.
            Err(error) => match self.repeated(&caller, transaction.as_ref()).await? {
                Some(event_id) => Ok(event_id),
                None => Err(error),
            },
        }
    }

    async fn plan_and_commit(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
    ) -> Result<OwnedEventId> {
        let pdu = self.plan_event(room, plan, draft).await?;
        self.commit(room, plan).await?;
        Ok(pdu.event_id.clone())
    }

    /// Redacts an event.
    pub(super) async fn redact(self: &Arc<Self>, command: Redact) -> Result<OwnedEventId> {
        let Redact { caller, event_id, reason, transaction_id } = command;
        let mut content = CanonicalJsonObject::new();
        if let Some(reason) = reason {
            check_reason(&reason)?;
            content.insert("reason".to_owned(), reason.into());
        }
        self.append_redaction(&caller, &event_id, content, Some(&transaction_id)).await
    }

    /// A redaction that came through `/send`: its content says what it redacts.
    async fn send_redaction(
        self: &Arc<Self>,
        caller: &Caller,
        content: CanonicalJsonObject,
        transaction_id: Option<&TransactionId>,
    ) -> Result<OwnedEventId> {
        let target = match content.get("redacts") {
            Some(CanonicalJsonValue::String(target)) => EventId::parse(target).ok(),
            _ => None,
        };
        let target =
            target.ok_or_else(|| Error::missing_param("the content has no `redacts` event ID"))?;
        self.append_redaction(caller, &target, content, transaction_id).await
    }

    /// Sends a redaction and applies it in the same batch.
    async fn append_redaction(
        self: &Arc<Self>,
        caller: &Caller,
        target: &EventId,
        mut content: CanonicalJsonObject,
        transaction_id: Option<&TransactionId>,
    ) -> Result<OwnedEventId> {
        let mut guard = self.write().await?;
        let room = loaded(&mut guard)?;
        self.check_joined(room, &caller.user_id).await?;
        let transaction = transaction(caller, transaction_id, target.as_str());
        if let Some(event_id) = self.repeated(caller, transaction.as_ref()).await? {
            return Ok(event_id);
        }
        let redacted = self.redactable(room, &caller.user_id, target).await?;
        let in_content = room.rules.redaction.content_field_redacts;
        if in_content {
            content.insert("redacts".to_owned(), target.as_str().to_owned().into());
        }
        let draft = Draft {
            sender: &caller.user_id,
            event_type: "m.room.redaction",
            state_key: None,
            content,
            redacts: (!in_content).then_some(target),
            timestamp_ms: None,
            transaction,
        };
        let mut plan = Plan::new(room);
        let pdu = self.plan_event(room, &mut plan, draft).await?;
        if redacted.redacted_by.is_none() {
            let by = plan.ends.last().map_or(0, |(num, _)| *num);
            plan.stmts.push(self.redact_stored(room, redacted.num, &redacted.json, by)?);
        }
        self.commit(room, &mut plan).await?;
        room.memory.redacted(room.head);
        let event_id = pdu.event_id.clone();
        self.tell_of(guard, plan).await;
        Ok(event_id)
    }

    /// The event, when this user may redact it: their own, or with the power to redact.
    async fn redactable(
        &self,
        room: &Loaded,
        user_id: &UserId,
        target: &EventId,
    ) -> Result<events::Stored> {
        let stored = self.stored_event(target).await?;
        let own = stored.as_ref().is_some_and(|it| it.sender == user_id.as_str());
        if !own {
            let power = self.power_levels(room).await?;
            if !power.user_can_redact_event_of_other(user_id) {
                return Err(Error::forbidden("you lack the power to redact events of others"));
            }
        }
        let stored = stored.ok_or_else(|| Error::not_found("this event is not in the room"))?;
        if stored.event_type == "m.room.create" {
            return Err(Error::forbidden("a create event cannot be redacted"));
        }
        let timeline = self.timeline_of(room, user_id).await?;
        if !self.may_see(&timeline, user_id, &stored).await? {
            return Err(Error::not_found("this event is not in the room"));
        }
        Ok(stored)
    }

    /// The event that this device's transaction has made already.
    async fn repeated(
        &self,
        caller: &Caller,
        transaction: Option<&Transaction>,
    ) -> Result<Option<OwnedEventId>> {
        let Some(Transaction { path, .. }) = transaction else { return Ok(None) };
        let Caller { user_id, device_id } = caller;
        events::find_by_transaction(self.sql(), self.scope(), user_id, device_id, path).await
    }

    /// Refuses who is not joined.
    pub(super) async fn check_joined(&self, room: &Loaded, user_id: &UserId) -> Result<()> {
        match self.membership(room, user_id).await? {
            MembershipState::Join => Ok(()),
            _ => Err(Self::unknown()),
        }
    }

    /// Refuses to invite users of other servers: there is no federation to bring the invitation.
    pub(super) fn check_target(&self, draft: &Draft<'_>) -> Result<()> {
        let (Some(target), "m.room.member") = (draft.state_key, draft.event_type) else {
            return Ok(());
        };
        let target = UserId::parse(target)
            .map_err(|_| Error::invalid_param("the state key is not a user ID"))?;
        let content = serde_json::to_string(&draft.content)?;
        if membership_of(&content) == MembershipState::Invite && !self.server.is_local(&target) {
            return Err(Error::forbidden("users of other servers cannot be invited yet"));
        }
        Ok(())
    }

    /// Lets go of the lock and tells everybody whom the plan concerns.
    pub(super) async fn tell_of(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        plan: Plan,
    ) {
        self.tell_changes(guard, plan.memberships).await;
    }

    /// Lets go of the lock and tells of changed memberships and of activity.
    pub(super) async fn tell_changes(
        self: &Arc<Self>,
        guard: RwLockWriteGuard<'_, Option<Loaded>>,
        memberships: Vec<Changed>,
    ) {
        let watchers = self.watch().take_watchers();
        let head = guard.as_ref().map_or(0, |it| it.head);
        drop(guard);
        self.tell_memberships(memberships).await;
        self.tell_activity_later(watchers, head);
    }
}

/// The request an event comes from; `kind` is its type, or the event it redacts.
fn transaction(
    caller: &Caller,
    transaction_id: Option<&TransactionId>,
    kind: &str,
) -> Option<Transaction> {
    let transaction_id = transaction_id?.to_owned();
    let path = format!("{kind}/{transaction_id}");
    let device_id = caller.device_id.clone();
    Some(Transaction { sent_by: SentBy { device_id, transaction_id }, path })
}

/// Whether stored content is the same as content to be sent.
fn is_same_content(stored: &RawJsonValue, content: &CanonicalJsonObject) -> bool {
    pdu::parse_content(stored).is_ok_and(|it| it == *content)
}

/// Refuses a reason that is too long.
pub(super) fn check_reason(reason: &str) -> Result<()> {
    if reason.chars().count() > limits::REASON_CHARS {
        return Err(Error::api(ErrorKind::TooLarge, "the reason is too long"));
    }
    Ok(())
}
