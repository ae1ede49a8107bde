//! What is written of an event: its row, and what it changes of the current state.

use std::sync::Arc;

use ruma::{ServerName, UserId, events::room::member::MembershipState};
use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{StateAt, Verdict},
    notify,
};

use crate::{
    Error, Result,
    messages::room::Position,
    objects::room::{
        Room, limits,
        loaded::{
            decided::EventRow,
            draft::Transaction,
            effects::Due,
            plan::Plan,
            recent::Recent,
            state_event::{ENCRYPTION, StateEvent, membership_of},
        },
    },
    store::room::{
        events::{self, StoredEvent},
        graph, members, servers, state,
        unread::Unread,
    },
};

impl Room {
    /// The row of a new event, and what belongs to it.
    pub(crate) fn insert_event(
        &self,
        plan: &mut Plan,
        row: EventRow<'_>,
        transaction: Option<&Transaction>,
        may_notify: impl FnOnce() -> bool,
    ) -> Result<()> {
        let scope = self.scope();
        let EventRow { num, position, pdu, states, replaces, judgment } = row;
        let is_visible = judgment.verdict == Verdict::Accepted && states.is_some();
        let is_new = is_visible && position == num;
        let is_state = pdu.state_key.is_some();
        let notifies = match is_new {
            true => notify::evaluate(&pdu.event_type, &pdu.content, is_state, may_notify),
            false => notify::Notifies::default(),
        };
        let stored = StoredEvent {
            num,
            position,
            states,
            event_id: pdu.event_id.clone(),
            event_type: pdu.event_type.to_string(),
            state_key: pdu.state_key.clone(),
            sender: pdu.sender.to_string(),
            json: pdu.json.to_string(),
            auth_content: None,
            redacted_by: None,
            replaces,
            sent_by: match transaction {
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
        let stored_us = plan.stored_at(self.host.clock().instant_us());
        plan.stmts.push(events::insert(scope, &stored, &judgment, &unread, stored_us));
        let auth = judgment.auth.clone().unwrap_or_default();
        plan.stored.push((stored.event_id.clone(), num, auth));
        if let Some(auth) = judgment.auth.as_deref()
            && judgment.verdict != Verdict::Rejected
        {
            plan.stmts.push(graph::insert_edges(scope, num, auth));
        }
        if let Some(transaction) = transaction {
            let now_ms = self.now_ms();
            plan.expire_at(now_ms + limits::TRANSACTION_MS);
            let at = (num, now_ms);
            let key = transaction.key();
            plan.stmts.push(events::insert_transaction(scope, &pdu.sender, key, at));
        }
        if is_new {
            plan.append(Recent { stored, unread });
        }
        Ok(())
    }

    /// A piece of the current state changes: its delta, its line in the log, its membership.
    pub(crate) fn change_current(
        &self,
        plan: &mut Plan,
        position: Position,
        key: StateKey,
        before: Option<&StateEvent>,
        after: Option<StateEvent>,
    ) -> Result<()> {
        let scope = self.scope();
        let text = (key.0.as_str(), key.1.as_str());
        let event = after.as_ref().map(|(num, _)| *num);
        let previous = before.map(|(num, _)| *num);
        let at = StateAt { chain: 0, group: position };
        plan.stmts.push(state::insert_delta(scope, at, text, event));
        plan.stmts.push(state::insert_log(scope, text, position, (event, previous)));
        if key.0 == "m.room.member" {
            self.change_member(plan, position, &key.1, before, after.as_ref())?;
        }
        if key.0 == ENCRYPTION
            && before.is_none()
            && after.as_ref().is_some_and(|(_, it)| !self.server.is_local(&it.sender))
        {
            // Until now nobody was told of changes whom others have asked for keys already.
            plan.effects.agenda.set(Due::Devices, self.now_ms());
        }
        plan.change_state(position, key, after);
        Ok(())
    }

    /// Of another server one more user is joined, or one less.
    fn change_server(
        &self,
        plan: &mut Plan,
        position: Position,
        server: &ServerName,
        was_joined: bool,
        membership: &MembershipState,
    ) {
        match (was_joined, *membership == MembershipState::Join) {
            (false, true) => {
                plan.stmts.push(servers::joined(self.scope(), server, position));
                plan.servers.push(server.to_owned());
            }
            (true, false) => plan.stmts.push(servers::left(self.scope(), server, position)),
            (true, true) | (false, false) => {}
        }
    }

    /// A user of another server who was invited or has knocked is so no more, by a user of this
    /// one. Their server may not be in the room, and is to hear of this one event.
    fn end_pending(&self, plan: &mut Plan, position: Position, server: &ServerName, event: &Pdu) {
        if self.server.is_local(&event.sender) {
            plan.stmts.push(servers::told(self.scope(), server, position));
            plan.servers.push(server.to_owned());
        }
    }

    fn change_member(
        &self,
        plan: &mut Plan,
        position: Position,
        user_id: &str,
        before: Option<&StateEvent>,
        after: Option<&StateEvent>,
    ) -> Result<()> {
        let scope = self.scope();
        let user_id = UserId::parse(user_id)
            .map_err(|_| Error::invalid_param("the state key is not a user ID"))?;
        let membership =
            after.map_or(MembershipState::Leave, |(_, event)| membership_of(event.content.get()));
        let is_local = self.server.is_local(&user_id);
        let was = before.map(|(_, event)| membership_of(event.content.get()));
        if let Some(was) = &was {
            plan.count(was, -1);
        }
        plan.count(&membership, 1);
        if !is_local {
            let (server, was_joined) = (user_id.server_name(), was == Some(MembershipState::Join));
            self.change_server(plan, position, server, was_joined, &membership);
            let was_pending = matches!(was, Some(MembershipState::Invite | MembershipState::Knock));
            let is_over = matches!(membership, MembershipState::Leave | MembershipState::Ban);
            if let Some((_, event)) = after.filter(|_| was_pending && is_over) {
                self.end_pending(plan, position, server, event);
            }
        }
        let at = (position, after.map(|(num, _)| *num));
        plan.stmts.push(members::upsert(scope, &user_id, &membership, at, is_local));
        if is_local {
            let pdu = after.map(|(_, event)| Arc::clone(event));
            plan.memberships.push((user_id, membership, position, pdu));
        }
        Ok(())
    }
}
