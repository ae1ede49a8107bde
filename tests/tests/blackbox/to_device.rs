//! Messages from device to device (F12, S-C7, T16): each comes once, in order, and is kept until
//! its device says that it has it.

use skerry_tests::{
    Client, Host, Options, Request, Server, Sync, User, Value, events, json, path, unique,
};
use tokio::sync::mpsc;

both_hosts![
    s_c7_a_message_reaches_its_device_and_no_other,
    s_c7_a_message_to_all_devices_reaches_each,
    a_repeated_transaction_delivers_once,
    s_c7_what_was_given_is_given_again_until_the_next_token_comes,
    many_messages_come_by_the_page,
    a_waiting_client_is_told_at_once,
    a_message_comes_with_the_event_that_follows_it,
    devices_and_users_that_are_not_there_are_passed_over,
    a_device_that_is_logged_out_leaves_nothing_behind,
    bad_messages_are_refused_and_nothing_is_stored,
    many_users_are_reached_by_one_request,
    content_passes_untouched,
];

private_server![
    native_alone: Native => [s_p3_no_acknowledged_message_is_lost_or_doubled_by_a_crash],
    worker_alone: Worker => [messages_outlive_a_restart],
];

/// A request that sends messages.
#[track_caller]
pub(crate) fn sending(from: &Client, txn: &str, messages: &Value) -> Request {
    from.put(path(["sendToDevice", "m.test", txn])).json(&json!({ "messages": messages }))
}

/// Sends one message to a device, or to all.
pub(crate) async fn send(from: &User, to: &User, device: &str, number: usize) {
    let messages = json!({ to.id.as_str(): { device: { "n": number } } });
    sending(from, &unique("txn"), &messages).ok().await;
}

/// The numbers of the messages in a response.
pub(crate) fn numbers(sync: &Sync) -> Vec<u64> {
    let events = events(&sync.json["to_device"]).iter();
    events.map(|it| it["content"]["n"].as_u64().expect("a number")).collect()
}

/// Syncs until so many messages have come, and gives their numbers.
pub(crate) async fn receive(user: &User, since: &str, count: usize) -> (Vec<u64>, String) {
    let (mut since, mut found) = (since.to_owned(), Vec::new());
    let deadline = tokio::time::Instant::now() + skerry_tests::PATIENCE;
    while found.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "only {found:?} came to {}", user.id);
        let sync = user.sync().since(&since).query("timeout", 2_000).get().await;
        found.extend(numbers(&sync));
        sync.next_batch().clone_into(&mut since);
    }
    (found, since)
}

async fn pair(server: &Server) -> (User, User) {
    (User::register(server, "alice").await, User::register(server, "bob").await)
}

async fn s_c7_a_message_reaches_its_device_and_no_other(server: &Server) {
    let (alice, bob) = pair(server).await;
    let other = User::log_in(server, &bob.id).await;
    send(&alice, &bob, &bob.device, 1).await;
    let sync = bob.sync().get().await;
    let expected = json!({ "type": "m.test", "sender": alice.id, "content": { "n": 1 } });
    assert_eq!(events(&sync.json["to_device"]), [expected]);
    assert_eq!(numbers(&other.sync().get().await), [0; 0]);
    assert_eq!(numbers(&alice.sync().get().await), [0; 0]);
}

async fn s_c7_a_message_to_all_devices_reaches_each(server: &Server) {
    let (alice, bob) = pair(server).await;
    let other = User::log_in(server, &bob.id).await;
    send(&alice, &bob, "*", 1).await;
    let each = json!({ bob.id.as_str(): { "*": { "n": 2 }, (other.device.as_str()): { "n": 3 } } });
    sending(&alice, &unique("txn"), &each).ok().await;
    assert_eq!(numbers(&bob.sync().get().await), [1, 2]);
    assert_eq!(numbers(&other.sync().get().await), [1, 3]);
    // Also to one's own.
    send(&bob, &bob, "*", 4).await;
    assert_eq!(numbers(&bob.sync().get().await), [1, 2, 4]);
}

