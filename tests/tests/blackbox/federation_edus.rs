//! Receipts and typing between servers (F12, T9b, T15b, T16).

use crate::federation_sending::{SEND, accept, join, shared};
use skerry_tests::{
    PATIENCE, Request, Room, Server, User, Value, json, message, path,
    peer::{Draft, PeerRoom},
    remote::{Remote, now_ms},
    unique,
};
use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

both_hosts![
    f12_who_types_on_another_server_is_shown,
    f12_what_is_read_on_another_server_is_shown,
    what_is_read_may_come_before_the_event,
    t9b_nobody_speaks_for_users_of_another_server,
    t9b_who_is_not_in_the_room_is_not_believed,
    t9b_a_server_that_the_room_keeps_out_is_not_believed,
    malformed_edus_fail_nothing,
    f12_who_types_here_is_told_to_the_servers_in_the_room,
    typing_ends_for_other_servers_when_its_user_leaves,
    f12_what_is_read_here_reaches_the_servers_in_the_room,
    t16_private_receipts_never_leave,
    t15b_a_server_whose_users_have_left_is_told_nothing,
    t15b_a_server_that_is_kept_out_is_told_nothing,
    t4_a_server_that_was_away_is_given_the_newest_receipt_alone,
];

/// Sends events and EDUs of a server.
async fn send(remote: &Remote, server: &Server, pdus: &[&Value], edus: &[Value]) -> Value {
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": pdus,
        "edus": edus });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await
}

fn typing(room: &str, user: &str, is_typing: bool) -> Value {
    let content = json!({ "room_id": room, "user_id": user, "typing": is_typing });
    json!({ "edu_type": "m.typing", "content": content })
}

fn receipt(room: &str, user: &str, event: &str, thread: Option<&str>) -> Value {
    let mut data = json!({ "ts": 1_760_000_000_000_u64 });
    if let Some(thread) = thread {
        data["thread_id"] = json!(thread);
    }
    let read = json!({ user: { "event_ids": [event], "data": data } });
    json!({ "edu_type": "m.receipt", "content": { room: { "m.read": read } } })
}

/// Who types, when the room tells of it.
fn typists(room: Room<'_>) -> Option<Vec<String>> {
    let ids = room.ephemeral("m.typing")?["user_ids"].as_array().expect("a list of users");
    Some(ids.iter().map(|it| it.as_str().expect("an ID").to_owned()).collect())
}

/// The receipt that a user has at an event, when the room tells of it.
fn read_at(room: Room<'_>, event: &str, user: &str) -> Option<Value> {
    room.ephemeral("m.receipt")?[event]["m.read"].get(user).cloned()
}

/// What is no event of what a server was sent.
fn edus(remote: &Remote, from: usize) -> Vec<Value> {
    let transactions = remote.asked(SEND).into_iter().skip(from);
    let bodies = transactions.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
    bodies.flat_map(|it| it["edus"].as_array().cloned().unwrap_or_default()).collect()
}

/// Waits until a server was sent an EDU, of those from one of its transactions on.
async fn until_edu<T>(remote: &Remote, from: usize, found: impl Fn(&Value) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = edus(remote, from).iter().find_map(&found) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("no such EDU: {:?}", edus(remote, from)))
}

/// Waits until a server was told that a user has read up to an event. What of it.
async fn until_read(remote: &Remote, from: usize, room: &str, user: &str, event: &str) -> Value {
    let is_it = |edu: &Value| {
        let receipt = &edu["content"][room]["m.read"][user];
        (edu["edu_type"] == "m.receipt" && receipt["event_ids"] == json!([event]))
            .then(|| receipt["data"].clone())
    };
    until_edu(remote, from, is_it).await
}

async fn until_typing(remote: &Remote, room: &str, user: &str, is_typing: bool) {
    let expected = typing(room, user, is_typing);
    until_edu(remote, 0, |it| (*it == expected).then_some(())).await;
}

fn type_here(user: &User, room: &str, is_typing: bool) -> Request {
    let body = json!({ "typing": is_typing, "timeout": 30_000 });
    user.put(path(["rooms", room, "typing", &user.id])).json(&body)
}

