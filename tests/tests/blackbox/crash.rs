//! `kill -9` in the middle of work: what was acknowledged is there, once, and old tokens work.

use skerry_tests::{
    Client, Host, Options, PASSWORD, Server, User, Value, ids, json, message, path,
};
use tokio::{sync::mpsc, time::Instant};

private_server![native: Native => [
    no_acknowledged_event_is_lost_or_doubled_by_a_crash,
    a_crash_in_the_middle_of_room_creation_leaves_no_half_room,
    a_crash_in_the_middle_of_account_operations_leaves_each_whole,
    a_crash_in_the_middle_of_room_creation_leaves_no_alias_to_nothing,
    a_crash_in_the_middle_of_leaving_leaves_whole_rooms_and_names,
], worker: Worker => [
    a_crash_in_the_middle_of_room_creation_leaves_no_alias_to_nothing,
    a_crash_in_the_middle_of_leaving_leaves_whole_rooms_and_names,
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

/// Creates rooms with aliases until the server dies, and gives the aliases that were asked for.
async fn name_rooms_until_it_dies(
    user: &User,
    name: &str,
    tell: mpsc::UnboundedSender<()>,
) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let name = format!("{name}-{}", names.len());
        let options = json!({ "preset": "public_chat", "room_alias_name": name });
        names.push(name);
        let Ok(reply) = user.post("/createRoom").json(&options).try_send().await else {
            return names;
        };
        reply.ok();
        tell.send(()).unwrap_or_default();
    }
}

/// S-P3: an alias leads to a room that is there, or nowhere; then the next room can have it.
async fn a_crash_in_the_middle_of_room_creation_leaves_no_alias_to_nothing(host: Host) {
    let mut server = Server::start(host, Options::default());
    let mut alice = User::register(&server, "alice").await;
    for round in 0..ROUNDS {
        let name = |number| format!("round{round}-{number}");
        let names: Vec<_> = (0..4).map(name).collect();
        let (tell, told) = mpsc::unbounded_channel();
        let (a, b, c, d, ()) = tokio::join!(
            name_rooms_until_it_dies(&alice, &names[0], tell.clone()),
            name_rooms_until_it_dies(&alice, &names[1], tell.clone()),
            name_rooms_until_it_dies(&alice, &names[2], tell.clone()),
            name_rooms_until_it_dies(&alice, &names[3], tell),
            async {
                acknowledged(told, 10 + 3 * round).await;
                server.kill();
            },
        );
        server.restart();
        alice = alice.at(&server);
        for mut names in [a, b, c, d] {
            let unanswered = names.pop().expect("a crash");
            for name in names {
                let joined = alice.post(path(["join", &format!("#{name}:localhost")])).ok().await;
                let room = joined["room_id"].as_str().expect("a room");
                alice.say(room, "usable").await;
            }
            assert_leads_to_a_room_or_is_free(&alice, &unanswered).await;
        }
    }
}

