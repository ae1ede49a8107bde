//! `kill -9` in the middle of work: what was acknowledged is there, once, and old tokens work.

use skerry_tests::{Host, Options, Server, User, Value, ids, json, message, path, unique};
use tokio::{sync::mpsc, time::Instant};

use super::effects::{entry, until};

private_server![native: Native => [
    no_acknowledged_event_is_lost_or_doubled_by_a_crash,
    a_crash_in_the_middle_of_room_creation_leaves_no_half_room,
    the_directory_is_right_after_a_crash,
]];

/// How many rounds of sending and killing.
const ROUNDS: usize = 4;

/// What one sender did until the server died: acknowledged events, and the transaction that got no
/// answer.
struct Stream {
    acknowledged: Vec<String>,
    unanswered: Option<String>,
}

/// Tells after how many acknowledged requests a server is killed: in the middle of further ones.
async fn acknowledged(mut told: mpsc::UnboundedReceiver<()>, count: usize) {
    for _ in 0..count {
        told.recv().await.expect("senders that go on until the crash");
    }
}

async fn send_until_it_dies(
    user: &User,
    room: &str,
    round: usize,
    tell: mpsc::UnboundedSender<()>,
) -> Stream {
    let mut stream = Stream { acknowledged: Vec::new(), unanswered: None };
    for number in 0.. {
        let txn = format!("round-{round}-{number}");
        let request = user.put(path(["rooms", room, "send", "m.room.message", &txn]));
        let Ok(reply) = request.json(&message(&txn)).try_send().await else {
            stream.unanswered = Some(txn);
            break;
        };
        stream.acknowledged.push(reply.ok()["event_id"].as_str().expect("an event ID").to_owned());
        tell.send(()).unwrap_or_default();
    }
    stream
}

/// S-P3
async fn no_acknowledged_event_is_lost_or_doubled_by_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (mut alice, mut bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let start = alice.say(&room, "start").await;
    let token = bob.sync().until_event(&room, &start).await.next_batch().to_owned();
    let mut sent = Vec::new();
    for round in 0..ROUNDS {
        let (tell, told) = mpsc::unbounded_channel();
        let (of_alice, of_bob, ()) = tokio::join!(
            send_until_it_dies(&alice, &room, round, tell.clone()),
            send_until_it_dies(&bob, &room, round, tell),
            async {
                acknowledged(told, 40 + 7 * round).await;
                server.kill();
            },
        );
        server.restart();
        (alice, bob) = (alice.at(&server), bob.at(&server));
        for (user, mut stream) in [(&alice, of_alice), (&bob, of_bob)] {
            // A client repeats what got no answer; whether it was stored before must not show.
            let txn = stream.unanswered.take().expect("a crash");
            let retry = user.put(path(["rooms", &room, "send", "m.room.message", &txn]));
            let event = retry.json(&message(&txn)).ok().await;
            sent.extend(stream.acknowledged);
            sent.push(event["event_id"].as_str().expect("an event ID").to_owned());
        }
    }
    let history = alice.history(&room).await;
    let found: Vec<&str> = ids(&history);
    for event in &sent {
        let count = found.iter().filter(|it| *it == event).count();
        assert_eq!(count, 1, "{event} occurs {count} times after the crashes");
    }
    assert_bodies_are_unique(&history);
    assert_sync_is_complete(&bob, &room, &token, &sent).await;
}

/// A repeated transaction that was stored twice would show as one text under two event IDs.
fn assert_bodies_are_unique(history: &[Value]) {
    let mut seen = std::collections::BTreeSet::new();
    for event in history.iter().filter(|it| it["type"] == "m.room.message") {
        let key = format!("{} {}", event["sender"], event["content"]["body"]);
        assert!(seen.insert(key), "sent once, stored twice: {event}");
    }
}

/// The token from before the first crash leads to every event, in the order of the room.
async fn assert_sync_is_complete(bob: &User, room: &str, token: &str, sent: &[String]) {
    let filter = json!({ "room": { "timeline": { "limit": 5 } } });
    let last = bob.say(room, "the last").await;
    let sync = bob.sync().since(token).filter(&filter).until_event(room, &last).await;
    let section = sync.joined(room).expect("the room");
    assert!(section.limited(), "{}", section.0);
    let mut found: Vec<String> = ids(section.timeline()).into_iter().map(str::to_owned).collect();
    let mut from = section.prev_batch().to_owned();
    let deadline = Instant::now() + skerry_tests::PATIENCE;
    while Instant::now() < deadline {
        let page = bob.messages(room, "b").query("from", &from).query("to", token);
        let page = page.query("limit", 100).ok().await;
        found
            .extend(ids(page["chunk"].as_array().expect("a chunk")).into_iter().map(str::to_owned));
        match page["end"].as_str() {
            Some(end) if end != from => end.clone_into(&mut from),
            _ => break,
        }
    }
    for event in sent {
        assert_eq!(found.iter().filter(|it| *it == event).count(), 1, "{event} by sync");
    }
    assert_eq!(found.len(), sent.len() + 1, "nothing else happened in the room");
}

/// S-P3
async fn a_crash_in_the_middle_of_room_creation_leaves_no_half_room(host: Host) {
    let mut server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let mut rooms = Vec::new();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::join!(
        async {
            loop {
                let options = json!({ "name": "whole", "preset": "public_chat" });
                let request = alice.post("/createRoom").json(&options);
                let Ok(reply) = request.try_send().await else { break };
                rooms.push(reply.ok()["room_id"].as_str().expect("a room").to_owned());
                tell.send(()).unwrap_or_default();
            }
        },
        async {
            acknowledged(told, 15).await;
            server.kill();
        },
    );
    server.restart();
    let alice = alice.at(&server);
    let joined = alice.get("/joined_rooms").ok().await;
    let joined = joined["joined_rooms"].as_array().expect("rooms");
    for room in &rooms {
        assert!(joined.iter().any(|it| it == room.as_str()), "{room} was acknowledged");
    }
    for room in joined {
        let room = room.as_str().expect("a room ID");
        assert_eq!(alice.state(room, "m.room.name", "").ok().await["name"], "whole");
        alice.say(room, "usable").await;
    }
}

/// S-P3
async fn the_directory_is_right_after_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let mut alice = User::register(&server, "alice").await;
    let word = unique("Buoy");
    let room = alice.create_room(&json!({ "visibility": "public", "name": word })).await;
    for round in 0..3 {
        let renaming = async {
            for number in 0.. {
                let name = json!({ "name": format!("{word} {round} {number}") });
                let request = alice.setting(&room, "m.room.name", "", &name);
                if request.try_send().await.is_err() {
                    break;
                }
            }
        };
        let killing = async {
            // In the middle of the renaming, at another point in each round.
            for _ in 0..=round {
                entry(&User::register(&server, "bob").await, &word).await;
            }
            server.kill();
        };
        tokio::join!(renaming, killing);
        server.restart();
        alice = alice.at(&server);
        let name = alice.state(&room, "m.room.name", "").ok().await["name"].clone();
        until("the name that the room has", async || {
            entry(&alice, &word).await.is_some_and(|it| it["name"] == name)
        })
        .await;
    }
}
