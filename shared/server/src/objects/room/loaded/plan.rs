//! A plan: what a command writes in one atomic batch, and what the room will be once it is written.

use std::{collections::HashMap, sync::Arc};

use ruma::{OwnedEventId, OwnedServerName, OwnedUserId, events::room::member::MembershipState};
use skerry_core::{
    Pdu,
    authorize::StateKey,
    engine::{Event, Num, StateAt, Withdrawal},
    shown_state,
};

use crate::{
    messages::room::Position,
    objects::room::{
        limits,
        loaded::{
            Loaded,
            effects::{Due, EffectsPlan},
            memory::Memory,
            recent::Recent,
            state_event::{Extremity, StateEvent},
        },
    },
    ports::Stmt,
};

/// A membership that has changed: whose, to what, where, and by which event.
pub(crate) type Changed = (OwnedUserId, MembershipState, Position, Option<Arc<Pdu>>);

/// A decision: what to write, and what the room will be once it is written.
#[derive(Debug)]
#[must_use = "a plan does nothing until it is committed"]
pub(crate) struct Plan {
    pub(crate) stmts: Vec<Stmt>,
    pub(crate) head: Position,
    /// As [`Loaded::stored_us`].
    stored_us: u64,
    /// The forward extremities.
    pub(crate) extremities: Vec<Extremity>,
    /// Whether the store says which they are.
    pub(crate) extremities_stored: bool,
    /// As [`Loaded::is_linear`].
    pub(crate) is_linear: bool,
    /// The current state.
    pub(crate) state: StateAt,
    pub(crate) changed: HashMap<StateKey, Option<StateEvent>>,
    appended: Vec<Recent>,
    /// Events that are stored, and those they name as authorizing them.
    pub(crate) stored: Vec<(OwnedEventId, Num, Box<[Num]>)>,
    /// Those of them that the engine remembers.
    pub(crate) events: Vec<Arc<Event>>,
    joined: i64,
    invited: i64,
    /// Local users whose membership changed, in order.
    pub(crate) memberships: Vec<Changed>,
    /// Other servers, a user of which has joined.
    pub(crate) servers: Vec<OwnedServerName>,
    /// What must follow elsewhere.
    pub(crate) effects: EffectsPlan,
    /// An event that is part of no state from then on, nor was ever.
    pub(crate) withdrawal: Option<Withdrawal>,
}

impl Plan {
    /// Nothing yet.
    pub(crate) fn new(room: &Loaded) -> Self {
        Self {
            stmts: Vec::new(),
            head: room.head,
            stored_us: room.stored_us,
            extremities: room.extremities.clone(),
            extremities_stored: room.extremities_stored,
            is_linear: room.is_linear,
            state: room.state,
            changed: HashMap::new(),
            appended: Vec::new(),
            stored: Vec::new(),
            events: Vec::new(),
            joined: 0,
            invited: 0,
            memberships: Vec::new(),
            servers: Vec::new(),
            effects: EffectsPlan { listed: room.effects.listed, ..EffectsPlan::default() },
            withdrawal: None,
        }
    }

    /// Takes the next position of the stream.
    pub(crate) fn next_position(&mut self) -> Position {
        self.head += 1;
        self.head
    }

    /// Leaves positions free for history that may come.
    pub(crate) fn leave_gap(&mut self, positions: u64) {
        self.head += positions;
    }

    /// When an event counts as stored that is stored at an instant: not before others.
    pub(crate) fn stored_at(&mut self, instant_us: u64) -> u64 {
        self.stored_us = self.stored_us.max(instant_us);
        self.stored_us
    }

    /// The newest position taken.
    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// The room has a new newest event that clients see.
    pub(crate) fn append(&mut self, event: Recent) {
        self.appended.push(event);
    }

    /// A stored event of this type is redacted.
    pub(crate) fn redact(&mut self, event_type: &str, is_state: bool) {
        self.effects.redacts_shown |= is_state && shown_state::is_in_directory(event_type);
    }

    /// A row is written that is kept until then.
    pub(crate) fn expire_at(&mut self, at_ms: u64) {
        let expires_ms = &mut self.effects.expires_ms;
        *expires_ms = Some(expires_ms.map_or(at_ms, |it| it.min(at_ms)));
    }

    /// Puts on the agenda what follows from all that is planned: called once, before the commit.
    /// A room that is not listed, and that keeps something for a time already, writes nothing
    /// here.
    pub(crate) fn schedule(&mut self, room: &Loaded, now_ms: u64) {
        let is_listing = self.effects.listed != room.effects.listed;
        if (is_listing || (self.effects.listed && self.changes_entry()))
            && room.effects.agenda.at_ms(Due::Directory).is_none()
        {
            self.effects.agenda.set(Due::Directory, now_ms + limits::EFFECT_GRACE_MS);
        }
        if let Some(at_ms) = self.effects.expires_ms
            && room.effects.agenda.at_ms(Due::Expire).is_none_or(|it| it > at_ms)
        {
            self.effects.agenda.set(Due::Expire, at_ms);
        }
    }

    /// Whether what the directory shows of a room changes.
    fn changes_entry(&self) -> bool {
        // Of members it shows how many there are.
        let is_shown = |key: &StateKey| key.1.is_empty() && shown_state::is_in_directory(&key.0);
        self.joined != 0
            || self.effects.redacts_shown
            || self.effects.replaces_state
            || self.changed.keys().any(is_shown)
    }

    /// The room as the plan leaves it.
    pub(crate) fn apply(&mut self, room: &mut Loaded) {
        if self.effects.listed != room.effects.listed
            || (self.effects.listed && self.changes_entry())
        {
            room.effects.directory_changed = self.head;
            room.effects.has_new = true;
        }
        room.effects.has_new |= self.effects.agenda.sets(Due::Alias);
        room.effects.listed = self.effects.listed;
        room.effects.agenda.apply(std::mem::take(&mut self.effects.agenda));
        room.head = self.head;
        room.stored_us = self.stored_us;
        room.set_extremities(std::mem::take(&mut self.extremities));
        room.extremities_stored = self.extremities_stored;
        room.is_linear = self.is_linear;
        room.state = self.state;
        for (key, event) in self.changed.drain() {
            room.memory.state_changed(key, event);
        }
        for event in self.appended.drain(..) {
            room.memory.append(event);
        }
        for (event_id, num, auth) in self.stored.drain(..) {
            room.engine_memory.stored(&event_id, num, &auth);
        }
        for event in self.events.drain(..) {
            room.engine_memory.insert(event);
        }
        if let Some(withdrawal) = self.withdrawal {
            room.engine_memory.withdraw(withdrawal);
            // What is remembered of the past had the event.
            room.memory = Memory::new(room.head);
        }
        room.joined = room.joined.saturating_add_signed(self.joined);
        room.invited = room.invited.saturating_add_signed(self.invited);
    }

    /// Counts a change of membership.
    pub(crate) fn count(&mut self, membership: &MembershipState, by: i64) {
        match membership {
            MembershipState::Join => self.joined += by,
            MembershipState::Invite => self.invited += by,
            _ => {}
        }
    }
}
