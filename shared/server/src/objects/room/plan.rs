//! Plan → one atomic batch → apply: how events enter the room.

use std::{collections::HashMap, sync::Arc};

use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedUserId, UserId, api::error::ErrorKind,
    events::room::member::MembershipState,
};
use serde_json::value::to_raw_value;
use skerry_core::{
    Pdu,
    authorize::{self, Refusal, StateKey},
    notify,
    pdu::{self, BuildError, NewEvent},
};

use super::{
    Room,
    load::{Loaded, StateEvent, membership_of},
    membership::power_levels,
    memory::Recent,
};
use crate::{
    Error, Result,
    messages::room::{Position, SentBy},
    ports::Stmt,
    store::room::{
        events::{self, StateAt, Stored, Unread},
        members, state, typing,
    },
};

/// The request an event came from.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    /// The device and its transaction ID.
    pub(super) sent_by: SentBy,
    /// What a transaction ID is unique within ([spec]): the rest of the path, ID included.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
    pub(super) path: String,
}

/// An event somebody wants to send.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) sender: &'a UserId,
    pub(super) event_type: &'a str,
    pub(super) state_key: Option<&'a str>,
    pub(super) content: CanonicalJsonObject,
    pub(super) redacts: Option<&'a EventId>,
    pub(super) timestamp_ms: Option<u64>,
    pub(super) transaction: Option<Transaction>,
}

impl<'a> Draft<'a> {
    /// A state event.
    pub(super) fn state(
        sender: &'a UserId,
        event_type: &'a str,
        state_key: &'a str,
        content: CanonicalJsonObject,
    ) -> Self {
        let state_key = Some(state_key);
        Self {
            sender,
            event_type,
            state_key,
            content,
            redacts: None,
            timestamp_ms: None,
            transaction: None,
        }
    }
}

/// A decision: what to write, and what the room will be once it is written.
#[derive(Debug)]
#[must_use = "a plan does nothing until it is committed"]
pub(super) struct Plan {
    pub(super) stmts: Vec<Stmt>,
    head: Position,
    typing_head: Position,
    newest: Option<(OwnedEventId, u64)>,
    state: StateAt,
    changed: HashMap<StateKey, StateEvent>,
    appended: Vec<Recent>,
    joined: i64,
    invited: i64,
    /// Local users whose membership changed, in order.
    pub(super) memberships: Vec<(OwnedUserId, MembershipState, Position, Arc<Pdu>)>,
}

impl Plan {
    /// Nothing yet.
    pub(super) fn new(room: &Loaded) -> Self {
        Self {
            stmts: Vec::new(),
            head: room.head,
            typing_head: room.typing_head,
            newest: room.newest.clone(),
            state: room.state,
            changed: HashMap::new(),
            appended: Vec::new(),
            joined: 0,
            invited: 0,
            memberships: Vec::new(),
        }
    }

    /// Takes the next position of the stream.
    pub(super) fn next_position(&mut self) -> Position {
        self.head += 1;
        self.head
    }

    /// The room as the plan leaves it.
    pub(super) fn apply(&mut self, room: &mut Loaded) {
        room.head = self.head;
        room.typing_head = self.typing_head;
        room.newest = self.newest.take();
        room.state = self.state;
        for (key, event) in self.changed.drain() {
            room.memory.state_changed(key, event);
        }
        for event in self.appended.drain(..) {
            room.memory.append(event);
        }
        room.joined = room.joined.saturating_add_signed(self.joined);
        room.invited = room.invited.saturating_add_signed(self.invited);
    }

    /// Counts a change of membership.
    fn count(&mut self, membership: &MembershipState, by: i64) {
        match membership {
            MembershipState::Join => self.joined += by,
            MembershipState::Invite => self.invited += by,
            _ => {}
        }
    }
}

impl Room {
    /// The pieces of state that the plan, or else the room, has for these keys.
    async fn planned_state(
        &self,
        room: &Loaded,
        plan: &Plan,
        keys: &[StateKey],
    ) -> Result<Vec<(StateKey, StateEvent)>> {
        let (changed, rest): (Vec<_>, Vec<_>) =
            keys.iter().cloned().partition(|key| plan.changed.contains_key(key));
        let mut found = self.state_events(room, &rest).await?;
        found.extend(changed.into_iter().filter_map(|key| {
            let event = plan.changed.get(&key)?.clone();
            Some((key, event))
        }));
        Ok(found)
    }

    /// Plans one event: chooses its auth events, makes it, and checks it against the state before
    /// it. Refuses what the state does not allow.
    pub(super) async fn plan_event(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
    ) -> Result<Arc<Pdu>> {
        let content = to_raw_value(&draft.content)?;
        let needed = authorize::needed_state(
            draft.event_type,
            draft.sender,
            draft.state_key,
            &content,
            &room.rules,
        )
        .map_err(refused)?;
        let state = self.planned_state(room, plan, &needed).await?;
        let prev = plan.newest.clone();
        let event = NewEvent {
            room_id: Some(&self.id),
            sender: draft.sender,
            event_type: draft.event_type,
            state_key: draft.state_key,
            content: draft.content,
            redacts: draft.redacts,
            prev_events: prev.iter().map(|(id, _)| &**id).collect(),
            auth_events: state
                .iter()
                .filter(|(key, _)| authorize::is_auth_event(key, &room.rules))
                .map(|(_, (_, it))| &*it.event_id)
                .collect(),
            depth: prev.as_ref().map_or(1, |(_, depth)| depth + 1),
            origin_server_ts: draft.timestamp_ms.unwrap_or_else(|| self.now_ms()),
        };
        let pdu = pdu::build(event, &room.rules, &self.server.name, &self.server.signing_key)
            .map_err(not_built)?;
        let state: Vec<_> = state.into_iter().map(|(key, (_, it))| (key, it)).collect();
        authorize::check(&pdu, &state, &room.rules).map_err(refused)?;
        let may_notify = || {
            let piece = |name| state.iter().find(|(key, _)| key.0 == name).map(|(_, it)| &**it);
            let (create, power) = (piece("m.room.create"), piece("m.room.power_levels"));
            power_levels(create, power, &room.rules)
                .is_ok_and(|it| it.user_can_trigger_room_notification(draft.sender))
        };
        let pdu = Arc::new(pdu);
        self.add(room, plan, &pdu, draft.transaction, may_notify).await?;
        Ok(pdu)
    }

