//! Rooms that use a policy server (F2): it signs what is sent, and what it does not sign nobody
//! sees.

use super::{federation_remote_joins::joining, federation_sending::SEND};
use skerry_tests::{
    Server, User, Value, ids, json, message, path,
    peer::{Draft, Event, PeerRoom},
    remote::{PolicyKey, Remote, SIGN, signature_of},
    unique,
};
use std::time::Duration;
use tokio::{task::JoinSet, time::sleep};

both_hosts![
    f2_what_users_send_is_signed_before_anybody_sees_it,
    f2_what_changes_memberships_is_signed_too,
    f2_an_invitation_is_signed_before_the_other_server_sees_it,
    f2_what_the_policy_server_refuses_is_refused_in_its_words,
    f2_what_is_no_valid_signature_sends_nothing,
    f2_a_policy_server_that_is_not_there_is_done_without_only_when_the_room_says_so,
    f2_a_repeated_request_sends_once,
    f2_what_is_sent_at_the_same_time_does_not_fork_the_room,
    f2_a_room_without_a_user_of_the_policy_server_uses_none,
    f2_a_room_that_names_this_server_sends_nothing,
    f2_what_other_servers_send_unsigned_is_signed_or_hidden,
    f2_a_false_signature_of_another_server_counts_for_nothing,
    f2_an_event_that_comes_while_the_policy_server_is_away_is_hidden_soon,
    f2_who_joins_by_way_of_this_server_is_asked_about,
    f2_what_is_asked_for_because_it_was_missed_is_asked_about,
    f2_history_is_not_asked_about,
];

const POLICY: &str = "m.room.policy";

/// A room of Alice's, with its policy server and another server in it.
struct Guarded {
    alice: User,
    bob: User,
    room: String,
    policy: Remote,
    key: PolicyKey,
    other: Remote,
    /// The room as the other server knows it.
    known: PeerRoom,
}

impl Guarded {
    async fn start(server: &Server, version: &str) -> Self {
        let (policy, other) = (Remote::start(), Remote::start());
        policy.accept_transactions();
        other.accept_transactions();
        let alice = User::register(server, "alice").await;
        let bob = User::register(server, "bob").await;
        let options = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(&options).await;
        bob.join(&room).await;
        let entered = policy.enter(server, &alice, &room, &policy.peer.user("guard")).await;
        other.enter(server, &alice, &room, &other.peer.user("carol")).await;
        let key = PolicyKey::generate();
        policy.recommend(&key, &entered.rules);
        alice.set_state(&room, POLICY, "", &key.of(&policy.peer.name)).await;
        let known = PeerRoom::of(&other.peer, &alice, &room).await;
        assert!(policy.judged().is_empty(), "what names it is not asked about");
        Self { alice, bob, room, policy, key, other, known }
    }

    fn via(&self) -> &str {
        &self.policy.peer.name
    }

    fn carol(&self) -> String {
        self.other.peer.user("carol")
    }

    /// The room's events, as they are stored.
    async fn stored(&self) -> Vec<Value> {
        let room = json!({ "rooms": [self.room], "timeline": { "limit": 100 } });
        let filter = json!({ "event_format": "federation", "room": room });
        let sync = self.alice.sync().filter(&filter).get().await;
        sync.joined(&self.room).expect("the room").timeline().to_vec()
    }

    /// How many events there are.
    async fn count(&self) -> usize {
        self.alice.history(&self.room).await.len()
    }

    /// Checks that this was asked about last, and that it is stored and sent with the signature.
    async fn is_signed(&self, has: impl Fn(&Value) -> bool) {
        let judged = self.policy.judged().pop().expect("it was asked");
        assert!(has(&judged), "{judged}");
        assert!(judged["signatures"]["localhost"].is_object(), "{judged}");
        let stored = self.stored().await;
        let stored = stored.iter().rfind(|it| has(it)).expect("it is stored");
        assert!(signature_of(stored, self.via()).is_some(), "{stored}");
        assert!(stored["signatures"]["localhost"].is_object(), "{stored}");
        let signature = signature_of(stored, self.via()).expect("a signature");
        self.other.until(SEND, |it| it.text().contains(&signature)).await;
    }

