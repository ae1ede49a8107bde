//! Messages from device to device, between servers (F12, T4, T9b, T16).

use crate::{
    federation_sending::{SEND, accept},
    to_device::{numbers, receive, sending},
};
use skerry_tests::{Host, Options, PATIENCE, Server, User, Value, json, remote::Remote, unique};
use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

both_hosts![
    f12_a_message_goes_to_another_server,
    what_is_large_goes_in_parts,
    t4_messages_wait_in_order_for_a_server_that_is_away,
    f12_a_message_of_another_server_comes_once,
    t9b_nobody_sends_in_the_name_of_others,
    malformed_messages_fail_nothing,
    a_message_comes_before_the_event_beside_it,
];

private_server![
    native_alone: Native => [t4_messages_to_other_servers_survive_a_crash],
    worker_alone: Worker => [t4_messages_to_other_servers_survive_a_crash],
];

/// The messages that a server was sent, in their order, each once.
fn sent(remote: &Remote) -> Vec<Value> {
    let transactions = remote.asked(SEND).into_iter();
    let bodies = transactions.map(|it| serde_json::from_slice::<Value>(&it.body).expect("JSON"));
    let edus = bodies.flat_map(|it| it["edus"].as_array().cloned().unwrap_or_default());
    let mut found = Vec::<Value>::new();
    for edu in edus.filter(|it| it["edu_type"] == "m.direct_to_device") {
        let content = edu["content"].clone();
        if !found.iter().any(|it| it["message_id"] == content["message_id"]) {
            found.push(content);
        }
    }
    found
}

/// Waits until a server was sent so many.
async fn until(remote: &Remote, count: usize) -> Vec<Value> {
    let found = async {
        loop {
            let sent = sent(remote);
            if sent.len() >= count {
                return sent;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("only these were sent: {:?}", sent(remote)))
}

async fn tell(from: &User, to: &str, number: usize) {
    sending(from, &unique("txn"), &json!({ to: { "D": { "n": number } } })).ok().await;
}

fn told(messages: &[Value], to: &str) -> Vec<u64> {
    let number = |it: &Value| it["messages"][to]["D"]["n"].as_u64().expect("a number");
    messages.iter().map(number).collect()
}

async fn f12_a_message_goes_to_another_server(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let alice = User::register(server, "alice").await;
    let (carol, dan) = (remote.peer.user("carol"), remote.peer.user("dan"));
    let messages = json!({
        carol.as_str(): { "D": { "n": 1 }, "*": { "n": 2 } },
        dan.as_str(): { "*": { "n": 3 } },
        alice.id.as_str(): { "*": { "n": 4 } },
    });
    let txn = unique("txn");
    sending(&alice, &txn, &messages).ok().await;
    let found = until(&remote, 1).await;
    let [message] = &*found else { panic!("one: {found:?}") };
    assert_eq!((&message["sender"], &message["type"]), (&json!(alice.id), &json!("m.test")));
    let expected = json!({
        carol.as_str(): { "D": { "n": 1 }, "*": { "n": 2 } },
        dan.as_str(): { "*": { "n": 3 } },
    });
    assert_eq!(message["messages"], expected, "nothing of other servers' users");
    let id = message["message_id"].as_str().expect("an ID");
    assert!(id.chars().count() <= 32, "{id}");
    assert_eq!(numbers(&alice.sync().get().await), [4]);
    // A repeated request is known by the same ID.
    sending(&alice, &txn, &messages).ok().await;
    tell(&alice, &carol, 5).await;
    assert_eq!(until(&remote, 2).await.len(), 2);
}

async fn what_is_large_goes_in_parts(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let devices = (0..10).map(|it| (format!("D{it}"), json!({ "x": "x".repeat(60_000) })));
    let devices: serde_json::Map<_, _> = devices.collect();
    sending(&alice, &unique("txn"), &json!({ carol.as_str(): devices })).ok().await;
    let found = until(&remote, 10).await;
    for (number, message) in found.iter().enumerate() {
        let messages = message["messages"][&carol].as_object().expect("devices");
        assert_eq!(messages.keys().collect::<Vec<_>>(), [&format!("D{number}")]);
    }
}

/// A server that takes transactions only when it is told to.
fn away() -> (Remote, Arc<AtomicBool>) {
    let (remote, is_there) = (Remote::start(), Arc::new(AtomicBool::new(false)));
    let there = is_there.clone();
    remote.answer(SEND, move |_| match there.load(Ordering::SeqCst) {
        true => (200, json!({ "pdus": {} })),
        false => (503, json!({ "errcode": "M_UNKNOWN", "error": "away" })),
    });
    (remote, is_there)
}

async fn t4_messages_wait_in_order_for_a_server_that_is_away(server: &Server) {
    let (remote, is_there) = away();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    for number in 0..120 {
        tell(&alice, &carol, number).await;
    }
    is_there.store(true, Ordering::SeqCst);
    // Whoever is heard of is sent what waits.
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [] });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
    let found = until(&remote, 120).await;
    assert_eq!(told(&found, &carol), (0..120).collect::<Vec<_>>());
}