fn read_here(user: &User, room: &str, kind: &str, event: &str) -> Request {
    user.post(path(["rooms", room, "receipt", kind, event]))
}

/// A room of Alice's that Carol of the other server has joined.
async fn with_carol(remote: &Remote, server: &Server) -> (User, PeerRoom, String) {
    accept(remote);
    let (alice, mut rooms) = shared(&[remote], server).await;
    (alice, rooms.remove(0), remote.peer.user("carol"))
}

async fn f12_who_types_on_another_server_is_shown(server: &Server) {
    let remote = Remote::start();
    let (alice, room, carol) = with_carol(&remote, server).await;
    let mut watch = alice.watch().await;
    send(&remote, server, &[], &[typing(&room.id, &carol, true)]).await;
    assert_eq!(watch.room("carol typing", &room.id, typists).await, [carol.as_str()]);
    send(&remote, server, &[], &[typing(&room.id, &carol, false)]).await;
    assert_eq!(watch.room("carol stopping", &room.id, typists).await, Vec::<String>::new());
}

async fn f12_what_is_read_on_another_server_is_shown(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room, carol) = with_carol(&remote, server).await;
    let root = alice.say(&room.id, "root").await;
    let in_thread = json!({ "msgtype": "m.text", "body": "reply",
        "m.relates_to": { "rel_type": "m.thread", "event_id": root } });
    let reply = alice.send(&room.id, "m.room.message", &in_thread).await;
    let mut watch = alice.watch().await;
    send(&remote, server, &[], &[receipt(&room.id, &carol, &root, None)]).await;
    let told = watch.room("a receipt", &room.id, |it| read_at(it, &root, &carol)).await;
    assert_eq!(told, json!({ "ts": 1_760_000_000_000_u64 }));
    send(&remote, server, &[], &[receipt(&room.id, &carol, &reply, Some(&root))]).await;
    let told = watch.room("a threaded one", &room.id, |it| read_at(it, &reply, &carol)).await;
    assert_eq!(told["thread_id"], json!(root));
    // The event comes with the transaction that has its receipt.
    let hello = room.add(Draft::message(&carol, "hello"));
    send(&remote, server, &[&hello.pdu], &[receipt(&room.id, &carol, &hello.id, None)]).await;
    watch.room("of the event beside it", &room.id, |it| read_at(it, &hello.id, &carol)).await;
    // It never goes backward, nor into a thread that the event is not in, nor to the future.
    let later = room.add(Draft::message(&carol, "later"));
    let mut of_later = receipt(&room.id, &carol, &later.id, None);
    of_later["content"][&room.id]["m.read"][&carol]["data"]["ts"] = json!(now_ms() * 2);
    let backward = receipt(&room.id, &carol, &root, None);
    let astray = receipt(&room.id, &carol, &root, Some(&reply));
    send(&remote, server, &[&later.pdu], &[astray, backward, of_later]).await;
    let told = watch.room("the newest", &room.id, |it| read_at(it, &later.id, &carol)).await;
    assert!(told["ts"].as_u64().is_some_and(|it| it <= now_ms()), "{told}");
    let fresh = alice.sync().get().await;
    let shown = fresh.joined(&room.id).expect("the room");
    assert!(read_at(shown, &later.id, &carol).is_some(), "{}", fresh.json);
    assert!(read_at(shown, &hello.id, &carol).is_none(), "{}", fresh.json);
    assert!(read_at(shown, &root, &carol).is_none(), "{}", fresh.json);
}

async fn what_is_read_may_come_before_the_event(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room, carol) = with_carol(&remote, server).await;
    let late = room.add(Draft::message(&carol, "late"));
    let next = room.add(Draft::message(&carol, "next"));
    let mut watch = alice.watch().await;
    let in_thread = receipt(&room.id, &carol, "$never-said", Some("$unknown"));
    send(&remote, server, &[], &[in_thread, receipt(&room.id, &carol, &late.id, None)]).await;
    watch.room("a receipt", &room.id, |it| read_at(it, &late.id, &carol)).await;
    send(&remote, server, &[&late.pdu, &next.pdu], &[receipt(&room.id, &carol, &next.id, None)])
        .await;
    watch.room("the next", &room.id, |it| read_at(it, &next.id, &carol)).await;
    let fresh = alice.sync().get().await;
    let shown = fresh.joined(&room.id).expect("the room");
    assert!(read_at(shown, &late.id, &carol).is_none(), "{}", fresh.json);
    assert!(read_at(shown, "$never-said", &carol).is_none(), "{}", fresh.json);
}

