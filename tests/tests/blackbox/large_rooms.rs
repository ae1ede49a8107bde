//! Rooms of ten and of twenty thousand members, which are joined, fork, and are joined again.

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};
use skerry_tests::{
    Client, Host, Options, Server, Sync, User, Value, json, path,
    peer::{Peer, event_id, outcomes},
    unique,
};

private_server! {
    native: Native => [
        t2_a_large_room_forks_and_is_resolved,
        a_room_of_twenty_thousand_is_joined_twice_within_an_objects_memory,
    ],
    worker: Worker => [
        t2_a_large_room_forks_and_is_resolved,
        a_room_of_twenty_thousand_is_joined_twice_within_an_objects_memory,
    ],
}

/// Members of the room that forks, besides its creator.
const MEMBERS: usize = 10_000;
/// Members of the room that is joined twice.
const MANY_MEMBERS: usize = 20_000;
/// Members who are removed from it between the two joins.
const REMOVED: usize = 5_000;
/// Members whose membership changes on each of two forks.
const CHANGED: usize = 250;
/// Where the members' events begin among the state.
const FIRST_MEMBER: usize = 4;
/// Events handed over at a time.
const PAGE: usize = 500;
/// What a Durable Object may have.
const OBJECT_BYTES: u64 = 128 * 1024 * 1024;

/// A room that only its peer has, kept small: nothing but the events and the newest of each fork.
struct Large {
    peer: Peer,
    id: String,
    rules: RoomVersionRules,
    state: Vec<Value>,
    /// State events that others have taken the place of.
    chain: Vec<Value>,
    /// Auth events of a member's events: power levels and join rules.
    auth: Vec<String>,
    /// The ID of each member's join.
    joins: Vec<String>,
    last: (String, u64),
}

impl Large {
    fn new(members: usize) -> Self {
        let rules = RoomVersionId::V12.rules().expect("a known version");
        let peer = Peer::new("large.example");
        let (state, chain, auth, joins) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let last = (String::new(), 0);
        let mut room = Self { peer, id: String::new(), rules, state, chain, auth, joins, last };
        let carol = room.peer.user("carol");
        let version = json!({ "room_version": "12" });
        let create = room.add(&carol, "m.room.create", "", &version, &[]);
        room.id = create.replacen('$', "!", 1);
        let join = json!({ "membership": "join" });
        let member = room.add(&carol, "m.room.member", &carol, &join, &[]);
        let levels = room.add(&carol, "m.room.power_levels", "", &json!({}), &[&member]);
        let public = json!({ "join_rule": "public" });
        let rules = room.add(&carol, "m.room.join_rules", "", &public, &[&levels, &member]);
        room.auth = vec![levels.clone(), rules.clone()];
        for number in 0..members {
            let user = room.member(number);
            let id = room.add(&user, "m.room.member", &user, &join, &[&levels, &rules]);
            room.joins.push(id);
        }
        room.auth.push(member);
        room
    }

    fn member(&self, number: usize) -> String {
        self.peer.user(&format!("member{number}"))
    }

    /// Makes a state event behind the last one.
    fn add(
        &mut self,
        sender: &str,
        kind: &str,
        key: &str,
        content: &Value,
        auth: &[&String],
    ) -> String {
        let pdu = self.event(sender, kind, key, content, auth);
        let id = event_id(&pdu, &self.rules);
        self.state.push(pdu);
        self.last = (id.clone(), self.last.1 + 1);
        id
    }

    fn event(
        &self,
        sender: &str,
        kind: &str,
        key: &str,
        content: &Value,
        auth: &[&String],
    ) -> Value {
        let mut event = json!({ "sender": sender, "type": kind, "state_key": key,
            "content": content, "depth": self.last.1 + 1, "auth_events": auth, "prev_events": [],
            "origin_server_ts": 1_760_000_000_000_u64 + self.last.1 });
        if !self.id.is_empty() {
            event["room_id"] = json!(self.id);
            event["prev_events"] = json!([self.last.0]);
        }
        self.peer.sign(&event, &self.rules)
    }

    /// A branch from the last event: a member's event each, `content` by number.
    fn branch(
        &mut self,
        members: std::ops::Range<usize>,
        change: impl Fn(&Self, usize) -> Value,
    ) -> Vec<Value> {
        let start = self.last.clone();
        let mut branch = Vec::new();
        for number in members {
            let event = change(self, number);
            self.last = (event_id(&event, &self.rules), self.last.1 + 1);
            branch.push(event);
        }
        self.last = start;
        branch
    }

    fn profile(&self, number: usize, name: &str) -> Value {
        let user = self.member(number);
        let content = json!({ "membership": "join", "displayname": name });
        let auth = [&self.auth[0], &self.auth[1], &self.joins[number]];
        self.event(&user, "m.room.member", &user, &content, &auth)
    }

    fn kick(&self, number: usize) -> Value {
        let carol = self.peer.user("carol");
        let auth = [&self.auth[0], &self.auth[2], &self.joins[number]];
        let content = json!({ "membership": "leave" });
        self.event(&carol, "m.room.member", &self.member(number), &content, &auth)
    }

    async fn ask(&self, server: &Server, command: Value) {
        let route = format!("/_skerry/test{}", path(["room", &self.id]));
        let reply = Client::new(server.url()).post(route).json(&command).ok().await;
        for it in outcomes(&reply) {
            assert_eq!(it["outcome"], json!({ "accepted": { "redacted": false } }), "{it}");
        }
    }

    /// Members are removed, behind the last event.
    fn remove(&mut self, members: std::ops::Range<usize>) {
        for number in members {
            let event = self.kick(number);
            self.last = (event_id(&event, &self.rules), self.last.1 + 1);
            let before = &mut self.state[FIRST_MEMBER + number];
            self.chain.push(std::mem::replace(before, event));
        }
    }

