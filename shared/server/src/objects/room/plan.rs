//! Plan → one atomic batch → apply: how events enter the room.

use std::{collections::HashMap, sync::Arc};

use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedUserId, UserId, api::error::ErrorKind,
    events::room::member::MembershipState, room_version_rules::RoomVersionRules,
};
use serde_json::value::to_raw_value;
use skerry_core::{
    Pdu,
    authorize::{self, Refusal, StateKey},
    engine::{Known, Num, StateAt, States, Verdict},
    pdu::{self, BuildError, MAX_PREV_EVENTS, NewEvent},
};

use super::{
    Room,
    load::{End, Loaded, StateEvent},
    membership::power_levels,
    memory::Recent,
    rows::Entering,
};
use crate::{
    Error, Result,
    messages::room::{Position, SentBy},
    ports::Stmt,
    store::room::{events::Standing, meta},
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

/// A membership that has changed: whose, to what, where, and by which event.
pub(super) type Changed = (OwnedUserId, MembershipState, Position, Option<Arc<Pdu>>);

/// A decision: what to write, and what the room will be once it is written.
#[derive(Debug)]
#[must_use = "a plan does nothing until it is committed"]
pub(super) struct Plan {
    pub(super) stmts: Vec<Stmt>,
    pub(super) head: Position,
    pub(super) typing_head: Position,
    /// The forward extremities.
    pub(super) ends: Vec<End>,
    /// Whether the store says which they are.
    pub(super) ends_stored: bool,
    /// As [`Loaded::is_linear`].
    pub(super) is_linear: bool,
    /// The current state.
    pub(super) state: StateAt,
    pub(super) changed: HashMap<StateKey, Option<StateEvent>>,
    appended: Vec<Recent>,
    /// Events that are stored, and those they name as authorizing them.
    pub(super) stored: Vec<(OwnedEventId, Num, Box<[Num]>)>,
    /// Those of them that the engine remembers.
    pub(super) known: Vec<Arc<Known>>,
    joined: i64,
    invited: i64,
    /// Local users whose membership changed, in order.
    pub(super) memberships: Vec<Changed>,
}

impl Plan {
    /// Nothing yet.
    pub(super) fn new(room: &Loaded) -> Self {
        Self {
            stmts: Vec::new(),
            head: room.head,
            typing_head: room.typing_head,
            ends: room.ends.clone(),
            ends_stored: room.ends_stored,
            is_linear: room.is_linear,
            state: room.state,
            changed: HashMap::new(),
            appended: Vec::new(),
            stored: Vec::new(),
            known: Vec::new(),
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

    /// Leaves positions free for history that may come.
    pub(super) fn leave_gap(&mut self, positions: u64) {
        self.head += positions;
    }

    /// The newest position taken.
    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// The room has a new newest event that clients see.
    pub(super) fn append(&mut self, event: Recent) {
        self.appended.push(event);
    }

    /// The room as the plan leaves it.
    pub(super) fn apply(&mut self, room: &mut Loaded) {
        room.head = self.head;
        room.typing_head = self.typing_head;
        room.ends = std::mem::take(&mut self.ends);
        room.ends_stored = self.ends_stored;
        room.is_linear = self.is_linear;
        room.state = self.state;
        for (key, event) in self.changed.drain() {
            room.memory.state_changed(key, event);
        }
        for event in self.appended.drain(..) {
            room.memory.append(event);
        }
        for (event_id, num, auth) in self.stored.drain(..) {
            room.graph.stored(&event_id, num, &auth);
        }
        for known in self.known.drain(..) {
            room.graph.insert(known);
        }
        room.joined = room.joined.saturating_add_signed(self.joined);
        room.invited = room.invited.saturating_add_signed(self.invited);
    }

    /// Counts a change of membership.
    pub(super) fn count(&mut self, membership: &MembershipState, by: i64) {
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
            let event = plan.changed.get(&key)?.clone()?;
            Some((key, event))
        }));
        Ok(found)
    }

    /// Plans one event: chooses its auth events, makes it, and checks it against the state before
    /// it. Refuses what the state does not allow.
    pub(super) async fn plan_event(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
    ) -> Result<Arc<Pdu>> {
        let needed = needed_state(&draft, &room.rules)?;
        if plan.ends.len() > MAX_PREV_EVENTS {
            return self.plan_aside(room, plan, draft, &needed).await;
        }
        let state = self.planned_state(room, plan, &needed).await?;
        let ends = std::mem::take(&mut plan.ends);
        let transaction = draft.transaction.clone();
        let sender = draft.sender;
        let pdu = self.build(room, plan.head, draft, &ends, &state);
        plan.ends = ends;
        let pdu = Arc::new(pdu?);
        let is_named = |key: &StateKey| authorize::is_auth_event(key, &room.rules);
        let named = state.iter().filter(|(key, _)| is_named(key));
        let authorizing: Vec<_> = named.map(|(_, (num, _))| *num).collect();
        let state: Vec<_> = state.into_iter().map(|(key, (_, it))| (key, it)).collect();
        authorize::check(&pdu, &state, &room.rules).map_err(refused)?;
        let may_notify = || may_notify(&state, sender, &room.rules);
        self.add(room, plan, (&pdu, &authorizing), transaction, may_notify).await?;
        Ok(pdu)
    }

    /// Makes the event that a draft asks for, after these events and authorized by this state.
    pub(super) fn build(
        &self,
        room: &Loaded,
        head: Position,
        draft: Draft<'_>,
        prev: &[End],
        state: &[(StateKey, StateEvent)],
    ) -> Result<Pdu> {
        let now = draft.timestamp_ms.unwrap_or_else(|| self.now_ms());
        let event_id = match room.rules.event_format.require_event_id {
            true => Some(pdu::opaque_event_id(&self.id, head, now, &self.server.name)),
            false => None,
        };
        let event_id = event_id.transpose().map_err(not_built)?;
        let event = NewEvent {
            event_id: event_id.as_deref(),
            room_id: Some(&self.id),
            sender: draft.sender,
            event_type: draft.event_type,
            state_key: draft.state_key,
            content: draft.content,
            redacts: draft.redacts,
            prev_events: prev.iter().map(|(_, it)| &**it).collect(),
            auth_events: state
                .iter()
                .filter(|(key, _)| authorize::is_auth_event(key, &room.rules))
                .map(|(_, (_, it))| &**it)
                .collect(),
            depth: prev.iter().map(|(_, it)| it.depth).max().unwrap_or(0) + 1,
            origin_server_ts: now,
        };
        pdu::build(event, &room.rules, &self.server.name, &self.server.signing_key)
            .map_err(not_built)
    }

    /// Adds an event that has been made and checked to the plan: it comes after all extremities.
    pub(super) async fn add(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        (pdu, authorizing): (&Arc<Pdu>, &[Num]),
        transaction: Option<Transaction>,
        may_notify: impl FnOnce() -> bool,
    ) -> Result<()> {
        let num = plan.next_position();
        let event_type = pdu.event_type.to_string();
        let key = pdu.state_key.clone().map(|it| (event_type, it));
        let before = match &key {
            Some(key) => self.planned_state(room, plan, std::slice::from_ref(key)).await?.pop(),
            None => None,
        };
        let before = before.map(|(_, event)| event);
        let states = States {
            before: plan.state,
            after: key.as_ref().map_or(plan.state, |_| StateAt { chain: 0, group: num }),
        };
        let event = Entering {
            num,
            position: num,
            pdu,
            states: Some(states),
            replaces: before.as_ref().map(|(num, _)| *num),
            standing: Standing {
                verdict: Verdict::Accepted,
                auth: key.is_some().then(|| authorizing.into()),
            },
        };
        self.insert_event(plan, event, transaction.as_ref(), may_notify)?;
        if let Some(key) = key {
            let after = Some((num, Arc::clone(pdu)));
            self.change_current(plan, num, key, before.as_ref(), after)?;
        }
        if plan.ends_stored {
            plan.stmts.push(meta::update_ends(self.scope(), None, 0));
            plan.ends_stored = false;
        }
        plan.ends = vec![(num, Arc::clone(pdu))];
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

/// The state that authorizes such an event.
pub(super) fn needed_state(draft: &Draft<'_>, rules: &RoomVersionRules) -> Result<Vec<StateKey>> {
    let content = to_raw_value(&draft.content)?;
    authorize::needed_state(draft.event_type, draft.sender, draft.state_key, &content, rules)
        .map_err(refused)
}

/// Whether the state lets a user notify the whole room.
pub(super) fn may_notify(
    state: &[(StateKey, Arc<Pdu>)],
    sender: &UserId,
    rules: &RoomVersionRules,
) -> bool {
    let piece = |name| state.iter().find(|(key, _)| key.0 == name).map(|(_, it)| &**it);
    let (create, power) = (piece("m.room.create"), piece("m.room.power_levels"));
    power_levels(create, power, rules).is_ok_and(|it| it.user_can_trigger_room_notification(sender))
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
