//! Connections of sliding sync: what a client has, whatever gets lost.

use skerry_tests::{
    Host, Options, Server, User, Value, ids, json,
    sliding::{Sliding, list, timeline},
};
use std::time::Duration;
use tokio::time::Instant;

both_hosts![
    a_lost_answer_is_given_again,
    a_lost_answer_is_given_again_after_a_poll,
    a_position_counts_twice_and_then_no_more,
    positions_of_others_are_unknown,
    bad_positions_are_unknown,
    bad_requests_are_refused,
    connections_do_not_touch_each_other,
    the_oldest_of_many_connections_goes,
    a_connection_ends_with_its_device,
    beginning_anew_is_another_connection,
    a_message_wakes_a_poll,
    a_poll_waits_until_its_time_is_up,
    a_poll_without_a_position_answers_at_once,
    what_comes_by_sync_comes_here_too,
    the_transaction_id_comes_back,
];

private_server![
    native_alone: Native => [a_connection_outlives_the_server],
    worker_alone: Worker => [a_connection_outlives_an_eviction],
];

/// Far longer than any wake-up, far shorter than the poll itself.
const PROMPT: Duration = Duration::from_secs(5);
const POLL_MS: u64 = 25_000;

fn all() -> Value {
    list(&json!([[0, 99]]), 10, &json!([["m.room.name", ""]]))
}

async fn settled(user: &User, body: Value) -> Sliding {
    let mut client = user.sliding(body);
    client.settle().await;
    client
}

async fn house(server: &Server) -> (User, User, String) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    (alice, bob, room)
}

