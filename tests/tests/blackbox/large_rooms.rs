//! A room of ten thousand members that is joined, forks, and is resolved.

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};
use skerry_tests::{
    Client, Host, Options, Server, User, Value, json, path,
    peer::{Peer, event_id, outcomes},
};

private_server! {
    native: Native => [t2_a_large_room_forks_and_is_resolved],
    worker: Worker => [t2_a_large_room_forks_and_is_resolved],
}

/// Members of the room, besides its creator.
const MEMBERS: usize = 10_000;
/// Members whose membership changes on each of two forks.
const CHANGED: usize = 250;
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
    /// Auth events of a member's events: power levels and join rules.
    auth: Vec<String>,
    /// The ID of each member's join.
    joins: Vec<String>,
    last: (String, u64),
}

impl Large {
    fn new() -> Self {
        let rules = RoomVersionId::V12.rules().expect("a known version");
        let peer = Peer::new("large.example");
        let (state, auth, joins) = (Vec::new(), Vec::new(), Vec::new());
        let last = (String::new(), 0);
        let mut room = Self { peer, id: String::new(), rules, state, auth, joins, last };
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
        for number in 0..MEMBERS {
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

    async fn let_in(&mut self, server: &Server, user: &User) {
        for (number, page) in self.state.chunks(PAGE).enumerate() {
            let stage = json!({ "attempt": "only", "begins": number == 0, "room_version": "12",
                "events": page, "is_state": true, "keys": [self.peer.key()] });
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
        let join = json!({ "attempt": "only", "room_version": "12", "event": event, "keys": [] });
        self.ask(server, json!({ "join": join })).await;
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
    let mut room = Large::new();
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
    if host == Host::Worker {
        let route = format!("/_skerry/test{}", path(["memory", &room.id]));
        let memory = Client::new(server.url()).get(route).ok().await;
        let bytes = memory["bytes"].as_u64().expect("bytes");
        println!("{bytes} bytes of Wasm memory");
        assert!(bytes < OBJECT_BYTES, "{bytes} bytes are too many for an object");
    }
}
