//! One server: a host of the engine that remembers everything in memory and asks others for what
//! it misses.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId, OwnedServerName, OwnedUserId, UserId};
use skerry_core::{
    Pdu, SigningKey, authorize,
    engine::{self, Circumstances, Decision, Event, Given, Mode, State, Undecided, Verdict},
    pdu,
};

pub use self::draft::{Draft, auth_events, craft};
use super::{
    rng::Rng,
    store::{Map, Step, Store, ask},
};

#[path = "draft.rs"]
mod draft;

/// Events that may wait at once.
const MAX_WAITING: usize = 200;
/// Requests for what an event waits for before a peer is asked for its state instead.
const PATIENCE: u32 = 6;
/// Requests before what builds on an event no longer counts on it, when nobody shows what
/// authorizes it: a liar may cite an event that it never shows.
const AUTH_PATIENCE: u32 = 10;
/// Requests before the event is given up.
const MAX_TRIES: u32 = 16;
/// Events in an answer.
const MAX_ANSWER: usize = 20;

/// What servers say to each other.
#[derive(Clone, Debug)]
pub enum Message {
    /// An event.
    Event(Arc<str>),
    /// Asks for these events, and for those before them that are not `have` or before `have`.
    Missing { ids: Vec<OwnedEventId>, have: Vec<OwnedEventId> },
    /// An answer to `Missing`, oldest first.
    Events(Vec<Arc<str>>),
    /// Asks for these events and those that authorize them.
    AuthOf(Vec<OwnedEventId>),
    /// An answer to `AuthOf`.
    Auth(Vec<Arc<str>>),
    /// Asks for the state before an event.
    StateBefore(OwnedEventId),
    /// An answer to `StateBefore`: the state, and all it needs.
    State { before: OwnedEventId, state: Vec<OwnedEventId>, events: Vec<Arc<str>> },
}

/// An event that waits for others.
pub struct Waiting {
    pub pdu: Arc<Pdu>,
    pub auth: Vec<OwnedEventId>,
    pub prev: Vec<OwnedEventId>,
    pub tries: u32,
    pub from: usize,
}

/// A server.
pub struct Server {
    pub index: usize,
    pub name: OwnedServerName,
    pub users: Vec<OwnedUserId>,
    pub key: &'static SigningKey,
    /// The room, once it knows it.
    pub room: Option<Store>,
    pub waiting: BTreeMap<OwnedEventId, Waiting>,
    /// Events of the answer that is being read which are older than what is here.
    pub history: BTreeSet<OwnedEventId>,
    /// Whether its store is looked at cold.
    pub cold: bool,
}

impl Server {
    /// Tries to decide an event with its states.
    pub fn process(
        &mut self,
        pdu: &Arc<Pdu>,
        given: &[(OwnedEventId, State)],
    ) -> Result<Verdict, Undecided> {
        let is_history = self.is_history(pdu, 0);
        let cold = self.cold;
        let Some(room) = &mut self.room else { return Ok(Verdict::Rejected) };
        if let Some(known) = room.by_id(&pdu.event_id)
            && known.states.is_some()
        {
            self.waiting.remove(&pdu.event_id);
            return Ok(known.verdict);
        }
        let mode = if is_history { Mode::History } else { Mode::Live };
        let (event, decision) = match decide(room, cold, pdu, given, mode) {
            Err(Undecided::Outliers(ids)) => {
                if is_history {
                    self.history.extend(ids.iter().cloned());
                }
                self.judge(&ids);
                return self.process(pdu, given);
            }
            Err(Undecided::Authorizing(ids)) => {
                self.judge(&ids);
                return self.process(pdu, given);
            }
            decided => decided?,
        };
        let verdict = decision.verdict;
        let num = event.num;
        room.commit(event, &decision, mode == Mode::Live);
        room.note(pdu, given, mode, verdict);
        self.waiting.remove(&pdu.event_id);
        if decision.withdrawal.is_some() {
            self.withdraw_citers(num);
        }
        Ok(verdict)
    }

    /// What is known only as what authorizes others, and cites what was withdrawn, is rejected.
    fn withdraw_citers(&mut self, num: u64) {
        let Some(room) = &self.room else { return };
        let outliers = room.citers(num).map(|it| room.get(it)).filter(|it| it.states.is_none());
        for pdu in outliers.map(|it| Arc::clone(&it.pdu)).collect::<Vec<_>>() {
            assert_eq!(self.process(&pdu, &[]), Ok(Verdict::Rejected), "its auth event is");
        }
    }

