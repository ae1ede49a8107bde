//! The world of one seed: servers, the network between them, and time.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, RoomVersionId, UserId,
    room_version_rules::RoomVersionRules, signatures::PublicKeyMap,
};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{json, value::RawValue as RawJsonValue};
use skerry_core::{
    Pdu,
    engine::{Mode, State, Verdict},
    pdu,
    receipt::{self, Keyring},
    room_version,
};

use super::{
    byzantine::Behavior,
    identity::{self, Identity},
    rng::Rng,
    server::{self, Draft, Message, Server, auth_chain, auth_events, craft, insert_outlier, json},
    store::{Step, Store},
};

/// Of so many seeds, one is checked thoroughly.
const THOROUGH_SEEDS: u64 = 8;

/// What happens at a time.
#[derive(Clone, Debug)]
enum Happening {
    Arrives { from: usize, to: usize, message: Message },
    Ticks(usize),
}

/// The world.
pub struct World {
    pub seed: u64,
    pub rng: Rng,
    pub version: RoomVersionId,
    pub rules: RoomVersionRules,
    pub servers: Vec<Server>,
    /// What each server does that it should not: nothing, if it is honest.
    pub behaviors: Vec<Vec<Behavior>>,
    /// Events that their server never shows.
    pub withheld: HashSet<OwnedEventId>,
    /// A lie about state was told.
    pub lied: bool,
    /// The keys of all, for the servers and for who checks them.
    keyring: Keyring,
    pub keys: PublicKeyMap,
    read: FxHashMap<Arc<str>, Option<Arc<Pdu>>>,
    /// Events that are known to be signed by who has to sign them, as they are, by other means
    /// than the servers': who made them signed them with their own key, or they were verified.
    pub signed: FxHashSet<Arc<str>>,
    /// How much of the timeline of each server has been checked.
    pub checked: Vec<usize>,
    clock: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    /// Whether messages get lost.
    pub is_lossy: bool,
    loss: usize,
    /// The side of each server while the network is split.
    sides: Vec<bool>,
    pub unique: u64,
}

