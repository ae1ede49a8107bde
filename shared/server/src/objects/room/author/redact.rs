//! Redacting an event of the room.

use std::sync::Arc;

use ruma::{CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId};

use crate::{
    Error, Result,
    messages::{Caller, Requester, room::Redact},
    objects::room::{
        Room,
        author::{check_reason, transaction::transaction},
        loaded::{
            Loaded,
            draft::{Draft, Endpoint, Transaction},
            in_memory,
            plan::Plan,
        },
    },
    store::room::events,
};

impl Room {
    /// Redacts an event.
    pub(crate) async fn redact(self: &Arc<Self>, command: Redact) -> Result<OwnedEventId> {
        let Redact { caller, event_id, reason, transaction_id } = command;
        let mut content = CanonicalJsonObject::new();
        if let Some(reason) = reason {
            check_reason(&reason)?;
            content.insert("reason".to_owned(), reason.into());
        }
        let path = (Endpoint::Redact, event_id.as_str());
        let transaction = transaction(&caller, path, &transaction_id);
        self.append_redaction(&caller, &event_id, content, Some(transaction)).await
    }

    /// A redaction that came through `/send`: its content says what it redacts.
    pub(crate) async fn send_redaction(
        self: &Arc<Self>,
        caller: &Caller,
        content: CanonicalJsonObject,
        transaction: Option<Transaction>,
    ) -> Result<OwnedEventId> {
        let target = match content.get("redacts") {
            Some(CanonicalJsonValue::String(target)) => EventId::parse(target).ok(),
            _ => None,
        };
        let target =
            target.ok_or_else(|| Error::missing_param("the content has no `redacts` event ID"))?;
        self.append_redaction(caller, &target, content, transaction).await
    }

    /// Sends a redaction and applies it in the same batch.
    async fn append_redaction(
        self: &Arc<Self>,
        caller: &Caller,
        target: &EventId,
        mut content: CanonicalJsonObject,
        transaction: Option<Transaction>,
    ) -> Result<OwnedEventId> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &caller.user_id).await?;
        if let Some(event_id) = self.repeated(&caller.user_id, transaction.as_ref()).await? {
            return Ok(event_id);
        }
        let redacted = self.redactable(room, caller, target).await?;
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
        if self.policy_server(room).await?.is_some() {
            drop(guard);
            return self.send_by_policy(draft, || Ok(())).await;
        }
        let mut plan = Plan::new(room);
        let pdu = self.plan_event(room, &mut plan, draft).await?;
        if redacted.redacted_by.is_none() {
            let by = plan.extremities.last().map_or(0, |(num, _)| *num);
            plan.redact(&redacted.event_type, redacted.state_key.is_some());
            plan.stmts.push(self.redact_stored(room, redacted.num, &redacted.json, by)?);
        }
        self.commit(room, &mut plan).await?;
        room.memory.redacted(room.head);
        let event_id = pdu.event_id.clone();
        self.deliver_plan(guard, plan).await;
        Ok(event_id)
    }

    /// The event, when this user may redact it: their own, or with the power to redact.
    async fn redactable(
        &self,
        room: &Loaded,
        caller: &Caller,
        target: &EventId,
    ) -> Result<events::StoredEvent> {
        let user_id = &caller.user_id;
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
        let timeline = self.timeline_of_user(room, user_id).await?;
        let requester = Requester::User(caller.clone());
        if !self.may_see(self.audience(room, &requester, &timeline), &stored).await? {
            return Err(Error::not_found("this event is not in the room"));
        }
        Ok(stored)
    }
}