async fn a_repeated_transaction_delivers_once(server: &Server) {
    let (alice, bob) = pair(server).await;
    let (txn, since) = (unique("txn"), bob.sync().get().await.next_batch().to_owned());
    let messages = json!({ bob.id.as_str(): { "*": { "n": 1 } } });
    sending(&alice, &txn, &messages).ok().await;
    sending(&alice, &txn, &messages).ok().await;
    let (found, since) = receive(&bob, &since, 1).await;
    assert_eq!(found, [1]);
    sending(&alice, &txn, &messages).ok().await;
    // Another device's transaction of that name is another one, and so is another type's.
    let other = User::log_in(server, &alice.id).await;
    sending(&other, &txn, &json!({ bob.id.as_str(): { "*": { "n": 2 } } })).ok().await;
    let of_type = alice.put(path(["sendToDevice", "m.other", &txn]));
    let messages = json!({ "messages": { bob.id.as_str(): { "*": { "n": 3 } } } });
    of_type.json(&messages).ok().await;
    assert_eq!(receive(&bob, &since, 2).await.0, [2, 3]);
}

async fn s_c7_what_was_given_is_given_again_until_the_next_token_comes(server: &Server) {
    let (alice, bob) = pair(server).await;
    let start = bob.sync().get().await.next_batch().to_owned();
    send(&alice, &bob, &bob.device, 1).await;
    let first = bob.sync().since(&start).get().await;
    assert_eq!(numbers(&first), [1]);
    // The answer was lost.
    assert_eq!(numbers(&bob.sync().since(&start).get().await), [1]);
    send(&alice, &bob, &bob.device, 2).await;
    assert_eq!(numbers(&bob.sync().since(&start).get().await), [1, 2]);
    let second = bob.sync().since(first.next_batch()).get().await;
    assert_eq!(numbers(&second), [2], "the first is acknowledged, the second is not");
    assert_eq!(numbers(&bob.sync().since(first.next_batch()).get().await), [2]);
    assert_eq!(numbers(&bob.sync().since(second.next_batch()).get().await), [0; 0]);
    assert_eq!(numbers(&bob.sync().get().await), [0; 0], "they are gone");
}

async fn many_messages_come_by_the_page(server: &Server) {
    let (alice, bob) = pair(server).await;
    let start = bob.sync().get().await.next_batch().to_owned();
    for number in 0..250 {
        send(&alice, &bob, "*", number).await;
    }
    let (mut since, mut found) = (start, Vec::new());
    for expected in [100, 100, 50] {
        // Whoever could wait is answered at once.
        let sync = bob.sync().since(&since).query("timeout", 30_000).get().await;
        assert_eq!(numbers(&sync).len(), expected);
        found.extend(numbers(&sync));
        sync.next_batch().clone_into(&mut since);
    }
    assert_eq!(found, (0..250).collect::<Vec<_>>());
    let last = bob.sync().since(&since).query("timeout", 100).get().await;
    assert_eq!(numbers(&last), [0; 0]);
}

async fn a_waiting_client_is_told_at_once(server: &Server) {
    let (alice, bob) = pair(server).await;
    let start = bob.sync().get().await.next_batch().to_owned();
    let wait = async { bob.sync().since(&start).query("timeout", 30_000).get().await };
    let tell = async {
        // Another device's message does not end the wait.
        send(&alice, &bob, "ELSEWHERE", 1).await;
        send(&alice, &bob, &bob.device, 2).await;
    };
    let (sync, ()) = tokio::join!(wait, tell);
    assert_eq!(numbers(&sync), [2]);
}

/// T16: whoever sends a key and then the event that needs it has them come in this order.
async fn a_message_comes_with_the_event_that_follows_it(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.private_room(&[&bob]).await;
    let mut watch = bob.watch().await;
    let talk = async {
        for number in 0..30 {
            send(&alice, &bob, &bob.device, number).await;
            alice.say(&room, &number.to_string()).await;
        }
    };
    let listen = async {
        let (mut keys, mut said) = (0, 0);
        while said < 30 {
            let sync = watch.next().await;
            keys += numbers(&sync).len();
            if let Some(room) = sync.joined(&room) {
                let messages = room.timeline().iter().filter(|it| it["type"] == "m.room.message");
                said += messages.count();
            }
            assert!(keys >= said, "{said} events and only {keys} keys");
        }
    };
    tokio::join!(talk, listen);
}