impl World {
    /// The world of a seed, with a room that its servers may have joined.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let version = rng.pick(&room_version::SUPPORTED).unwrap().clone();
        let rules = room_version::rules(&version).unwrap();
        let count = 3 + rng.below(3);
        let cold = rng.percent(25);
        let servers: Vec<_> = (0..count).map(|index| new_server(index, cold, &mut rng)).collect();
        let mut behaviors = vec![Vec::new(); count];
        if rng.percent(65) {
            for behaviors in behaviors.iter_mut().skip(count - 1 - rng.below(count - 2)) {
                for _ in 0..=rng.below(4) {
                    behaviors.push(*rng.pick(&Behavior::ALL).unwrap());
                }
            }
        }
        let (keyring, keys) = identity::keys(count);
        let loss = [0, 5, 20, 40][rng.below(4)];
        let mut world = Self {
            seed,
            rng,
            version,
            rules,
            sides: vec![false; servers.len()],
            checked: vec![0; servers.len()],
            servers,
            behaviors,
            withheld: HashSet::new(),
            lied: false,
            keyring,
            keys,
            read: FxHashMap::default(),
            signed: FxHashSet::default(),
            clock: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            is_lossy: false,
            loss,
            unique: 0,
        };
        world.create_room();
        world
    }

    /// Whether a server does as it should.
    pub fn is_honest(&self, server: usize) -> bool {
        self.behaviors[server].is_empty()
    }

    /// A number that was not used before.
    pub fn next_unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    fn create_room(&mut self) {
        let creator = self.servers[0].users[0].clone();
        let room_id = OwnedRoomId::try_from("!room:s0").unwrap();
        let hashed = self.rules.authorization.room_create_event_id_as_room_id;
        let content = json!({"creator": creator, "room_version": self.version});
        let id = OwnedEventId::try_from("$create:s0").unwrap();
        let create = pdu::create_event(
            object(content),
            &creator,
            Some(&id),
            (!hashed).then_some(&room_id),
            &self.rules,
            1,
            self.servers[0].key,
        );
        let mut room = Store::new(self.rules.clone());
        let create = Arc::new(create.unwrap());
        self.remember_signed(0, &create);
        let (event, decision) = server::decide(&mut room, false, &create, &[], Mode::Live).unwrap();
        assert_eq!(decision.verdict, Verdict::Accepted, "{:?}", decision.reason);
        room.commit(event, &decision, true);
        self.servers[0].room = Some(room);
        let mut users = serde_json::Map::new();
        if !hashed {
            users.insert(creator.to_string(), json!(100));
        }
        for server in 0..self.servers.len() {
            for user in self.servers[server].users.clone() {
                if user != creator && self.rng.percent(40) {
                    users.insert(user.to_string(), json!([50, 100][self.rng.below(2)]));
                }
            }
        }
        let join = json!({"membership": "join"});
        self.must_send(0, &creator, "m.room.member", creator.as_str(), join);
        self.must_send(0, &creator, "m.room.power_levels", "", json!({"users": users}));
        self.must_send(0, &creator, "m.room.join_rules", "", json!({"join_rule": "public"}));
        for server in 1..self.servers.len() {
            if self.rng.percent(85) {
                let user = self.servers[server].users[0].clone();
                self.join_remote(server, &user, 0);
                self.run_until_quiet();
            }
        }
    }

    fn must_send(
        &mut self,
        server: usize,
        user: &UserId,
        event_type: &str,
        key: &str,
        content: serde_json::Value,
    ) {
        let sent = self.send(server, user, event_type, Some(key), content, None);
        assert!(sent, "{event_type} of a new room");
    }

    /// A user sends an event through its server, if the room lets it.
    pub fn send(
        &mut self,
        server: usize,
        sender: &UserId,
        event_type: &str,
        state_key: Option<&str>,
        content: serde_json::Value,
        redacts: Option<OwnedEventId>,
    ) -> bool {
        let unique = self.next_unique();
        let content = object(content);
        let draft = Draft { sender, event_type, state_key, content, redacts, unique };
        let Some(pdu) = self.servers[server].send(draft) else { return false };
        self.remember_signed(server, &pdu);
        self.broadcast(server, &pdu);
        true
    }

    /// Sends an event to every server that is in the room, as far as this one knows.
    pub fn broadcast(&mut self, from: usize, pdu: &Arc<Pdu>) {
        let room = self.servers[from].room.as_ref().unwrap();
        let mut names: HashSet<String> = room
            .named(room.current())
            .into_keys()
            .filter(|it| it.0 == "m.room.member")
            .map(|it| it.1)
            .filter(|it| {
                let member = room.current_event("m.room.member", it).unwrap();
                member.pdu.content.get().contains("\"join\"")
            })
            .filter_map(|it| it.split_once(':').map(|it| it.1.to_owned()))
            .collect();
        let target = pdu.state_key.as_deref().and_then(|it| it.split_once(':'));
        names.extend(target.map(|it| it.1.to_owned()));
        for to in 0..self.servers.len() {
            if to != from && names.contains(self.servers[to].name.as_str()) {
                self.post(from, to, &Message::Event(Arc::from(&*pdu.json)));
            }
        }
    }

    /// Puts a message on the network.
    pub fn post(&mut self, from: usize, to: usize, message: &Message) {
        let mut copies = 1;
        if self.is_lossy {
            if self.sides[from] != self.sides[to] || self.rng.percent(self.loss) {
                return;
            }
            copies += usize::from(self.rng.percent(5));
        }
        for _ in 0..copies {
            let most = if self.rng.percent(15) { 120 } else { 15 };
            let at = self.clock + 1 + self.rng.below(most) as u64;
            let message = message.clone();
            self.schedule(at, Happening::Arrives { from, to, message });
        }
    }

    fn schedule(&mut self, at: u64, what: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), what);
    }

    /// Time passes.
    pub fn run_for(&mut self, time: u64) {
        let until = self.clock + time;
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > until {
                break;
            }
            self.clock = next.key().0;
            let what = next.remove();
            self.happen(what);
        }
        self.clock = until;
    }

    /// Time passes until nothing happens.
    pub fn run_until_quiet(&mut self) {
        for _ in 0..100_000 {
            let Some(((at, _), what)) = self.queue.pop_first() else { return };
            self.clock = at;
            self.happen(what);
        }
        panic!("the network never falls silent");
    }

    /// Splits the network, or heals it.
    pub fn split(&mut self) {
        for side in 0..self.sides.len() {
            self.sides[side] = self.rng.percent(30);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrives { from, to, message } => self.arrives(from, to, message),
            Happening::Ticks(server) => {
                let count = self.servers.len();
                let out = self.servers[server].tick(&mut self.rng, count);
                self.follow_up(server, out);
                if !self.servers[server].waiting.is_empty() {
                    self.schedule(self.clock + 20, Happening::Ticks(server));
                }
            }
        }
    }

    fn follow_up(&mut self, server: usize, out: Vec<(usize, Message)>) {
        for (to, message) in out {
            self.post(server, to, &message);
        }
    }

    fn arrives(&mut self, from: usize, to: usize, message: Message) {
        match message {
            Message::Event(json) => self.receive(from, to, &[json]),
            Message::Events(events) => self.receive(from, to, &events),
            Message::Auth(events) => {
                let pdus = self.read_all(&events);
                self.servers[to].receive_outliers(&pdus);
            }
            Message::State { before, state, events } => {
                let pdus = self.read_all(&events);
                self.servers[to].receive_outliers(&pdus);
                self.servers[to].receive_state(&before, &state);
            }
            request => {
                let answer = match self.is_honest(to) {
                    true => self.servers[to].answer(&request),
                    false => super::byzantine::answer(self, to, &request),
                };
                if let Some(answer) = answer {
                    self.post(to, from, &answer);
                }
            }
        }
    }

    fn read_all(&mut self, events: &[Arc<str>]) -> Vec<Arc<Pdu>> {
        events.iter().filter_map(|it| self.read(it)).collect()
    }

    fn receive(&mut self, from: usize, to: usize, events: &[Arc<str>]) {
        let was_waiting = !self.servers[to].waiting.is_empty();
        let pdus = self.read_all(events);
        let out = self.servers[to].receive_all(&pdus, from);
        self.follow_up(to, out);
        if !was_waiting && !self.servers[to].waiting.is_empty() {
            self.schedule(self.clock + 20, Happening::Ticks(to));
        }
    }

    /// Whether nothing is left out for the sake of speed: neither the signatures of those who are
    /// known to have signed, nor what has held once and cannot have changed.
    pub fn is_thorough(&self) -> bool {
        self.seed.is_multiple_of(THOROUGH_SEEDS)
    }

    /// Remembers that a server has made an event of one of its own users and signed it with its
    /// own key, and that nobody else has to sign it. What was forged is always verified.
    pub fn remember_signed(&mut self, server: usize, pdu: &Pdu) {
        let by_own_user = pdu.sender.server_name() == self.servers[server].name;
        let by_others = pdu.content.get().contains("join_authorised_via_users_server");
        if by_own_user && !by_others && !self.is_thorough() {
            self.signed.insert(Arc::from(&*pdu.json));
        }
    }

    /// Reads what came from the network, as every server does: checks 1 to 3.
    pub fn read(&mut self, json: &Arc<str>) -> Option<Arc<Pdu>> {
        if let Some(known) = self.read.get(json) {
            return known.clone();
        }
        let pdu = self.read_new(json);
        self.read.insert(Arc::clone(json), pdu.clone());
        pdu
    }

    fn read_new(&self, json: &Arc<str>) -> Option<Arc<Pdu>> {
        let raw = RawJsonValue::from_string(json.to_string()).ok()?;
        let room = self.servers[0].room.as_ref()?;
        let room_id = &room.get(room.create).pdu.room_id;
        let received = receipt::read(&raw, room_id, &self.rules).ok()?;
        if self.signed.contains(json) {
            return Some(Arc::new(received.pdu));
        }
        let verified = receipt::verify(received, &self.keyring, &self.rules).ok()?;
        Some(Arc::new(verified.pdu))
    }

    /// A server that is not in the room joins it through one that is. Events are lost on the way
    /// as others are, but not the answer.
    ///
    /// Once only: how a server comes back to a room that all of its users had left is federation's
    /// to say.
    pub fn join_remote(&mut self, server: usize, user: &UserId, through: usize) -> bool {
        if self.servers[server].room.is_some() {
            return false;
        }
        let unique = self.next_unique();
        let key = user.as_str();
        let content = object(json!({"membership": "join"}));
        let (event_type, state_key) = ("m.room.member", Some(key));
        let draft = Draft { sender: user, event_type, state_key, content, redacts: None, unique };
        let Some(room) = &self.servers[through].room else { return false };
        let prev: Vec<_> =
            room.extremities.iter().take(10).map(|it| Arc::clone(room.get(*it))).collect();
        let Some(auth) = auth_events(room, &draft, room.current()) else { return false };
        let signer = (&self.servers[server].name, self.servers[server].key);
        let Some(pdu) = craft(room, draft, &prev, &auth, signer) else { return false };
        self.remember_signed(server, &pdu);
        if self.servers[through].process(&pdu, &[]) != Ok(Verdict::Accepted) {
            return false;
        }
        self.servers[through].wake(&pdu.event_id);
        self.broadcast(through, &pdu);
        let room = self.servers[through].room.as_ref().unwrap();
        let states = room.by_id(&pdu.event_id).unwrap().states.unwrap();
        let state: Vec<_> = room.map(states.before).values().copied().collect();
        let ids: Vec<_> = state.iter().map(|it| room.get(*it).pdu.event_id.clone()).collect();
        let join = room.by_id(&pdu.event_id).unwrap();
        let all = state.iter().chain(&join.auth).copied().collect();
        let events = json(room, &auth_chain(room, all));
        let events = self.read_all(&events);
        let rules = self.rules.clone();
        enter(&mut self.servers[server], rules, &events, &ids, &pdu);
        true
    }
}