/// Whether the name of a room whose creation got no answer is that of a room, or can be had again.
async fn assert_leads_to_a_room_or_is_free(alice: &User, name: &str) {
    let alias = format!("#{name}:localhost");
    let found = alice.get(path(["directory", "room", &alias])).send().await;
    if found.status == 404 {
        let options = json!({ "preset": "public_chat", "room_alias_name": name });
        let deadline = Instant::now() + 2 * skerry_tests::PATIENCE;
        while alice.post("/createRoom").json(&options).send().await.status != 200 {
            assert!(Instant::now() < deadline, "{alias} is never free again");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }
    let joined = alice.post(path(["join", &alias])).ok().await;
    let room = joined["room_id"].as_str().expect("a room");
    alice.say(room, "usable").await;
    let canonical = alice.state(room, "m.room.canonical_alias", "").ok().await;
    assert_eq!(canonical["alias"], alias.as_str());
}

/// Leaves and forgets rooms until the server dies, and gives the one that got no answer.
async fn forget_until_it_dies(
    user: &User,
    rooms: &[String],
    tell: mpsc::UnboundedSender<()>,
) -> String {
    for room in rooms {
        for step in ["leave", "forget"] {
            let request = user.post(path(["rooms", room, step])).json(&json!({}));
            match request.try_send().await {
                Ok(reply) => drop(reply.ok()),
                Err(_) => return room.clone(),
            }
        }
        tell.send(()).unwrap_or_default();
    }
    panic!("the server lives");
}

/// S-P3: a room that its last member has forgotten is removed with its name, also when the process
/// dies in between; one that nobody has forgotten stays with its own.
async fn a_crash_in_the_middle_of_leaving_leaves_whole_rooms_and_names(host: Host) {
    let mut server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let mut rooms = Vec::new();
    for number in 0..12 {
        let options = json!({ "visibility": "public", "name": "wreck",
            "room_alias_name": format!("wreck{number}") });
        rooms.push(alice.create_room(&options).await);
    }
    let (tell, told) = mpsc::unbounded_channel();
    let (cut_short, ()) = tokio::join!(forget_until_it_dies(&alice, &rooms, tell), async {
        acknowledged(told, 6).await;
        server.kill();
    });
    server.restart();
    let alice = alice.at(&server);
    for (number, room) in rooms.iter().enumerate() {
        let entry = path(["directory", "room", &format!("#wreck{number}:localhost")]);
        let is_cut_short = *room == cut_short;
        if is_cut_short {
            // Whatever it had come to, it is done by being asked for again.
            alice.post(path(["rooms", room, "leave"])).send().await;
            alice.post(path(["rooms", room, "forget"])).ok().await;
        }
        if is_cut_short || rooms.iter().position(|it| *it == cut_short) > Some(number) {
            let deadline = Instant::now() + 2 * skerry_tests::PATIENCE;
            while alice.get(&entry).send().await.status != 404 {
                assert!(Instant::now() < deadline, "#wreck{number} leads to a forgotten room");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        } else {
            assert_eq!(alice.get(&entry).ok().await["room_id"], room.as_str());
            alice.say(room, "usable").await;
        }
    }
    let search = json!({ "filter": { "generic_search_term": "wreck" } });
    let listed = alice.post("/publicRooms").json(&search).ok().await;
    let left = rooms.len() - 1 - rooms.iter().position(|it| *it == cut_short).expect("a room");
    assert_eq!(listed["chunk"].as_array().map(Vec::len), Some(left), "{listed}");
}

/// Logs alice in until the server dies, and gives the sessions that were acknowledged.
async fn log_in_until_it_dies(alice: &User, tell: mpsc::UnboundedSender<()>) -> Vec<User> {
    let mut sessions = Vec::new();
    loop {
        let request = alice.post("/login").json(&alice.password_auth());
        let Ok(reply) = request.try_send().await else { return sessions };
        sessions.push(User::from_session(alice, &reply.ok()));
        tell.send(()).unwrap_or_default();
    }
}

/// Registers names until the server dies. The last of them got no answer.
async fn register_until_it_dies(
    anyone: &Client,
    round: usize,
    tell: mpsc::UnboundedSender<()>,
) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let name = format!("round-{round}-{}", names.len());
        let body = json!({ "username": name, "password": PASSWORD,
            "auth": { "type": "m.login.dummy" } });
        names.push(name);
        let Ok(reply) = anyone.post("/register").json(&body).try_send().await else { return names };
        reply.ok();
        tell.send(()).unwrap_or_default();
    }
}

/// S-P3: what was acknowledged is there, what was not is there whole or not at all, and a device
/// is there exactly when its session is.
async fn a_crash_in_the_middle_of_account_operations_leaves_each_whole(host: Host) {
    let mut server = Server::start(host, Options::default());
    let mut alice = User::register(&server, "alice").await;
    for round in 0..ROUNDS {
        let anyone = Client::new(server.url());
        let (tell, told) = mpsc::unbounded_channel();
        let (sessions, names, ()) = tokio::join!(
            log_in_until_it_dies(&alice, tell.clone()),
            register_until_it_dies(&anyone, round, tell),
            async {
                acknowledged(told, 5 + round).await;
                server.kill();
            },
        );
        server.restart();
        alice = alice.at(&server);
        let devices = alice.get("/devices").ok().await;
        let devices = devices["devices"].as_array().expect("devices");
        for session in &sessions {
            let whoami = session.at(&server).get("/account/whoami").ok().await;
            assert_eq!(whoami["device_id"], session.device.as_str());
            assert!(devices.iter().any(|it| it["device_id"] == session.device.as_str()));
        }
        // Of the login that got no answer there may be a device.
        let surplus = devices.len() - sessions.len() - 1;
        assert!(surplus <= 1, "{} of {devices:?}", sessions.len());
        let anyone = Client::new(server.url());
        let (last, acknowledged) = names.split_last().expect("a crash");
        for name in acknowledged {
            User::log_in(&server, name).await;
        }
        let available = anyone.get("/register/available").query("username", last).send().await;
        match available.status {
            200 => drop(User::register_as(&server, last).await),
            _ => drop(User::log_in(&server, last).await),
        }
        alice.post("/logout/all").ok().await;
        alice = User::log_in(&server, &alice.id).await;
        let devices = alice.get("/devices").ok().await;
        assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
    }
}