/// Everything of Carol's is shown, and nothing of anybody else's.
async fn shows_only_carol(alice: &User, since: &str, room: &str, carol: &str, event: &str) {
    let mut watch = skerry_tests::Watch::from(alice, since);
    let (mut types, mut has_read) = (false, false);
    while !(types && has_read) {
        let sync = watch.next().await;
        let Some(shown) = sync.joined(room) else { continue };
        if let Some(ids) = typists(shown) {
            assert_eq!(ids, [carol]);
            types = true;
        }
        if let Some(content) = shown.ephemeral("m.receipt") {
            let read = content[event]["m.read"].as_object().expect("receipts");
            assert_eq!(read.keys().collect::<Vec<_>>(), [carol], "{content}");
            has_read = true;
        }
    }
}

async fn t9b_nobody_speaks_for_users_of_another_server(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let (alice, room, carol) = with_carol(&remote, server).await;
    join(&other, server, &alice, &room.id, "victim").await;
    let event = alice.say(&room.id, "hello").await;
    let since = alice.sync().get().await.next_batch().to_owned();
    let mut said = Vec::new();
    for user in [&other.peer.user("victim"), &alice.id, &carol] {
        said.push(typing(&room.id, user, true));
        said.push(receipt(&room.id, user, &event, None));
    }
    send(&remote, server, &[], &said).await;
    shows_only_carol(&alice, &since, &room.id, &carol, &event).await;
}

async fn t9b_who_is_not_in_the_room_is_not_believed(server: &Server) {
    let remote = Remote::start();
    let (alice, room, carol) = with_carol(&remote, server).await;
    join(&remote, server, &alice, &room.id, "banned").await;
    alice.ban(&room.id, &remote.peer.user("banned")).await;
    let event = alice.say(&room.id, "hello").await;
    let since = alice.sync().get().await.next_batch().to_owned();
    let mut said = Vec::new();
    for user in [&remote.peer.user("stranger"), &remote.peer.user("banned"), &carol] {
        said.push(typing(&room.id, user, true));
        said.push(receipt(&room.id, user, &event, None));
    }
    // A room that nobody here is in, and one that is nowhere, are passed over.
    said.push(typing("!nowhere:localhost", &carol, true));
    said.push(receipt("!nowhere:localhost", &carol, &event, None));
    send(&remote, server, &[], &said).await;
    shows_only_carol(&alice, &since, &room.id, &carol, &event).await;
}

async fn t9b_a_server_that_the_room_keeps_out_is_not_believed(server: &Server) {
    let (kept_out, remote) = (Remote::start_at_address(), Remote::start());
    let (alice, room, carol) = with_carol(&remote, server).await;
    join(&kept_out, server, &alice, &room.id, "carol").await;
    let acl = json!({ "allow": ["*"], "allow_ip_literals": false });
    alice.set_state(&room.id, "m.room.server_acl", "", &acl).await;
    let event = alice.say(&room.id, "hello").await;
    let since = alice.sync().get().await.next_batch().to_owned();
    for remote in [&kept_out, &remote] {
        let user = remote.peer.user("carol");
        let said = [typing(&room.id, &user, true), receipt(&room.id, &user, &event, None)];
        send(remote, server, &[], &said).await;
    }
    shows_only_carol(&alice, &since, &room.id, &carol, &event).await;
}