/// A server has joined: it knows the state it was told, and the join.
fn enter(
    server: &mut Server,
    rules: RoomVersionRules,
    events: &[Arc<Pdu>],
    state: &[OwnedEventId],
    join: &Arc<Pdu>,
) {
    server.waiting.clear();
    let cold = server.cold;
    let room = server.room.get_or_insert_with(|| Store::new(rules));
    room.was_told = true;
    for pdu in events {
        if !room.ids.contains_key(&pdu.event_id) {
            assert!(insert_outlier(room, cold, pdu).is_ok(), "the auth chain of a join is whole");
        }
    }
    let map = state
        .iter()
        .filter_map(|it| room.by_id(it))
        .filter(|it| it.verdict != Verdict::Rejected)
        .filter_map(|it| it.key.map(|key| (key, it.num)))
        .collect();
    room.extremities.clear();
    let told = State::from(room.add_current(map));
    let given = [(join.event_id.clone(), told)];
    let verdict = server.process(join, &given);
    assert_eq!(verdict, Ok(Verdict::Accepted), "a join that the resident server accepted");
    let (pdu, state, events) = (Arc::clone(join), state.to_vec(), events.to_vec());
    server.room.as_mut().unwrap().journal = vec![Step::Join { pdu, state, events }];
}

fn new_server(index: usize, cold: bool, rng: &mut Rng) -> Server {
    let identity = Identity::of(index);
    let name = identity.name.clone();
    let users =
        (0..=rng.below(2)).map(|it| UserId::parse(format!("@u{it}:{name}")).unwrap()).collect();
    Server {
        index,
        name,
        users,
        key: &identity.key,
        room: None,
        waiting: BTreeMap::new(),
        history: BTreeSet::new(),
        cold,
    }
}

/// JSON as content.
pub fn object(content: serde_json::Value) -> CanonicalJsonObject {
    serde_json::from_value(content).unwrap()
}