    /// Has the other server send an event, and says whether Alice sees it.
    async fn receives(&self, server: &Server, event: &Event) -> bool {
        let answer = self.other.send(server, &[event]).await;
        assert_eq!(answer["pdus"][&event.id], json!({}), "{answer}");
        let reply = self.alice.event(&self.room, &event.id).send().await;
        if reply.status != 200 {
            self.alice.is_not_shown(&self.room, &event.id).await;
        }
        reply.status == 200
    }
}

fn refusal() -> (u16, Value) {
    (400, json!({ "errcode": "M_FORBIDDEN", "error": "this looks like spam" }))
}

async fn f2_what_users_send_is_signed_before_anybody_sees_it(server: &Server) {
    for version in ["1", "11", "12"] {
        let it = Guarded::start(server, version).await;
        let (alice, bob, room) = (&it.alice, &it.bob, &it.room);
        let said = bob.say(room, "hello").await;
        it.is_signed(|it| it["content"]["body"] == "hello").await;
        alice.set_state(room, "m.room.topic", "", &json!({ "topic": "policy" })).await;
        it.is_signed(|it| it["type"] == "m.room.topic").await;
        // What only looks like what names the policy server.
        alice.set_state(room, POLICY, "x", &json!({})).await;
        it.is_signed(|it| it["type"] == POLICY && it["state_key"] == "x").await;
        bob.send(room, POLICY, &json!({})).await;
        it.is_signed(|it| it["type"] == POLICY && it["state_key"].is_null()).await;
        bob.redact(room, &said).await;
        it.is_signed(|it| it["type"] == "m.room.redaction").await;
        alice.is_shown(room, &said, &json!({})).await;
        let judged = it.policy.judged().len();
        assert_eq!(judged, 5, "each once");
        // It was asked about what would be sent, and sent is what it was asked about.
        let ids: Vec<_> = it.policy.judged().iter().map(|pdu| pdu["hashes"].clone()).collect();
        for hash in ids {
            assert!(it.stored().await.iter().any(|pdu| pdu["hashes"] == hash), "{hash}");
        }
    }
}

async fn f2_what_changes_memberships_is_signed_too(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let (alice, bob, room) = (&it.alice, &it.bob, &it.room);
    let member = |user: &User, membership: &'static str| {
        let id = user.id.clone();
        move |it: &Value| it["state_key"] == id && it["content"]["membership"] == membership
    };
    bob.leave(room).await;
    it.is_signed(member(bob, "leave")).await;
    assert_eq!(alice.membership_in(room, &bob.id).await, "leave");
    alice.invite(room, bob).await;
    it.is_signed(member(bob, "invite")).await;
    bob.join(room).await;
    it.is_signed(member(bob, "join")).await;
    let name = unique("name");
    let profile = path(["profile", &bob.id, "displayname"]);
    bob.put(profile).json(&json!({ "displayname": name })).ok().await;
    it.policy.until(SIGN, |it| it.text().contains(&name)).await;
    it.other.until(SEND, |it| it.text().contains(&name)).await;
    it.is_signed(|it| it["content"]["displayname"] == *name).await;
    let body = json!({ "user_id": bob.id });
    alice.post(path(["rooms", room, "kick"])).json(&body).ok().await;
    it.is_signed(member(bob, "leave")).await;
    let ban = json!({ "membership": "ban" });
    alice.set_state(room, "m.room.member", &bob.id, &ban).await;
    it.is_signed(member(bob, "ban")).await;
    it.policy.judge(|_| refusal());
    let unban = alice.post(path(["rooms", room, "unban"])).json(&body);
    unban.refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_in(room, &bob.id).await, "ban");
}