async fn a_lost_answer_is_given_again(server: &Server) {
    let (alice, bob, room) = house(server).await;
    let mut client = alice.sliding(all());
    let lost = client.lost(0).await;
    let first = client.next(0).await;
    let events = |it: &skerry_tests::sliding::Slid| {
        let found = timeline(it.room(&room).expect("the room")).to_vec();
        ids(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(events(&lost), events(&first), "the first answer");
    client.settle().await;
    let said = bob.say(&room, "hello").await;
    alice.sync().until_event(&room, &said).await;
    let lost = client.lost(POLL_MS).await;
    let again = client.lost(POLL_MS).await;
    let last = client.next(POLL_MS).await;
    for slid in [&lost, &again, &last] {
        let room = slid.room(&room).expect("the room");
        assert_eq!(ids(timeline(room)), [said.as_str()]);
        assert_eq!((&room["num_live"], room.get("initial")), (&json!(1), None));
    }
    assert!(client.next(0).await.is_empty());
}

/// What a poll has read on its way and not shown counts for nothing as long as its answer is not
/// there.
async fn a_lost_answer_is_given_again_after_a_poll(server: &Server) {
    let (alice, bob, room) = house(server).await;
    let mut client = settled(&alice, list(&json!([[0, 99]]), 10, &json!([]))).await;
    let poll = client.lost(POLL_MS);
    let act = async {
        alice.get("/account/whoami").ok().await;
        bob.say(&room, "first").await
    };
    let (lost, said) = tokio::join!(poll, act);
    assert_eq!(ids(timeline(lost.room(&room).expect("the room"))), [said.as_str()]);
    let second = bob.say(&room, "second").await;
    alice.sync().until_event(&room, &second).await;
    let found = client.until_event(&room, &second).await;
    assert_eq!(ids(timeline(&found)), [said.as_str(), second.as_str()]);
}

async fn a_position_counts_twice_and_then_no_more(server: &Server) {
    let (alice, bob, room) = house(server).await;
    let mut client = settled(&alice, all()).await;
    let mut old = client.clone();
    for number in 0..2 {
        let said = bob.say(&room, &format!("message {number}")).await;
        client.until_event(&room, &said).await;
        // The answer is shown to have arrived.
        client.next(0).await;
    }
    let refused = old.request(0).refused(400, "M_UNKNOWN_POS").await;
    assert!(refused.to_string().contains("pos"), "{refused}");
    old.pos = None;
    assert!(old.next(0).await.room(&room).is_some(), "it begins anew");
}

async fn positions_of_others_are_unknown(server: &Server) {
    let (alice, bob, _) = house(server).await;
    let client = settled(&alice, all()).await;
    let other_device = User::log_in(server, &alice.id).await;
    for other in [&bob, &other_device] {
        let mut thief = other.sliding(all());
        thief.next(0).await;
        thief.pos.clone_from(&client.pos);
        thief.request(0).refused(400, "M_UNKNOWN_POS").await;
    }
    let mut other = client.clone();
    other.body["conn_id"] = json!("another");
    other.request(0).refused(400, "M_UNKNOWN_POS").await;
}

async fn bad_positions_are_unknown(server: &Server) {
    let (alice, _, _) = house(server).await;
    let mut client = settled(&alice, all()).await;
    let good = client.pos.clone().expect("a position");
    let (token, number) = good.rsplit_once('.').expect("a number");
    let later = format!("{token}.{}", number.parse::<u64>().expect("a number") + 7);
    for bad in ["", "x", "s1", "0", "s1:2", "s1:2.x", "s9:9.9", &later, &format!("{good}0")] {
        client.pos = Some(bad.to_owned());
        client.request(0).refused(400, "M_UNKNOWN_POS").await;
    }
    client.pos = Some(good);
    client.next(0).await;
}

async fn bad_requests_are_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let subscriptions = |count: usize| {
        let rooms =
            (0..count).map(|it| (format!("!{it}:localhost"), json!({ "timeline_limit": 1 })));
        json!({ "room_subscriptions": rooms.collect::<serde_json::Map<_, _>>() })
    };
    let lists = |count: usize| {
        let lists = (0..count).map(|it| (it.to_string(), json!({ "timeline_limit": 1 })));
        json!({ "lists": lists.collect::<serde_json::Map<_, _>>() })
    };
    for (body, code) in [
        (json!({ "lists": 5 }), "M_BAD_JSON"),
        (json!({ "lists": { "a": { "timeline_limit": "x" } } }), "M_BAD_JSON"),
        (list(&json!([[3, 1]]), 1, &json!([])), "M_INVALID_PARAM"),
        (lists(101), "M_INVALID_PARAM"),
        (subscriptions(101), "M_INVALID_PARAM"),
        (json!({ "conn_id": "c".repeat(300) }), "M_INVALID_PARAM"),
        (
            json!({ "extensions": { "to_device": { "enabled": true, "since": "x" } } }),
            "M_INVALID_PARAM",
        ),
    ] {
        let refused = alice.sliding(body.clone()).request(0).send().await;
        assert_eq!((refused.status, &refused.json["errcode"]), (400, &json!(code)), "{body}");
    }
    for body in [json!({}), lists(100), subscriptions(100), json!({ "lists": null })] {
        alice.sliding(body).next(0).await;
    }
    let anonymous = skerry_tests::Client::new(skerry_tests::Homeserver::url(server));
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    anonymous.post(path).refused(401, "M_MISSING_TOKEN").await;
    alice.with_token("nobody's").post(path).refused(401, "M_UNKNOWN_TOKEN").await;
}

async fn connections_do_not_touch_each_other(server: &Server) {
    let (alice, bob, room) = house(server).await;
    let named = |name: &str| {
        let mut body = all();
        body["conn_id"] = json!(name);
        body
    };
    let mut one = settled(&alice, named("one")).await;
    let mut two = settled(&alice, named("two")).await;
    let said = bob.say(&room, "hello").await;
    one.until_event(&room, &said).await;
    let second = bob.say(&room, "again").await;
    one.until_event(&room, &second).await;
    alice.sync().until_event(&room, &second).await;
    let found = two.until_event(&room, &second).await;
    assert_eq!(ids(timeline(&found)), [said.as_str(), second.as_str()]);
}

async fn the_oldest_of_many_connections_goes(server: &Server) {
    let (alice, _, _) = house(server).await;
    let named = |number: usize| {
        let mut body = all();
        body["conn_id"] = json!(number.to_string());
        body
    };
    let mut clients = Vec::new();
    for number in 0..9 {
        let mut client = alice.sliding(named(number));
        client.next(0).await;
        clients.push(client);
    }
    clients[1].next(0).await;
    clients[8].next(0).await;
    clients[0].request(0).refused(400, "M_UNKNOWN_POS").await;
}

async fn a_connection_ends_with_its_device(server: &Server) {
    let (alice, _, _) = house(server).await;
    let phone = User::log_in(server, &alice.id).await;
    let client = settled(&phone, all()).await;
    phone.post("/logout").ok().await;
    client.request(0).refused(401, "M_UNKNOWN_TOKEN").await;
    // A device of the same name is another one.
    let body = json!({
        "type": "m.login.password", "device_id": phone.device,
        "identifier": { "type": "m.id.user", "user": alice.id }, "password": skerry_tests::PASSWORD,
    });
    let session = alice.post("/login").json(&body).ok().await;
    let again = User::from_session(&alice, &session);
    let mut thief = again.sliding(all());
    thief.pos.clone_from(&client.pos);
    thief.request(0).refused(400, "M_UNKNOWN_POS").await;
}

async fn beginning_anew_is_another_connection(server: &Server) {
    let (alice, _, room) = house(server).await;
    let old = settled(&alice, all()).await;
    let mut new = alice.sliding(all());
    assert_eq!(new.next(0).await.room(&room).expect("the room")["initial"], true);
    old.request(0).refused(400, "M_UNKNOWN_POS").await;
    assert!(new.next(0).await.is_empty());
}

async fn a_message_wakes_a_poll(server: &Server) {
    let (alice, bob, room) = house(server).await;
    let client = settled(&alice, all()).await;
    let poll = async { (client.lost(POLL_MS).await, Instant::now()) };
    let act = async {
        alice.get("/account/whoami").ok().await;
        let started = Instant::now();
        (bob.say(&room, "hello").await, started)
    };
    let ((slid, woken), (said, started)) = tokio::join!(poll, act);
    let took = woken.saturating_duration_since(started);
    assert!(took < PROMPT, "woke after {took:?}: {}", slid.json);
    assert_eq!(ids(timeline(slid.room(&room).expect("the room"))), [said.as_str()]);
}

async fn a_poll_waits_until_its_time_is_up(server: &Server) {
    let (alice, _, _) = house(server).await;
    let mut client = settled(&alice, all()).await;
    let started = Instant::now();
    let slid = client.next(700).await;
    let took = started.elapsed();
    assert!((700..8_000).contains(&took.as_millis()), "answered after {took:?}: {}", slid.json);
    assert!(slid.is_empty() && slid.count("all") == 1);
    client.next(0).await;
}

async fn a_poll_without_a_position_answers_at_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let started = Instant::now();
    alice.sliding(json!({})).next(POLL_MS).await;
    assert!(started.elapsed() < PROMPT);
}