async fn malformed_edus_fail_nothing(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room, carol) = with_carol(&remote, server).await;
    let hello = room.add(Draft::message(&carol, "hello"));
    let mut watch = alice.watch().await;
    let said = [
        json!(null),
        json!(17),
        json!({}),
        json!({ "edu_type": "m.typing" }),
        json!({ "edu_type": "m.typing", "content": { "room_id": room.id, "user_id": carol } }),
        json!({ "edu_type": "m.receipt", "content": [] }),
        json!({ "edu_type": "m.receipt", "content": { &room.id: { "m.read": { &carol: {} } } } }),
        json!({ "edu_type": "m.receipt", "content": { "nonsense": { "m.read": {} } } }),
        json!({ "edu_type": "org.example.unknown", "content": { "a": 1 } }),
        receipt(&room.id, "nobody", &hello.id, None),
        receipt(&room.id, &carol, &"x".repeat(300_000), None),
        typing(&room.id, &carol, true),
    ];
    let answer = send(&remote, server, &[&hello.pdu], &said).await;
    assert_eq!(answer, json!({ "pdus": { &hello.id: {} } }));
    assert_eq!(watch.room("carol typing", &room.id, typists).await, [carol.as_str()]);
    alice.is_shown(&room.id, &hello.id, &message("hello")).await;
}

async fn f12_who_types_here_is_told_to_the_servers_in_the_room(server: &Server) {
    let remote = Remote::start();
    let (alice, room, _) = with_carol(&remote, server).await;
    type_here(&alice, &room.id, true).ok().await;
    until_typing(&remote, &room.id, &alice.id, true).await;
    type_here(&alice, &room.id, false).ok().await;
    until_typing(&remote, &room.id, &alice.id, false).await;
    // Nothing but that was said.
    for asked in remote.asked(SEND) {
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        assert_eq!(body["pdus"], json!([]), "{body}");
    }
}

async fn typing_ends_for_other_servers_when_its_user_leaves(server: &Server) {
    let remote = Remote::start();
    let (alice, room, _) = with_carol(&remote, server).await;
    let bob = User::register(server, "bob").await;
    bob.join(&room.id).await;
    // It ends by itself, too.
    let short = json!({ "typing": true, "timeout": 500 });
    alice.put(path(["rooms", &room.id, "typing", &alice.id])).json(&short).ok().await;
    type_here(&bob, &room.id, true).ok().await;
    until_typing(&remote, &room.id, &bob.id, true).await;
    bob.leave(&room.id).await;
    until_typing(&remote, &room.id, &bob.id, false).await;
    until_typing(&remote, &room.id, &alice.id, false).await;
}

async fn f12_what_is_read_here_reaches_the_servers_in_the_room(server: &Server) {
    let (one, other) = (Remote::start(), Remote::start());
    let (alice, room, _) = with_carol(&one, server).await;
    accept(&other);
    join(&other, server, &alice, &room.id, "dave").await;
    let bob = User::register(server, "bob").await;
    bob.join(&room.id).await;
    let root = alice.say(&room.id, "root").await;
    let in_thread = json!({ "msgtype": "m.text", "body": "reply",
        "m.relates_to": { "rel_type": "m.thread", "event_id": root } });
    let reply = alice.send(&room.id, "m.room.message", &in_thread).await;
    let before_ms = now_ms();
    read_here(&bob, &room.id, "m.read", &root).ok().await;
    for remote in [&one, &other] {
        let data = until_read(remote, 0, &room.id, &bob.id, &root).await;
        assert!(data["ts"].as_u64().is_some_and(|it| it >= before_ms), "{data}");
        assert!(data.get("thread_id").is_none(), "{data}");
    }
    let body = json!({ "thread_id": root });
    read_here(&bob, &room.id, "m.read", &reply).json(&body).ok().await;
    let data = until_read(&one, 0, &room.id, &bob.id, &reply).await;
    assert_eq!(data["thread_id"], json!(root));
    // Each receipt was sent to each server once.
    let at_root = |it: &&Value| it["content"][&room.id]["m.read"][&bob.id]["event_ids"][0] == root;
    assert_eq!(edus(&one, 0).iter().filter(at_root).count(), 1, "{:?}", edus(&one, 0));
}