async fn devices_and_users_that_are_not_there_are_passed_over(server: &Server) {
    let (alice, bob) = pair(server).await;
    let messages = json!({
        bob.id.as_str(): { "NONE": { "n": 1 }, (bob.device.as_str()): { "n": 2 } },
        "@nobody:localhost": { "*": { "n": 3 } },
        (format!("@{}:localhost", "x".repeat(300))): { "*": { "n": 4 } },
    });
    sending(&alice, &unique("txn"), &messages).ok().await;
    assert_eq!(numbers(&bob.sync().get().await), [2]);
    sending(&alice, &unique("txn"), &json!({})).ok().await;
    sending(&alice, &unique("txn"), &json!({ bob.id.as_str(): {} })).ok().await;
}

async fn a_device_that_is_logged_out_leaves_nothing_behind(server: &Server) {
    let (alice, bob) = pair(server).await;
    let login = |device: &str| {
        json!({ "type": "m.login.password", "password": skerry_tests::PASSWORD,
            "identifier": { "type": "m.id.user", "user": bob.id }, "device_id": device })
    };
    let client = Client::new(server.url());
    let session = client.post("/login").json(&login("PHONE")).ok().await;
    let phone = User::from_session(&client, &session);
    send(&alice, &bob, "PHONE", 1).await;
    phone.post("/logout").ok().await;
    send(&alice, &bob, "PHONE", 2).await;
    let session = client.post("/login").json(&login("PHONE")).ok().await;
    let phone = User::from_session(&client, &session);
    send(&alice, &bob, "PHONE", 3).await;
    assert_eq!(numbers(&phone.sync().get().await), [3]);
    let remove = bob.post("/delete_devices");
    remove.uia(json!({ "devices": ["PHONE"] }), bob.password_auth()).await.ok();
    let session = client.post("/login").json(&login("PHONE")).ok().await;
    let phone = User::from_session(&client, &session);
    assert_eq!(numbers(&phone.sync().get().await), [0; 0]);
}