    async fn let_in(&mut self, server: &Server, user: &User) {
        let attempt = unique("attempt");
        let chain = self.chain.chunks(PAGE).map(|it| (false, it));
        let parts = chain.chain(self.state.chunks(PAGE).map(|it| (true, it)));
        for (number, (is_state, page)) in parts.enumerate() {
            let stage = json!({ "attempt": attempt, "begins": number == 0, "room_version": "12",
                "events": page, "is_state": is_state, "keys": [self.peer.key()] });
            self.ask(server, json!({ "stage": stage })).await;
        }
        let content = json!({ "membership": "join" });
        let auth = [&self.auth[0], &self.auth[1]];
        let unsigned = self.event(&user.id, "m.room.member", &user.id, &content, &auth);
        let route = format!("/_skerry/test{}", path(["sign", "12"]));
        let mut unsigned = unsigned;
        unsigned.as_object_mut().expect("an event").remove("signatures");
        unsigned.as_object_mut().expect("an event").remove("hashes");
        let event = Client::new(server.url()).post(route).json(&unsigned).ok().await;
        self.last = (event_id(&event, &self.rules), self.last.1 + 1);
        let join = json!({ "attempt": attempt, "room_version": "12", "event": event, "keys": [] });
        self.ask(server, json!({ "join": join })).await;
    }

    /// At the edge: the object has not taken more memory than it may, all in all.
    async fn fits(&self, host: Host, server: &Server, when: &str) {
        if host == Host::Worker {
            let route = format!("/_skerry/test{}", path(["memory", &self.id]));
            let memory = Client::new(server.url()).get(route).ok().await;
            let bytes = memory["bytes"].as_u64().expect("bytes");
            println!("{when}: {bytes} bytes of Wasm memory");
            assert!(bytes < OBJECT_BYTES, "{bytes} bytes are too many for an object");
        }
    }

    async fn send(&self, server: &Server, events: &[Value]) {
        for page in events.chunks(PAGE) {
            let receive = json!({ "events": page, "keys": [self.peer.key()], "kind": "live",
                "states": [] });
            self.ask(server, json!({ "receive": receive })).await;
        }
    }
}

async fn t2_a_large_room_forks_and_is_resolved(host: Host) {
    let server = &Server::start(host, Options::default());
    let alice = User::register(server, "alice").await;
    let mut room = Large::new(MEMBERS);
    room.let_in(server, &alice).await;
    // On one branch members take names, on the other some of them and others do, and every tenth
    // of those who did on the first is kicked.
    let first = room.branch(0..CHANGED, |room, it| room.profile(it, "first"));
    let second = room.branch(CHANGED / 2..CHANGED * 3 / 2, |room, it| match it {
        it if it % 10 == 0 => room.kick(it),
        it => room.profile(it, "second"),
    });
    room.send(server, &first).await;
    room.send(server, &second).await;
    let members = alice.get(path(["rooms", &room.id, "joined_members"])).ok().await;
    let joined = members["joined"].as_object().expect("members");
    // Whoever took a name on the first branch has come back to the public room by that.
    let kicked = (CHANGED..CHANGED * 3 / 2).filter(|it| it % 10 == 0);
    assert_eq!(joined.len(), MEMBERS + 2 - kicked.clone().count());
    for number in kicked {
        assert!(!joined.contains_key(&room.member(number)), "member {number} was kicked");
    }
    for number in [1, CHANGED - 1, CHANGED + 1, CHANGED * 3 / 2 - 1] {
        let name = &joined[&room.member(number)]["display_name"];
        assert!(["first", "second"].iter().any(|it| name == it), "{number} is called {name}");
    }
    // What is said next brings the branches together.
    let said = alice.say(&room.id, "together").await;
    let federation = json!({ "event_format": "federation" });
    let sync = alice.sync().filter(&federation).get().await;
    let timeline = sync.joined(&room.id).expect("the room").timeline();
    let last = timeline.last().expect("a timeline");
    assert_eq!(event_id(last, &room.rules), said);
    assert_eq!(last["prev_events"].as_array().map(Vec::len), Some(2));
    room.fits(host, server, "resolved").await;
}

async fn a_room_of_twenty_thousand_is_joined_twice_within_an_objects_memory(host: Host) {
    let server = &Server::start(host, Options::default());
    let alice = User::register(server, "alice").await;
    let mut room = Large::new(MANY_MEMBERS);
    room.let_in(server, &alice).await;
    room.fits(host, server, "joined").await;
    assert_eq!(members(&alice, &room).await, MANY_MEMBERS + 2);
    alice.leave(&room.id).await;
    room.remove(0..REMOVED);
    room.let_in(server, &alice).await;
    room.fits(host, server, "joined again").await;
    assert_eq!(members(&alice, &room).await, MANY_MEMBERS + 2 - REMOVED);
    for (number, membership) in [(0, "leave"), (REMOVED - 1, "leave"), (REMOVED, "join")] {
        let member = room.member(number);
        assert_eq!(alice.membership_in(&room.id, &member).await, membership, "{member}");
    }
    alice.say(&room.id, "fewer of you").await;
}

/// How many members a user is shown.
async fn members(user: &User, room: &Large) -> Value {
    let filter = json!({ "room": { "state": { "lazy_load_members": true } } });
    let found = |it: &Sync| {
        let summary = &it.joined(&room.id)?.0["summary"];
        Some(summary["m.joined_member_count"].clone())
    };
    user.sync().filter(&filter).until("the room", found).await
}