    /// Adds an event that has been made and checked to the plan.
    pub(super) async fn add(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        pdu: &Arc<Pdu>,
        transaction: Option<Transaction>,
        may_notify: impl FnOnce() -> bool,
    ) -> Result<()> {
        let scope = self.scope();
        let position = plan.next_position();
        let event_type = pdu.event_type.to_string();
        let key = pdu.state_key.clone().map(|it| (event_type.clone(), it));
        let before = match &key {
            Some(key) => self.planned_state(room, plan, std::slice::from_ref(key)).await?.pop(),
            None => None,
        };
        let before = before.map(|(_, event)| event);
        let is_state = key.is_some();
        let notifies = notify::evaluate(&pdu.event_type, &pdu.content, is_state, may_notify);
        let stored = Stored {
            position,
            event_id: pdu.event_id.clone(),
            event_type,
            state_key: pdu.state_key.clone(),
            sender: pdu.sender.to_string(),
            json: pdu.json.to_string(),
            redacted_by: None,
            replaces: before.as_ref().map(|(position, _)| *position),
            sent_by: match &transaction {
                Some(it) => Some(serde_json::to_string(&it.sent_by)?),
                None => None,
            },
        };
        let mentions = match notifies.highlights.as_slice() {
            [] => None,
            users => Some(serde_json::to_string(users)?),
        };
        let level = i64::from(notifies.all) + i64::from(notifies.highlight_all);
        let unread = Unread {
            position,
            sender: stored.sender.clone(),
            notifies: level,
            mentions,
            thread: notifies.thread,
        };
        plan.stmts.push(events::insert(scope, &stored, plan.state, &unread));
        if let Some(Transaction { sent_by, path }) = &transaction {
            let device_id = &sent_by.device_id;
            let stmt = events::insert_transaction(scope, &pdu.sender, device_id, path, position);
            plan.stmts.push(stmt);
        }
        if let Some(key) = key {
            self.add_state(plan, key, before.as_ref(), (position, Arc::clone(pdu)))?;
        }
        plan.appended.push(Recent { stored, unread });
        plan.newest = Some((pdu.event_id.clone(), pdu.depth));
        Ok(())
    }

    /// The part of a state event: its delta, its line in the log, its membership.
    fn add_state(
        &self,
        plan: &mut Plan,
        key: StateKey,
        before: Option<&StateEvent>,
        (position, pdu): StateEvent,
    ) -> Result<()> {
        let scope = self.scope();
        let text = (key.0.as_str(), key.1.as_str());
        let previous = before.map(|(position, _)| *position);
        plan.stmts.push(state::insert_delta(scope, plan.state.chain, text, position));
        plan.stmts.push(state::insert_log(scope, text, position, previous));
        plan.state.group = position;
        if key.0 == "m.room.member" {
            let user_id = UserId::parse(&key.1)
                .map_err(|_| Error::invalid_param("the state key is not a user ID"))?;
            let membership = membership_of(pdu.content.get());
            let is_local = self.server.is_local(&user_id);
            if let Some((_, before)) = before {
                plan.count(&membership_of(before.content.get()), -1);
            }
            plan.count(&membership, 1);
            let stmt = members::upsert(scope, &user_id, &membership, position, is_local);
            plan.stmts.push(stmt);
            if membership != MembershipState::Join && plan.typing_head > 0 {
                plan.stmts.push(typing::remove(scope, user_id.as_str()));
                plan.stmts.push(typing::upsert_changed(scope, position));
                plan.typing_head = position;
            }
            if is_local {
                plan.memberships.push((user_id, membership, position, Arc::clone(&pdu)));
            }
        }
        plan.changed.insert(key, (position, pdu));
        Ok(())
    }

    /// Writes the plan in one batch; only then is the room what the plan says.
    pub(super) async fn commit(&self, room: &mut Loaded, plan: &mut Plan) -> Result<()> {
        let stmts = std::mem::take(&mut plan.stmts);
        self.commit_and_settle(stmts).await?;
        plan.apply(room);
        Ok(())
    }
}

/// What a refusal of core is to a client.
pub(super) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Malformed(message) => Error::bad_json(message),
        Refusal::Forbidden(message) => Error::forbidden(message),
    }
}

/// What an event that could not be made is to a client.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(super) fn not_built(error: BuildError) -> Error {
    let message = error.to_string();
    match error {
        BuildError::Content(_) => Error::bad_json(message),
        BuildError::TooLarge => Error::api(ErrorKind::TooLarge, message),
        BuildError::Format(_) => Error::invalid_param(message),
    }
}