async fn what_comes_by_sync_comes_here_too(server: &Server) {
    let (alice, bob, room) = house(server).await;
    let mut client = settled(&alice, all()).await;
    let mut watch = alice.watch().await;
    for number in 0..3 {
        let said = bob.say(&room, &format!("message {number}")).await;
        if number % 2 == 0 {
            watch.event(&room, &said).await;
            client.until_event(&room, &said).await;
        } else {
            client.until_event(&room, &said).await;
            watch.event(&room, &said).await;
        }
    }
}

async fn the_transaction_id_comes_back(server: &Server) {
    let alice = User::register(server, "alice").await;
    let slid = alice.sliding(json!({ "txn_id": "t1" })).next(0).await;
    assert_eq!(slid.json["txn_id"], "t1");
}

async fn a_connection_outlives_the_server(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob, room) = house(&server).await;
    let client = settled(&alice, all()).await;
    let lost = bob.say(&room, "lost").await;
    alice.sync().until_event(&room, &lost).await;
    client.lost(POLL_MS).await;
    server.kill();
    server.restart();
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    let mut client = client.at(&alice);
    let found = client.until_event(&room, &lost).await;
    assert_eq!((ids(timeline(&found)), found.get("initial")), (vec![lost.as_str()], None));
    server.kill();
    server.restart();
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    let mut client = client.at(&alice);
    let said = bob.say(&room, "after").await;
    let found = client.until_event(&room, &said).await;
    assert_eq!(ids(timeline(&found)), [said.as_str()]);
}

async fn a_connection_outlives_an_eviction(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob, room) = house(&server).await;
    let mut client = settled(&alice, all()).await;
    for number in 0..3 {
        server.evict("UserObject", &alice.id);
        server.evict("RoomObject", &room);
        let said = bob.say(&room, &format!("message {number}")).await;
        let found = client.until_event(&room, &said).await;
        assert_eq!(ids(timeline(&found)), [said.as_str()]);
    }
}
