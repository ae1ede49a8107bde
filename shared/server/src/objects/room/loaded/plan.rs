//! A plan: what a command writes in one atomic batch, and what the room will be once it is written.

use std::{collections::HashMap, sync::Arc};

use ruma::{OwnedEventId, OwnedServerName, events::room::member::MembershipState};
use skerry_core::{
    authorize::StateKey,
    dummy_event::{self, Watch},
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
            state_event::{Changed, Extremity, StateEvent},
            unwritten::Writes,
        },
    },
    ports::Stmt,
};

/// What a chain of a fork changes in a group: the next one after `last`.
#[derive(Debug)]
pub(crate) struct Delta {
    pub(crate) at: StateAt,
    pub(crate) last: u64,
    pub(crate) key: StateKey,
    pub(crate) event: Option<Num>,
}

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
    /// How it came to that: positions, keys and their events, in order.
    changes: Vec<(Position, StateKey, Option<Num>)>,
    appended: Vec<Recent>,
    /// Events that are stored, and those they name as authorizing them.
    pub(crate) stored: Vec<(OwnedEventId, Num, Box<[Num]>)>,
    /// Those of them that the engine remembers.
    pub(crate) events: Vec<Arc<Event>>,
    /// Chains of states that begin, and what they hang on.
    pub(crate) chains: Vec<(u64, StateAt)>,
    /// What chains of forks change.
    pub(crate) deltas: Vec<Delta>,
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
            changes: Vec::new(),
            appended: Vec::new(),
            stored: Vec::new(),
            events: Vec::new(),
            chains: Vec::new(),
            deltas: Vec::new(),
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

    /// A piece of the current state changes.
    pub(crate) fn change_state(
        &mut self,
        position: Position,
        key: StateKey,
        after: Option<StateEvent>,
    ) {
        self.state = StateAt { chain: 0, group: position };
        self.changes.push((position, key.clone(), after.as_ref().map(|(num, _)| *num)));
        self.changed.insert(key, after);
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

    /// Puts on the agenda what follows from all that is planned. A room that is not listed, and
    /// that keeps something for a time already, writes nothing here.
    fn schedule(&mut self, room: &Loaded, now_ms: u64) {
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

    /// Whether what is planned brings the room too many forward extremities, or few again.
    pub(crate) fn watch_extremities(&self, room: &Loaded) -> Watch {
        let is_set = room.effects.agenda.at_ms(Due::Extremities).is_some();
        dummy_event::watch(self.extremities.len(), is_set)
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

    /// What is to be written, with what follows from all that is planned: called once. The plan
    /// goes on knowing whose memberships change.
    pub(crate) fn writes(&mut self, room: &Loaded, scope: i64, now_ms: u64) -> Writes {
        self.schedule(room, now_ms);
        let mut stmts = std::mem::take(&mut self.stmts);
        stmts.extend(self.effects.agenda.stmts(scope));
        Writes {
            stmts,
            memberships: self.memberships.clone(),
            servers: std::mem::take(&mut self.servers),
            agenda_ms: self.effects.agenda.alarm_by_ms(),
        }
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
        room.has_news |= self.head > room.head;
        room.head = self.head;
        room.stored_us = self.stored_us;
        room.set_extremities(std::mem::take(&mut self.extremities));
        room.extremities_stored = self.extremities_stored;
        room.is_linear = self.is_linear;
        let before = std::mem::replace(&mut room.state, self.state);
        let keys = &mut room.engine_memory.keys;
        let changes = self.changes.drain(..);
        let changes =
            changes.map(|(at, key, num)| (at, keys.intern(&key.0, &key.1), num)).collect();
        match self.effects.replaces_state {
            // Not by these changes alone.
            true => room.engine_memory.current_changed(self.state, self.state, changes),
            false => room.engine_memory.current_changed(before, self.state, changes),
        }
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
        for (chain, parent) in self.chains.drain(..) {
            room.engine_memory.begin_chain(chain, parent);
        }
        for Delta { at, last, key, event } in self.deltas.drain(..) {
            room.engine_memory.change(at, last, &key, event);
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