    /// Decides outliers that can be.
    fn judge(&mut self, outliers: &[OwnedEventId]) {
        for id in outliers {
            let Some(room) = &self.room else { return };
            let pdu = Arc::clone(&room.by_id(id).unwrap().pdu);
            assert!(self.process(&pdu, &[]).is_ok(), "an outlier of which all is known");
            self.wake(id);
        }
    }

    /// Whether an event is older than what is here: an accepted event names it, or an event that
    /// waits and is older does.
    fn is_history(&self, pdu: &Pdu, depth: usize) -> bool {
        let Some(room) = &self.room else { return false };
        let id = &pdu.event_id;
        room.referenced.contains(id)
            || self.history.contains(id)
            || depth < 30
                && self.waiting.values().any(|it| {
                    it.pdu.prev_events.contains(id) && self.is_history(&it.pdu, depth + 1)
                })
    }

    /// Events have come together, oldest first. Gives what to ask.
    pub fn receive_all(&mut self, pdus: &[Arc<Pdu>], from: usize) -> Vec<(usize, Message)> {
        for pdu in pdus.iter().rev() {
            if self.is_history(pdu, 0) {
                self.history.insert(pdu.event_id.clone());
                self.history.extend(pdu.prev_events.iter().cloned());
            }
        }
        let out = pdus.iter().flat_map(|it| self.receive(it, from)).collect();
        self.history.clear();
        out
    }

    /// An event has come that is validly signed. Gives what to ask.
    pub fn receive(&mut self, pdu: &Arc<Pdu>, from: usize) -> Vec<(usize, Message)> {
        let Some(room) = &self.room else { return Vec::new() };
        if room.get(room.create).pdu.room_id != pdu.room_id
            || self.waiting.contains_key(&pdu.event_id)
            || room.by_id(&pdu.event_id).is_some_and(|it| it.states.is_some())
            || room.get(room.create).pdu.event_id == pdu.event_id && !self.is_history(pdu, 0)
        {
            return Vec::new();
        }
        match self.process(pdu, &[]) {
            Ok(_) => {
                self.wake(&pdu.event_id);
                Vec::new()
            }
            Err(Undecided::Waits { auth, prev }) => self.wait(pdu, auth, prev, from),
            Err(it) => unreachable!("seen to: {it:?}"),
        }
    }

    fn wait(
        &mut self,
        pdu: &Arc<Pdu>,
        auth: Vec<OwnedEventId>,
        prev: Vec<OwnedEventId>,
        from: usize,
    ) -> Vec<(usize, Message)> {
        if self.waiting.len() >= MAX_WAITING {
            return Vec::new();
        }
        let waiting = Waiting { pdu: Arc::clone(pdu), auth, prev, tries: 0, from };
        self.waiting.insert(pdu.event_id.clone(), waiting);
        self.ask_for(&pdu.event_id.clone(), from).into_iter().map(|it| (from, it)).collect()
    }

    /// Asks for what an event waits for and what does not wait itself.
    fn ask_for(&self, id: &OwnedEventId, _from: usize) -> Option<Message> {
        let waiting = self.waiting.get(id)?;
        let room = self.room.as_ref()?;
        let ids: Vec<_> = waiting
            .auth
            .iter()
            .chain(&waiting.prev)
            .filter(|it| !self.waiting.contains_key(*it))
            .cloned()
            .collect();
        let have = room.extremities.iter().map(|it| room.get(*it).pdu.event_id.clone()).collect();
        (!ids.is_empty()).then_some(Message::Missing { ids, have })
    }

    /// Decides what waited for this event, and what waited for that.
    pub fn wake(&mut self, id: &OwnedEventId) {
        let mut woken = vec![id.clone()];
        while let Some(id) = woken.pop() {
            let ready: Vec<_> = self
                .waiting
                .values()
                .filter(|it| it.auth.contains(&id) || it.prev.contains(&id))
                .map(|it| Arc::clone(&it.pdu))
                .collect();
            for pdu in ready {
                match self.process(&pdu, &[]) {
                    Ok(_) => woken.push(pdu.event_id.clone()),
                    Err(Undecided::Waits { auth, prev }) => {
                        if let Some(it) = self.waiting.get_mut(&pdu.event_id) {
                            (it.auth, it.prev) = (auth, prev);
                        }
                    }
                    Err(it) => unreachable!("seen to: {it:?}"),
                }
            }
        }
    }