async fn f2_an_invitation_is_signed_before_the_other_server_sees_it(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let invited = Remote::start();
    invited.sign_invites();
    let dave = invited.peer.user("dave");
    let body = json!({ "user_id": dave });
    let inviting = || it.alice.post(path(["rooms", &it.room, "invite"])).json(&body);
    it.policy.judge(|_| refusal());
    let refused = inviting().refused(403, "M_FORBIDDEN").await;
    assert_eq!(refused["error"], "this looks like spam");
    assert!(invited.invites().is_empty());
    it.policy.recommend(&it.key, &it.known.rules);
    inviting().ok().await;
    let asked = invited.invites().pop().expect("an invitation");
    assert!(signature_of(&asked["event"], it.via()).is_some(), "{asked}");
    it.is_signed(|it| it["state_key"] == dave).await;
    assert_eq!(it.policy.judged().len(), 2);
}

async fn f2_what_the_policy_server_refuses_is_refused_in_its_words(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let before = it.count().await;
    let url = path(["rooms", &it.room, "send", "m.room.message", "txn"]);
    let sending = || it.bob.put(&url).json(&message("buy this"));
    let cases = [
        (400, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
        (429, "M_LIMIT_EXCEEDED", 429, "M_LIMIT_EXCEEDED"),
        (404, "M_NOT_FOUND", 404, "M_NOT_FOUND"),
        (404, "M_UNRECOGNIZED", 502, "M_UNKNOWN"),
        // A client that hears this logs out.
        (401, "M_UNKNOWN_TOKEN", 502, "M_UNKNOWN"),
    ];
    for (status, code, expected_status, expected) in cases {
        it.policy.judge(move |_| (status, json!({ "errcode": code, "error": "so it says" })));
        let refused = sending().refused(expected_status, expected).await;
        assert_eq!(refused["error"] == "so it says", expected != "M_UNKNOWN", "{refused}");
    }
    it.policy.judge(|_| refusal());
    let topic = json!({ "topic": "buy this" });
    it.alice.setting(&it.room, "m.room.topic", "", &topic).refused(403, "M_FORBIDDEN").await;
    assert_eq!(it.count().await, before);
    // Nothing is left of it: the same request may be made again.
    it.policy.recommend(&it.key, &it.known.rules);
    sending().ok().await;
    assert_eq!(it.count().await, before + 1);
    it.other.until(SEND, |it| it.text().contains("buy this")).await;
}

/// What a policy server answers instead of its signature.
type Lie = Box<dyn FnMut(&Value) -> Value + Send>;

async fn f2_what_is_no_valid_signature_sends_nothing(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let before = it.count().await;
    let (via, rules, key) = (it.via().to_owned(), it.known.rules.clone(), it.key.clone());
    let other_key = PolicyKey::generate();
    let lies: [(&str, Lie); 6] = [
        ("another key", {
            let (via, rules) = (via.clone(), rules.clone());
            Box::new(move |pdu| other_key.sign(&via, pdu, &rules))
        }),
        ("another event", {
            let (via, rules, key) = (via.clone(), rules.clone(), key.clone());
            Box::new(move |pdu| {
                let mut pdu = pdu.clone();
                pdu["content"] = message("something else");
                key.sign(&via, &pdu, &rules)
            })
        }),
        ("another server's name", Box::new(move |pdu| key.sign("elsewhere", pdu, &rules))),
        ("no signature", Box::new(|_| json!({}))),
        ("no base64", Box::new(move |_| json!({ &via: { "ed25519:policy_server": "?" } }))),
        ("no object", Box::new(|_| json!([1]))),
    ];
    for (name, mut lie) in lies {
        it.policy.judge(move |pdu| (200, lie(pdu)));
        let reply = it.bob.sending(&it.room, "m.room.message", &message(name)).send().await;
        assert_eq!((reply.status, reply.errcode()), (502, "M_UNKNOWN"), "{name}: {reply}");
    }
    assert_eq!(it.count().await, before);
}

async fn f2_a_policy_server_that_is_not_there_is_done_without_only_when_the_room_says_so(
    server: &Server,
) {
    let it = Guarded::start(server, "11").await;
    let before = it.count().await;
    let Guarded { alice, bob, room, policy, .. } = &it;
    policy.judge(|_| (503, json!({ "errcode": "M_UNKNOWN", "error": "down" })));
    let hello = message("hello");
    for _ in 0..3 {
        bob.sending(room, "m.room.message", &hello).refused(502, "M_UNKNOWN").await;
    }
    assert_eq!(policy.judged().len(), 1, "it is left alone for a while");
    assert_eq!(it.count().await, before);
    alice.set_state(room, POLICY, "", &json!({})).await;
    bob.say(room, "hello").await;
    assert_eq!(policy.judged().len(), 1);
    // Another one has not failed.
    let next = Remote::start();
    next.recommend(&it.key, &it.known.rules);
    next.enter(server, alice, room, &next.peer.user("guard")).await;
    alice.set_state(room, POLICY, "", &it.key.of(&next.peer.name)).await;
    bob.say(room, "again").await;
    assert_eq!(next.judged().len(), 1);
}

async fn f2_a_repeated_request_sends_once(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let before = it.count().await;
    let url = path(["rooms", &it.room, "send", "m.room.message", &unique("txn")]);
    let sending = || it.bob.put(&url).json(&message("once")).ok();
    let answers = tokio::join!(sending(), sending(), sending());
    let again = sending().await;
    assert_eq!(answers, (again.clone(), again.clone(), again.clone()));
    assert_eq!((it.count().await, it.policy.judged().len()), (before + 1, 1));
    let target = again["event_id"].as_str().expect("an event ID").to_owned();
    let url = path(["rooms", &it.room, "redact", &target, &unique("txn")]);
    let redacting = || it.bob.put(&url).json(&json!({})).ok();
    let first = redacting().await;
    assert_eq!(redacting().await, first);
    assert_eq!((it.count().await, it.policy.judged().len()), (before + 2, 2));
}

async fn f2_what_is_sent_at_the_same_time_does_not_fork_the_room(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let texts: Vec<_> = (0..8).map(|at| format!("number {at}")).collect();
    let mut sending = JoinSet::new();
    for text in &texts {
        sending.spawn(it.bob.say(&it.room, text));
    }
    sending.join_all().await;
    let topic = json!({ "topic": "last" });
    it.alice.set_state(&it.room, "m.room.topic", "", &topic).await;
    let stored = it.stored().await;
    for text in &texts {
        assert!(stored.iter().any(|pdu| pdu["content"]["body"] == **text), "{text}");
    }
    let newest = stored.iter().rev().take(9);
    for pdu in newest {
        assert_eq!(pdu["prev_events"].as_array().map(Vec::len), Some(1), "{pdu}");
        assert!(signature_of(pdu, it.via()).is_some(), "{pdu}");
    }
}

async fn f2_a_room_without_a_user_of_the_policy_server_uses_none(server: &Server) {
    let mut it = Guarded::start(server, "11").await;
    it.bob.say(&it.room, "asked about").await;
    let mut known = PeerRoom::of(&it.policy.peer, &it.alice, &it.room).await;
    let guard = it.policy.peer.user("guard");
    it.policy.ask_for(server, "leave", &mut known, &guard).await.ok();
    let judged = it.policy.judged().len();
    it.bob.say(&it.room, "not asked about").await;
    it.known = PeerRoom::of(&it.other.peer, &it.alice, &it.room).await;
    let hello = it.known.add(Draft::message(&it.carol(), "hello"));
    assert!(it.receives(server, &hello).await);
    assert_eq!(it.policy.judged().len(), judged);
}

async fn f2_a_room_that_names_this_server_sends_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let key = PolicyKey::generate();
    alice.set_state(&room, POLICY, "", &key.of(&server.name())).await;
    alice.sending(&room, "m.room.message", &message("hello")).refused(403, "M_FORBIDDEN").await;
    alice.set_state(&room, POLICY, "", &json!({ "via": server.name() })).await;
    alice.say(&room, "hello").await;
}