async fn t16_private_receipts_never_leave(server: &Server) {
    let remote = Remote::start();
    let (alice, room, _) = with_carol(&remote, server).await;
    let bob = User::register(server, "bob").await;
    bob.join(&room.id).await;
    let private = alice.say(&room.id, "read in private").await;
    let public = alice.say(&room.id, "read in public").await;
    read_here(&bob, &room.id, "m.read.private", &private).ok().await;
    let body = json!({ "m.read.private": private, "m.fully_read": private });
    bob.post(path(["rooms", &room.id, "read_markers"])).json(&body).ok().await;
    read_here(&bob, &room.id, "m.read", &public).ok().await;
    until_read(&remote, 0, &room.id, &bob.id, &public).await;
    let said = Value::from(edus(&remote, 0)).to_string();
    assert!(!said.contains("private") && !said.contains(&private), "{said}");
}

async fn t15b_a_server_whose_users_have_left_is_told_nothing(server: &Server) {
    let (one, other) = (Remote::start(), Remote::start());
    let (alice, room, carol) = with_carol(&one, server).await;
    accept(&other);
    join(&other, server, &alice, &room.id, "dave").await;
    let event = alice.say(&room.id, "hello").await;
    let kick = json!({ "user_id": carol, "reason": "enough" });
    alice.post(path(["rooms", &room.id, "kick"])).json(&kick).ok().await;
    type_here(&alice, &room.id, true).ok().await;
    read_here(&alice, &room.id, "m.read", &event).ok().await;
    until_typing(&other, &room.id, &alice.id, true).await;
    until_read(&other, 0, &room.id, &alice.id, &event).await;
    assert_eq!(edus(&one, 0), Vec::<Value>::new());
}

async fn t15b_a_server_that_is_kept_out_is_told_nothing(server: &Server) {
    let (one, other) = (Remote::start_at_address(), Remote::start());
    let (alice, room, _) = with_carol(&one, server).await;
    accept(&other);
    join(&other, server, &alice, &room.id, "dave").await;
    let acl = json!({ "allow": ["*"], "allow_ip_literals": false });
    alice.set_state(&room.id, "m.room.server_acl", "", &acl).await;
    let event = alice.say(&room.id, "hello").await;
    type_here(&alice, &room.id, true).ok().await;
    read_here(&alice, &room.id, "m.read", &event).ok().await;
    until_typing(&other, &room.id, &alice.id, true).await;
    until_read(&other, 0, &room.id, &alice.id, &event).await;
    assert_eq!(edus(&one, 0), Vec::<Value>::new());
}

async fn t4_a_server_that_was_away_is_given_the_newest_receipt_alone(server: &Server) {
    let remote = Remote::start();
    let (alice, room, _) = with_carol(&remote, server).await;
    let is_there = Arc::new(AtomicBool::new(false));
    let answers = is_there.clone();
    remote.answer(SEND, move |_| match answers.load(Ordering::SeqCst) {
        true => (200, json!({ "pdus": {} })),
        false => (500, json!({ "errcode": "M_UNKNOWN", "error": "down" })),
    });
    let said = alice.say_many(&room.id, 3).await;
    remote.until(SEND, |_| true).await;
    for event in &said {
        read_here(&alice, &room.id, "m.read", event).ok().await;
        let thread = read_here(&alice, &room.id, "m.read", event);
        thread.json(&json!({ "thread_id": "main" })).ok().await;
    }
    let away = remote.asked(SEND).len();
    is_there.store(true, Ordering::SeqCst);
    send(&remote, server, &[], &[]).await;
    until_read(&remote, away, &room.id, &alice.id, &said[2]).await;
    // What comes after it is one of each thread.
    let last = alice.say(&room.id, "last").await;
    read_here(&alice, &room.id, "m.read", &last).ok().await;
    until_read(&remote, away, &room.id, &alice.id, &last).await;
    let of_alice = edus(&remote, away);
    let of_alice = of_alice.iter().map(|it| &it["content"][&room.id]["m.read"][&alice.id]);
    let read: Vec<_> = of_alice
        .map(|it| (it["event_ids"][0].as_str().expect("an ID"), it["data"]["thread_id"].as_str()))
        .collect();
    let last = last.as_str();
    let newest = said[2].as_str();
    assert_eq!(read, [(newest, None), (newest, Some("main")), (last, None)]);
}