async fn t4_messages_to_other_servers_survive_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (remote, is_there) = away();
    let alice = User::register(&server, "alice").await;
    let carol = remote.peer.user("carol");
    for number in 0..5 {
        tell(&alice, &carol, number).await;
    }
    server.kill();
    server.restart();
    let alice = alice.at(&server);
    tell(&alice, &carol, 5).await;
    is_there.store(true, Ordering::SeqCst);
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [] });
    remote.put(&server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
    assert_eq!(told(&until(&remote, 6).await, &carol), (0..6).collect::<Vec<_>>());
}

fn edu(sender: &str, id: &str, messages: &Value) -> Value {
    let content = json!({ "sender": sender, "type": "m.test", "message_id": id,
        "messages": messages });
    json!({ "edu_type": "m.direct_to_device", "content": content })
}

async fn say(remote: &Remote, server: &Server, edus: &[Value]) {
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
        "edus": edus });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
}

async fn f12_a_message_of_another_server_comes_once(server: &Server) {
    let remote = Remote::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = remote.peer.user("carol");
    let since = alice.sync().get().await.next_batch().to_owned();
    let to_alice = |number: u64| json!({ alice.id.as_str(): { "*": { "n": number } } });
    let first = edu(&carol, "one", &to_alice(1));
    say(&remote, server, &[first.clone(), first.clone()]).await;
    let sync = alice.sync().since(&since).get().await;
    let expected = json!({ "type": "m.test", "sender": carol, "content": { "n": 1 } });
    assert_eq!(skerry_tests::events(&sync.json["to_device"]), [expected]);
    // It is sent again, also when it was given.
    say(&remote, server, std::slice::from_ref(&first)).await;
    let since = alice.sync().since(sync.next_batch()).get().await.next_batch().to_owned();
    let both = json!({ alice.id.as_str(): { (alice.device.as_str()): { "n": 2 }, "X": { "n": 9 } },
        bob.id.as_str(): { "*": { "n": 3 } }, "@nobody:localhost": { "*": {} } });
    let of_another = edu(&remote.peer.user("dan"), "one", &to_alice(4));
    say(&remote, server, &[first, edu(&carol, "two", &both), of_another]).await;
    assert_eq!(receive(&alice, &since, 2).await.0, [2, 4]);
    assert_eq!(numbers(&bob.sync().get().await), [3]);
}

async fn t9b_nobody_sends_in_the_name_of_others(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let to_alice = |number: u64| json!({ alice.id.as_str(): { "*": { "n": number } } });
    let forged = [
        edu(&alice.id, "1", &to_alice(1)),
        edu(&other.peer.user("carol"), "1", &to_alice(2)),
        edu("@carol:localhost", "1", &to_alice(3)),
    ];
    let own = edu(&remote.peer.user("carol"), "1", &to_alice(4));
    say(&remote, server, &[&forged[..], &[own]].concat()).await;
    assert_eq!(numbers(&alice.sync().get().await), [4]);
}

async fn malformed_messages_fail_nothing(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let carol = remote.peer.user("carol");
    let to = |content: Value| json!({ alice.id.as_str(): { "*": content } });
    let good = edu(&carol, "good", &to(json!({ "n": 1 })));
    let mut bad = vec![
        edu(&carol, "list", &to(json!([]))),
        edu(&carol, "large", &to(json!({ "n": 2, "x": "x".repeat(65 * 1024) }))),
        edu("carol", "sender", &to(json!({ "n": 3 }))),
        edu(&carol, "none", &json!([])),
        edu(&carol, "elsewhere", &json!({ "@x:elsewhere.example": { "*": { "n": 4 } } })),
        json!({ "edu_type": "m.direct_to_device", "content": 7 }),
    ];
    for field in ["sender", "type", "message_id", "messages"] {
        let mut without = good.clone();
        without["content"].as_object_mut().expect("a content").remove(field);
        bad.push(without);
    }
    bad.push(good);
    say(&remote, server, &bad).await;
    assert_eq!(numbers(&alice.sync().get().await), [1]);
}

/// T16: an event may need the key that comes with it.
async fn a_message_comes_before_the_event_beside_it(server: &Server) {
    let remote = Remote::start();
    accept(&remote);
    let (alice, mut rooms) = crate::federation_sending::shared(&[&remote], server).await;
    let (mut room, carol) = (rooms.remove(0), remote.peer.user("carol"));
    let mut watch = alice.watch().await;
    let event = room.add(skerry_tests::peer::Draft::message(&carol, "needs a key"));
    let key = edu(&carol, "key", &json!({ alice.id.as_str(): { "*": { "n": 1 } } }));
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [event.pdu],
        "edus": [key] });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
    let mut keys = 0;
    let found = watch
        .until("the event", |sync| {
            keys += numbers(sync).len();
            sync.joined(&room.id)?.event(&event.id).cloned()
        })
        .await;
    assert_eq!((keys, &found["sender"]), (1, &json!(carol)));
}