async fn f2_what_other_servers_send_unsigned_is_signed_or_hidden(server: &Server) {
    let mut it = Guarded::start(server, "11").await;
    let carol = it.carol();
    // Signed already.
    let signed = it.known.add(Draft::message(&carol, "signed"));
    let signed = it.key.signed(it.via(), &signed, &it.known.rules);
    assert!(it.receives(server, &signed).await);
    assert!(it.policy.judged().is_empty());
    // Signed when it is asked for: others get it so.
    let unsigned = it.known.add(Draft::message(&carol, "unsigned"));
    assert!(it.receives(server, &unsigned).await);
    assert_eq!(it.policy.judged().len(), 1);
    let stored = it.stored().await;
    let stored = stored.iter().find(|it| it["content"]["body"] == "unsigned").expect("it");
    assert!(signature_of(stored, it.via()).is_some(), "{stored}");
    // It comes again: nobody is asked again.
    it.other.send(server, &[&unsigned, &signed]).await;
    assert_eq!(it.policy.judged().len(), 1);
    // Refused: hidden, also what is state.
    it.policy.judge(|_| refusal());
    let spam = it.known.stray(Draft::message(&carol, "spam"));
    assert!(!it.receives(server, &spam).await);
    let name = json!({ "membership": "join", "displayname": "spam" });
    let named = it.known.stray(Draft::state(&carol, "m.room.member", &carol, name));
    assert!(!it.receives(server, &named).await);
    let member = it.alice.state(&it.room, "m.room.member", &carol).ok().await;
    assert!(member["displayname"].is_null(), "{member}");
    // What comes after it, and is signed, is seen all the same.
    let after = it.known.add(Draft::message(&carol, "after").after(&[&spam]));
    let after = it.key.signed(it.via(), &after, &it.known.rules);
    assert!(it.receives(server, &after).await);
    it.alice.is_not_shown(&it.room, &spam.id).await;
    // The room goes on.
    it.policy.recommend(&it.key, &it.known.rules);
    it.bob.say(&it.room, "on").await;
}