async fn bad_messages_are_refused_and_nothing_is_stored(server: &Server) {
    let (alice, bob) = pair(server).await;
    let to = |content: Value| json!({ bob.id.as_str(): { "*": content, "AAA": { "n": 1 } } });
    let large =
        |bytes: usize| json!({ "n": 1, "x": "x".repeat(bytes - r#"{"n":1,"x":""}"#.len()) });
    let cases = [
        (to(json!([])), 400, "M_BAD_JSON"),
        (to(json!("text")), 400, "M_BAD_JSON"),
        (to(Value::Null), 400, "M_BAD_JSON"),
        (json!({ bob.id.as_str(): [] }), 400, "M_BAD_JSON"),
        (json!({ bob.id.as_str(): { "": {} } }), 400, "M_BAD_JSON"),
        (json!({ "bob": { "*": {} } }), 400, "M_BAD_JSON"),
        (to(large(64 * 1024 + 1)), 413, "M_TOO_LARGE"),
        (json!({ "@far:away.invalid": { "*": { "n": 1.5 } } }), 400, "M_BAD_JSON"),
    ];
    for (messages, status, errcode) in cases {
        sending(&alice, &unique("txn"), &messages).refused(status, errcode).await;
    }
    let none = alice.put(path(["sendToDevice", "m.test", "1"])).json(&json!({}));
    none.refused(400, "M_MISSING_PARAM").await;
    let long = alice.put(path(["sendToDevice", &"x".repeat(256), "1"]));
    let messages = json!({ "messages": to(json!({ "n": 1 })) });
    long.json(&messages).refused(400, "M_INVALID_PARAM").await;
    assert_eq!(numbers(&bob.sync().get().await), [0; 0]);
    sending(&alice, &unique("txn"), &to(large(64 * 1024))).ok().await;
    assert_eq!(numbers(&bob.sync().get().await), [1]);
    let stranger = Client::new(server.url());
    sending(&stranger, "1", &to(json!({}))).refused(401, "M_MISSING_TOKEN").await;
}

async fn many_users_are_reached_by_one_request(server: &Server) {
    let (alice, bob) = pair(server).await;
    let zoe = User::register(server, "zoe").await;
    let user = |it: usize| (format!("@nobody-{it}:localhost"), json!({ "*": { "n": it } }));
    let mut messages: serde_json::Map<_, _> = (0..1_200).map(user).collect();
    // One among the first and one among the last who are asked.
    for of in [&bob, &zoe] {
        messages.insert(of.id.clone(), json!({ "*": { "n": 7 } }));
    }
    let txn = unique("txn");
    for _ in 0..2 {
        sending(&alice, &txn, &messages.clone().into()).ok().await;
    }
    for of in [&bob, &zoe] {
        assert_eq!(numbers(&of.sync().get().await), [7]);
    }
    messages.extend((1_200..2_000).map(user));
    sending(&alice, &unique("txn"), &messages.into()).refused(413, "M_TOO_LARGE").await;
    let server = |it: usize| (format!("@a:s{it}.example"), json!({ "*": { "n": it } }));
    let messages: serde_json::Map<_, _> = (0..401).map(server).collect();
    sending(&alice, &unique("txn"), &messages.into()).refused(413, "M_TOO_LARGE").await;
}

async fn content_passes_untouched(server: &Server) {
    let (alice, bob) = pair(server).await;
    let content = r#"{"b":1,"a":[1.50,{"n":null}],"ü":"\u0000\"","z":18446744073709551616}"#;
    let body = format!(r#"{{"messages":{{"{}":{{"*":{content}}}}}}}"#, bob.id);
    alice.put(path(["sendToDevice", "m.\"quoted\"", "1"])).text(&body).ok().await;
    let reply = bob.get("/sync").send().await;
    let event = format!(r#"{{"type":"m.\"quoted\"","sender":"{}","content":{content}}}"#, alice.id);
    assert!(reply.text.contains(&event), "{}", reply.text);
}

/// Sends messages until the server dies: how many were acknowledged, and that one more was sent.
async fn send_until_it_dies(
    from: &User,
    to: &User,
    first: usize,
    tell: mpsc::UnboundedSender<()>,
) -> usize {
    for number in first.. {
        let messages = json!({ to.id.as_str(): { "*": { "n": number } } });
        let request = sending(from, &format!("txn-{number}"), &messages);
        let Ok(reply) = request.try_send().await else { return number };
        reply.ok();
        tell.send(()).unwrap_or_default();
    }
    unreachable!("the server dies")
}

/// S-P3
async fn s_p3_no_acknowledged_message_is_lost_or_doubled_by_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (mut alice, mut bob) = pair(&server).await;
    let mut since = bob.sync().get().await.next_batch().to_owned();
    let (mut next, mut found) = (0, Vec::new());
    for round in 0..4 {
        let (tell, mut told) = mpsc::unbounded_channel();
        let (unanswered, ()) = tokio::join!(send_until_it_dies(&alice, &bob, next, tell), async {
            for _ in 0..20 + 7 * round {
                told.recv().await.expect("a sender that goes on until the crash");
            }
            server.kill();
        });
        server.restart();
        (alice, bob) = (alice.at(&server), bob.at(&server));
        // A client repeats what got no answer.
        let messages = json!({ bob.id.as_str(): { "*": { "n": unanswered } } });
        sending(&alice, &format!("txn-{unanswered}"), &messages).ok().await;
        let more = unanswered + 1 - found.len();
        let (numbers, token) = receive(&bob, &since, more).await;
        found.extend(numbers);
        since = token;
        next = unanswered + 1;
    }
    let expected: Vec<_> = (0..u64::try_from(next).expect("a small number")).collect();
    assert_eq!(found, expected);
}

async fn messages_outlive_a_restart(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob) = pair(&server).await;
    let since = bob.sync().get().await.next_batch().to_owned();
    send(&alice, &bob, &bob.device, 1).await;
    let first = bob.sync().since(&since).get().await;
    send(&alice, &bob, &bob.device, 2).await;
    server.restart();
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    assert_eq!(numbers(&bob.sync().since(&since).get().await), [1, 2]);
    send(&alice, &bob, &bob.device, 3).await;
    assert_eq!(receive(&bob, first.next_batch(), 2).await.0, [2, 3]);
}