    /// Time passes: asks again for what events wait for, each time someone else.
    pub fn tick(&mut self, rng: &mut Rng, servers: usize) -> Vec<(usize, Message)> {
        let mut out = Vec::new();
        let ids: Vec<_> = self.waiting.keys().cloned().collect();
        for id in ids {
            let Some(it) = self.waiting.get_mut(&id) else { continue };
            it.tries += 1;
            let (tries, from) = (it.tries, it.from);
            if tries > MAX_TRIES {
                self.waiting.remove(&id);
                continue;
            }
            let other = (self.index + 1 + rng.below(servers - 1)) % servers;
            let peer = if tries % 3 == 1 && from != self.index { from } else { other };
            let it = &self.waiting[&id];
            let message = match (tries > PATIENCE, it.auth.is_empty()) {
                (true, false) => Some(Message::AuthOf(it.auth.clone())),
                (true, true) if !it.prev.iter().any(|it| self.may_come(it)) => {
                    Some(Message::StateBefore(id))
                }
                _ => self.ask_for(&id, from),
            };
            out.extend(message.map(|it| (peer, it)));
        }
        out
    }

    /// Whether an event waits and may still be decided: if not, the state before what builds on it
    /// has to be asked for.
    fn may_come(&self, id: &EventId) -> bool {
        self.waiting.get(id).is_some_and(|it| it.auth.is_empty() || it.tries <= AUTH_PATIENCE)
    }

    /// Remembers events that are known only as what authorizes others.
    pub fn receive_outliers(&mut self, pdus: &[Arc<Pdu>]) {
        for pdu in pdus {
            let Some(room) = &mut self.room else { return };
            if room.get(room.create).pdu.room_id == pdu.room_id
                && !room.ids.contains_key(&pdu.event_id)
            {
                self.receive_outlier(pdu);
            }
        }
    }

    /// Remembers an outlier once those that authorize it have been judged, as far as they can be.
    fn receive_outlier(&mut self, pdu: &Arc<Pdu>) {
        while let Some(room) = &mut self.room {
            match insert_outlier(room, self.cold, pdu) {
                Ok(()) => return self.wake(&pdu.event_id),
                Err(Undecided::Authorizing(ids)) => self.judge(&ids),
                Err(_) => return,
            }
        }
    }

    /// A peer told the state before an event that waits.
    pub fn receive_state(&mut self, before: &OwnedEventId, state: &[OwnedEventId]) {
        let Some(it) = self.waiting.get(before) else { return };
        if it.tries <= PATIENCE || !it.auth.is_empty() {
            return;
        }
        let pdu = Arc::clone(&it.pdu);
        let Some(room) = &mut self.room else { return };
        let mut map = Map::new();
        for id in state {
            if let Some(known) = room.by_id(id)
                && known.verdict != Verdict::Rejected
                && let Some(key) = known.key
            {
                map.insert(key, known.num);
            }
        }
        room.was_told = true;
        let given = State::from(room.add_state(map));
        if self.process(&pdu, &[(before.clone(), given)]).is_ok() {
            self.wake(&pdu.event_id);
        }
    }

    /// Answers a request honestly.
    pub fn answer(&self, request: &Message) -> Option<Message> {
        let room = self.room.as_ref()?;
        match request {
            Message::Missing { ids, have } => Some(Message::Events(missing(room, ids, have))),
            Message::AuthOf(ids) => {
                let nums = ids.iter().filter_map(|it| room.ids.get(it)).copied().collect();
                Some(Message::Auth(json(room, &auth_chain(room, nums))))
            }
            Message::StateBefore(id) => {
                let states = room.by_id(id)?.states?;
                let nums: Vec<_> = room.map(states.before).values().copied().collect();
                let state = nums.iter().map(|it| room.get(*it).pdu.event_id.clone()).collect();
                let events = json(room, &auth_chain(room, nums));
                Some(Message::State { before: id.clone(), state, events })
            }
            _ => None,
        }
    }

    /// Makes an own event as a client asks, and decides it. None when the room does not allow it.
    pub fn send(&mut self, draft: Draft<'_>) -> Option<Arc<Pdu>> {
        let cold = self.cold;
        let room = self.room.as_mut()?;
        let content = serde_json::value::to_raw_value(&draft.content).unwrap();
        let needed = authorize::needed_state(
            draft.event_type,
            draft.sender,
            draft.state_key,
            &content,
            &room.rules,
        );
        let needs: Vec<_> = needed.ok()?.iter().map(|it| room.keys.intern(&it.0, &it.1)).collect();
        let room = &*room;
        let prev = ask(room, cold, |eye| engine::choose_prev(eye, &room.head(), &needs)).unwrap();
        assert!(!prev.is_empty() && prev.len() <= pdu::MAX_PREV_EVENTS);
        let before = ask(room, cold, |eye| engine::state_before(eye, &room.head(), &prev)).unwrap();
        let prev: Vec<_> = prev.iter().map(|it| Arc::clone(room.get(*it))).collect();
        let auth = auth_events(room, &draft, &room.materialize(&before))?;
        for it in &prev {
            assert_eq!(
                it.verdict,
                Verdict::Accepted,
                "an own event builds on what is not accepted"
            );
        }
        for it in &auth {
            assert_ne!(it.verdict, Verdict::Rejected, "a rejected event authorizes an own one");
        }
        let pdu = craft(room, draft, &prev, &auth, (&self.name, self.key))?;
        let (event, decision) = match decide(self.room.as_mut()?, cold, &pdu, &[], Mode::Live) {
            Err(Undecided::Authorizing(ids)) => {
                // The client tries again.
                self.judge(&ids);
                return None;
            }
            decided => decided.ok()?,
        };
        if decision.verdict != Verdict::Accepted {
            return None;
        }
        let room = self.room.as_mut()?;
        room.commit(event, &decision, true);
        room.note(&pdu, &[], Mode::Live, decision.verdict);
        Some(pdu)
    }