async fn f2_a_false_signature_of_another_server_counts_for_nothing(server: &Server) {
    let mut it = Guarded::start(server, "11").await;
    it.policy.judge(|_| refusal());
    let carol = it.carol();
    let (via, rules) = (it.via().to_owned(), it.known.rules.clone());
    let false_key = PolicyKey::generate().signed(
        &via,
        &it.known.stray(Draft::message(&carol, "by another key")),
        &rules,
    );
    let renamed = it.known.stray(Draft::message(&carol, "by another server"));
    let renamed = it.key.signed(&it.other.peer.name, &renamed, &rules);
    let copied = it.known.stray(Draft::message(&carol, "of another event"));
    let copied = copied.altered(|pdu| {
        let signatures = it.key.sign(&via, &false_key.pdu, &rules);
        pdu["signatures"][&via] = signatures[&via].clone();
    });
    for event in [&false_key, &renamed, &copied] {
        assert!(!it.receives(server, event).await);
    }
    assert_eq!(it.policy.judged().len(), 3, "each was asked about");
    // A key that has changed: a new signature is asked for.
    let key = PolicyKey::generate();
    it.policy.recommend(&key, &rules);
    it.alice.set_state(&it.room, POLICY, "", &key.of(&via)).await;
    it.known = PeerRoom::of(&it.other.peer, &it.alice, &it.room).await;
    let late = it.known.add(Draft::message(&carol, "by the key before"));
    let late = it.key.signed(&via, &late, &rules);
    assert!(it.receives(server, &late).await);
}

