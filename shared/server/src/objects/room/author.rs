//! Events that this server makes for its users: made, checked against the state before them, added
//! to a plan.

mod create;
mod dummy_event;
mod exchange;
mod invite;
mod membership;
mod off_current;
mod outgoing;
mod policy;
mod redact;
mod remote_member;
mod restricted;
mod send;
mod transaction;

use std::sync::Arc;

use ruma::{api::error::ErrorKind, room_version_rules::RoomVersionRules};
use serde_json::value::to_raw_value;
use skerry_core::{
    Pdu,
    authorize::{self, Refusal, StateKey},
    engine::{NOT_VERIFIED, Num, StateAt, States, Verdict},
    pdu::{self, BuildError, MAX_PREV_EVENTS, NewEvent},
};

use crate::{
    Error, Result,
    messages::room::Position,
    objects::room::{
        Room, limits,
        load::power::may_notify,
        loaded::{
            Loaded,
            decided::EventRow,
            draft::{Draft, Transaction},
            plan::Plan,
            state_event::{Extremity, StateEvent},
        },
    },
    store::room::{events::Judgment, meta},
};

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

    /// The pieces of state that authorize an event with these keys. Refuses it where one is lacking
    /// that could not be verified.
    async fn authorizing_state(
        &self,
        room: &Loaded,
        plan: &Plan,
        keys: &[StateKey],
    ) -> Result<Vec<(StateKey, StateEvent)>> {
        let state = self.planned_state(room, plan, keys).await?;
        let lacks = |key: &&StateKey| !state.iter().any(|it| it.0 == **key);
        match keys.iter().filter(lacks).any(|it| room.engine_memory.is_unverified(it)) {
            true => Err(Error::forbidden(NOT_VERIFIED)),
            false => Ok(state),
        }
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
        if plan.extremities.len() > MAX_PREV_EVENTS {
            return self.plan_off_current(room, plan, draft, &needed).await;
        }
        let state = self.authorizing_state(room, plan, &needed).await?;
        let extremities = std::mem::take(&mut plan.extremities);
        let transaction = draft.transaction.clone();
        let sender = draft.sender;
        let pdu = self.build(room, plan.head, draft, &extremities, &state);
        plan.extremities = extremities;
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
        prev: &[Extremity],
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
        let keys = self.server.keys();
        pdu::build(event, &room.rules, &self.server.name, &keys.current).map_err(not_built)
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
        let row = EventRow {
            num,
            position: num,
            pdu,
            states: Some(states),
            replaces: before.as_ref().map(|(num, _)| *num),
            judgment: Judgment {
                verdict: Verdict::Accepted,
                auth: key.is_some().then(|| authorizing.into()),
            },
        };
        self.insert_event(plan, row, transaction.as_ref(), may_notify)?;
        if let Some(key) = key {
            let after = Some((num, Arc::clone(pdu)));
            self.change_current(plan, num, key, before.as_ref(), after)?;
        }
        if plan.extremities_stored {
            plan.stmts.push(meta::update_extremities(self.scope(), None, 0));
            plan.extremities_stored = false;
        }
        plan.extremities = vec![(num, Arc::clone(pdu))];
        Ok(())
    }
}

/// The state that authorizes such an event.
pub(super) fn needed_state(draft: &Draft<'_>, rules: &RoomVersionRules) -> Result<Vec<StateKey>> {
    let content = to_raw_value(&draft.content)?;
    authorize::needed_state(draft.event_type, draft.sender, draft.state_key, &content, rules)
        .map_err(refused)
}

/// Refuses a reason that is too long.
pub(super) fn check_reason(reason: &str) -> Result<()> {
    if reason.chars().count() > limits::REASON_CHARS {
        return Err(Error::api(ErrorKind::TooLarge, "the reason is too long"));
    }
    Ok(())
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