    /// Whether one of its users is joined, as far as it knows.
    pub fn is_in_room(&self) -> bool {
        self.joined().next().is_some()
    }

    /// Its users that are joined, as far as it knows.
    pub fn joined(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.users.iter().filter(|user| self.takes_for_joined(user))
    }

    /// Whether a user is joined, as far as it knows.
    pub fn takes_for_joined(&self, user: &UserId) -> bool {
        let member = |it: &Store| it.current_event("m.room.member", user.as_str()).cloned();
        self.room
            .as_ref()
            .and_then(member)
            .is_some_and(|it| it.pdu.content.get().contains("\"membership\":\"join\""))
    }
}

/// Decides an event with its states; nothing is written.
pub fn decide(
    room: &mut Store,
    cold: bool,
    pdu: &Arc<Pdu>,
    given: &[(OwnedEventId, State)],
    mode: Mode,
) -> Result<(Event, Decision), Undecided> {
    let num = room.ids.get(&pdu.event_id).copied().unwrap_or(room.events.len() as u64);
    let provisional = (Verdict::Accepted, None);
    let rules = room.rules.clone();
    let event = Event::new(num, Arc::clone(pdu), [].into(), provisional, &rules, &mut room.keys);
    let room = &*room;
    let is_referenced = mode == Mode::History || room.referenced.contains(&pdu.event_id);
    let given: Vec<_> = given
        .iter()
        .map(|(before, state)| Given {
            before: before.clone(),
            state: state.clone(),
            is_hearsay: false,
        })
        .collect();
    let circumstances = Circumstances { given: &given, is_referenced, ..Circumstances::of(mode) };
    let decision = ask(room, cold, |eye| engine::decide(eye, &room.head(), &event, circumstances))?;
    Ok((event, decision))
}

/// Remembers an outlier, unless other events come first.
pub fn insert_outlier(room: &mut Store, cold: bool, pdu: &Arc<Pdu>) -> Result<(), Undecided> {
    let num = room.events.len() as u64;
    let provisional = (Verdict::Accepted, None);
    let rules = room.rules.clone();
    let event = Event::new(num, Arc::clone(pdu), [].into(), provisional, &rules, &mut room.keys);
    let decided = ask(&*room, cold, |eye| engine::decide_outlier(eye, &rules, room.create, &event));
    let (verdict, _, auth) = decided?;
    room.journal.push(Step::Outlier(Arc::clone(pdu), verdict));
    room.insert(Event { verdict, auth, ..event });
    Ok(())
}

/// These events and all that authorize them, oldest first.
pub fn auth_chain(room: &Store, mut todo: Vec<u64>) -> Vec<u64> {
    let mut chain = BTreeSet::new();
    todo.push(room.create);
    while let Some(num) = todo.pop() {
        if chain.insert(num) {
            todo.extend(room.get(num).auth.iter());
        }
    }
    chain.into_iter().collect()
}

/// Events as they are sent.
pub fn json(room: &Store, nums: &[u64]) -> Vec<Arc<str>> {
    nums.iter().map(|it| Arc::from(&*room.get(*it).pdu.json)).collect()
}

/// The answer to a request for missing events.
fn missing(room: &Store, ids: &[OwnedEventId], have: &[OwnedEventId]) -> Vec<Arc<str>> {
    let mut todo: VecDeque<_> = ids.iter().cloned().collect();
    let mut found = BTreeMap::new();
    while let Some(id) = todo.pop_front() {
        if have.contains(&id) || found.len() >= MAX_ANSWER {
            continue;
        }
        if let Some(known) = room.by_id(&id)
            && found.insert((known.pdu.depth, known.num), known.num).is_none()
        {
            todo.extend(known.pdu.prev_events.iter().cloned());
        }
    }
    json(room, &found.into_values().collect::<Vec<_>>())
}