async fn f2_an_event_that_comes_while_the_policy_server_is_away_is_hidden_soon(server: &Server) {
    let mut it = Guarded::start(server, "11").await;
    it.policy.judge(|_| (503, json!({})));
    let carol = it.carol();
    let events: Vec<_> =
        (0..40).map(|at| it.known.add(Draft::message(&carol, &format!("number {at}")))).collect();
    it.other.send(server, &events.iter().collect::<Vec<_>>()).await;
    for event in [&events[0], &events[39]] {
        it.alice.is_not_shown(&it.room, &event.id).await;
    }
    assert!(it.policy.judged().len() <= 8, "those that are asked about at a time");
    // What is signed needs nobody to be there.
    let signed = it.known.add(Draft::message(&carol, "signed"));
    let signed = it.key.signed(it.via(), &signed, &it.known.rules);
    assert!(it.receives(server, &signed).await);
}

async fn f2_who_joins_by_way_of_this_server_is_asked_about(server: &Server) {
    let it = Guarded::start(server, "11").await;
    let dave = it.other.peer.user("dave");
    let mut known = PeerRoom::of(&it.other.peer, &it.alice, &it.room).await;
    it.policy.judge(|_| refusal());
    let refused = it.other.ask_for(server, "join", &mut known, &dave).await;
    refused.refused(403, "M_FORBIDDEN");
    assert_eq!(it.alice.membership_in(&it.room, &dave).await, "");
    it.policy.recommend(&it.key, &known.rules);
    let erin = it.other.peer.user("erin");
    let mut known = PeerRoom::of(&it.other.peer, &it.alice, &it.room).await;
    it.other.ask_for(server, "join", &mut known, &erin).await.ok();
    assert_eq!(it.alice.membership_in(&it.room, &erin).await, "join");
    let stored = it.stored().await;
    let stored = stored.iter().find(|it| it["state_key"] == erin).expect("the join");
    assert!(signature_of(stored, it.via()).is_some(), "{stored}");
}

/// Who may send what is signed alone must not bring in by it what is not.
async fn f2_what_is_asked_for_because_it_was_missed_is_asked_about(server: &Server) {
    let mut it = Guarded::start(server, "11").await;
    let (carol, rules) = (it.carol(), it.known.rules.clone());
    let signing = it.key.clone();
    let via = it.via().to_owned();
    it.policy.judge(move |pdu| match pdu["content"]["body"] == "spam" {
        true => refusal(),
        false => (200, signing.sign(&via, pdu, &rules)),
    });
    let spam = it.known.add(Draft::message(&carol, "spam"));
    let fine = it.known.add(Draft::message(&carol, "fine"));
    let last = it.known.add(Draft::message(&carol, "last"));
    it.other.knows(&it.known);
    it.other.send(server, &[&last]).await;
    it.alice.sync().until_event(&it.room, &last.id).await;
    it.alice.is_shown(&it.room, &fine.id, &message("fine")).await;
    it.alice.is_not_shown(&it.room, &spam.id).await;
}

/// What was before what is here comes without signatures where the room had no policy server then.
async fn f2_history_is_not_asked_about(server: &Server) {
    let (policy, other) = (Remote::start(), Remote::start());
    let key = PolicyKey::generate();
    let mut known = PeerRoom::create(&other.peer, "11", &[]);
    let carol = other.peer.user("carol");
    let old: Vec<_> =
        (0..5).map(|at| known.add(Draft::message(&carol, &format!("old {at}")))).collect();
    let guard = known.prepare(Draft::join(&policy.peer.user("guard")));
    known.follow(&policy.peer.sign(&guard, &known.rules));
    known.add(Draft::state(&carol, POLICY, "", key.of(&policy.peer.name)));
    policy.recommend(&key, &known.rules);
    other.open(&known);
    other.knows(&known);
    let alice = User::register(server, "alice").await;
    joining(&alice, &known.id, &[&other]).ok().await;
    let mut seen = Vec::new();
    for _ in 0..50 {
        let page = alice.messages(&known.id, "b").query("limit", 100).ok().await;
        seen.extend(ids(page["chunk"].as_array().expect("events")).into_iter().map(str::to_owned));
        if seen.contains(&old[0].id) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(old.iter().all(|it| seen.contains(&it.id)), "{seen:?}");
    assert!(policy.judged().is_empty());
    alice.say(&known.id, "now").await;
    assert_eq!(policy.judged().len(), 1);
}
