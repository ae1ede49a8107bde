//! `kill -9` in the middle of what servers do with each other (T2, T4): what was acknowledged is
//! there, once and in order, and of what was not nothing is half there.

use skerry_tests::{
    Client, Federated, Host, Options, Request, Server, User, Value, encode, ids, json, message,
    path,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
    unique,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};

private_server![
    native: Native => [
        t2_transactions_that_a_crash_cuts_short_are_received_once,
        t4_what_is_sent_before_a_crash_reaches_other_servers_once,
        t4_what_is_sent_before_a_crash_is_in_other_servers_timelines_once,
        a_join_that_a_crash_cuts_short_is_made_by_the_next_attempt,
    ],
    worker: Worker => [
        t2_transactions_that_a_crash_cuts_short_are_received_once,
        t4_what_is_sent_before_a_crash_reaches_other_servers_once,
        t4_what_is_sent_before_a_crash_is_in_other_servers_timelines_once,
        a_join_that_a_crash_cuts_short_is_made_by_the_next_attempt,
    ],
];

const SEND: &str = "/_matrix/federation/v1/send/";
const MAKE_JOIN: &str = "/_matrix/federation/v1/make_join/";
const SEND_JOIN: &str = "/_matrix/federation/v2/send_join/";

/// Events of a transaction, as many as it may have.
const PART: usize = 50;

/// Transactions in all: more than are taken until the last crash, however fast that goes.
const TRANSACTIONS: usize = 40;

/// After how many answered requests the process dies, and how many milliseconds later: at any point
/// of the next ones.
const CRASHES: [(usize, u64); 6] = [(1, 0), (1, 3), (2, 8), (1, 12), (1, 20), (1, 30)];

/// All of these moments natively, and every other one at the edge, whose host takes long to start.
fn moments<T: Copy>(host: Host, all: &[T]) -> Vec<T> {
    let step = if host == Host::Native { 1 } else { 2 };
    all.iter().step_by(step).copied().collect()
}

/// Waits until so many requests were answered, or until nobody asks any more, and a while longer.
async fn crash_after((count, later_ms): (usize, u64), mut told: mpsc::UnboundedReceiver<()>) {
    for _ in 0..count {
        if told.recv().await.is_none() {
            return;
        }
    }
    sleep(Duration::from_millis(later_ms)).await;
}

/// A transaction: its ID and its events.
struct Transaction {
    id: String,
    body: Value,
}

impl Transaction {
    fn of(remote: &Remote, events: &[Event]) -> Self {
        let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
        let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": pdus });
        Self { id: unique("txn"), body }
    }

    /// The request of a server to Skerry, which listens there.
    fn to(&self, url: &str, remote: &Remote) -> Request {
        let path = format!("{SEND}{}", encode(&self.id));
        let signed = remote.peer.authorization_for("localhost", "PUT", &path, Some(&self.body));
        let request = Client::new(url).put(&path).json(&self.body);
        request.header("Authorization", &signed)
    }
}

/// Sends one transaction after the other until the server dies. How many were acknowledged.
async fn send_until_it_dies(
    remote: &Remote,
    url: String,
    transactions: &[Transaction],
    tell: mpsc::UnboundedSender<()>,
) -> usize {
    for (number, transaction) in transactions.iter().enumerate() {
        match transaction.to(&url, remote).try_send().await {
            Ok(reply) => assert_all_taken(&reply.ok()),
            Err(_) => return number,
        }
        tell.send(()).unwrap_or_default();
    }
    transactions.len()
}

fn assert_all_taken(answer: &Value) {
    let outcomes = answer["pdus"].as_object().expect("an outcome for each");
    assert!(outcomes.len() == PART && outcomes.values().all(|it| *it == json!({})), "{answer}");
}

/// Messages, and now and then a new name of who says them: state.
fn chain(room: &mut PeerRoom, count: usize) -> Vec<Event> {
    let carol = room.peer.user("carol");
    let event = |number: usize| match number % 10 {
        7 => {
            let content = json!({ "membership": "join", "displayname": format!("{number}") });
            Draft::state(&carol, "m.room.member", &carol, content)
        }
        _ => Draft::message(&carol, &format!("number {number}")),
    };
    (0..count).map(|number| room.add(event(number))).collect()
}

/// S-P3, T2: the other server sends again what was not acknowledged, under the same ID.
async fn t2_transactions_that_a_crash_cuts_short_are_received_once(host: Host) {
    let (mut server, remote) = (Server::start(host, Options::default()), Remote::start());
    let mut alice = User::register(&server, "alice").await;
    let mut room = remote.in_room_of(&alice, &server).await;
    let before = alice.sync().until_event(&room.id, &room.end().id).await;
    let events = chain(&mut room, TRANSACTIONS * PART);
    let transactions: Vec<_> = events.chunks(PART).map(|it| Transaction::of(&remote, it)).collect();
    let mut next = 0;
    for crash in moments(host, &CRASHES) {
        let (tell, told) = mpsc::unbounded_channel();
        let url = server.url().to_owned();
        let (sent, ()) =
            tokio::join!(send_until_it_dies(&remote, url, &transactions[next..], tell), async {
                crash_after(crash, told).await;
                server.kill();
            },);
        next += sent;
        assert!(next < transactions.len(), "it dies in the middle");
        server.restart();
        alice = alice.at(&server);
        // What was acknowledged is there before anything else comes.
        if let Some(last) = (next * PART).checked_sub(1) {
            alice.event(&room.id, &events[last].id).ok().await;
        }
    }
    let (tell, _told) = mpsc::unbounded_channel();
    let url = server.url().to_owned();
    send_until_it_dies(&remote, url, &transactions[next..], tell).await;
    let all: Vec<_> = events.iter().map(|it| it.id.clone()).collect();
    assert_eq!(alice.history_from(&room.id, &all[0]).await, all);
    // Each is answered alike, however late it comes again, and changes nothing.
    for transaction in &transactions {
        assert_all_taken(&transaction.to(server.url(), &remote).ok().await);
    }
    assert_eq!(alice.history_from(&room.id, &all[0]).await, all);
    let carol = alice.state(&room.id, "m.room.member", &remote.peer.user("carol")).ok().await;
    assert_eq!(carol["displayname"], format!("{}", TRANSACTIONS * PART - 3));
    assert_state_is_that_of(&alice, &room).await;
    // A token of before the crashes leads here.
    let next = alice.say(&room.id, "and on").await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &next).await;
    assert!(sync.joined(&room.id).expect("the room").limited(), "{}", sync.json);
    assert_eq!(room.read(&alice, &next).await.prev(), [all[all.len() - 1].clone()]);
}

async fn assert_state_is_that_of(alice: &User, room: &PeerRoom) {
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

/// What a client has sent until the server died: what was acknowledged, and which got no answer.
async fn say_until_it_dies(
    user: &User,
    room: &str,
    round: usize,
    tell: mpsc::UnboundedSender<()>,
) -> (Vec<String>, String) {
    let mut acknowledged = Vec::new();
    loop {
        let text = format!("round-{round}-{}", acknowledged.len());
        let Ok(reply) = saying(user, room, &text).try_send().await else {
            return (acknowledged, text);
        };
        acknowledged.push(event_id(&reply.ok()));
        tell.send(()).unwrap_or_default();
    }
}

/// A request to say something, which may be repeated.
fn saying(user: &User, room: &str, text: &str) -> Request {
    let request = user.put(path(["rooms", room, "send", "m.room.message", text]));
    request.json(&message(text))
}

fn event_id(answer: &Value) -> String {
    answer["event_id"].as_str().expect("an event ID").to_owned()
}

/// Of a server that is killed and started again: after how many messages, and how much later.
const KILLS: [(usize, u64); 5] = [(9, 0), (14, 6), (21, 17), (30, 3), (40, 40)];

/// T4: what was not acknowledged is sent again after the crash, and is the same event.
async fn t4_what_is_sent_before_a_crash_reaches_other_servers_once(host: Host) {
    let (mut server, remote) = (Server::start(host, Options::default()), Remote::start());
    remote.accept_transactions();
    let mut alice = User::register(&server, "alice").await;
    let id = alice.public_room(&[]).await;
    let room = remote.enter(&server, &alice, &id, &remote.peer.user("carol")).await;
    let mut said = Vec::new();
    for (round, kill) in moments(host, &KILLS).into_iter().enumerate() {
        let (tell, told) = mpsc::unbounded_channel();
        let ((acknowledged, unanswered), ()) =
            tokio::join!(say_until_it_dies(&alice, &id, round, tell), async {
                crash_after(kill, told).await;
                server.kill();
            },);
        said.extend(acknowledged);
        server.restart();
        alice = alice.at(&server);
        said.push(event_id(&saying(&alice, &id, &unanswered).ok().await));
    }
    let last = alice.say(&id, "the last").await;
    said.push(last.clone());
    remote.until(SEND, |it| it.text().contains("\"the last\"")).await;
    let sent = sent(&remote, &room);
    let mut seen = BTreeSet::new();
    let first: Vec<_> =
        sent.iter().flatten().filter(|it| seen.insert((*it).clone())).cloned().collect();
    let is_said = |it: &&String| said.contains(it);
    let in_order: Vec<_> = first.iter().filter(is_said).cloned().collect();
    assert_eq!(in_order, said, "each of them, in their order");
    // What was sent twice is what was under way when the process died: one transaction each time.
    let twice = sent.iter().flatten().count() - first.len();
    assert!(twice <= KILLS.len() * PART, "{twice} of {} were sent again", first.len());
    assert!(sent.iter().all(|it| it.len() <= PART));
}

/// The IDs of what a server was sent, by transaction. One that came twice has the same events.
fn sent(remote: &Remote, room: &PeerRoom) -> Vec<Vec<String>> {
    let mut transactions = BTreeMap::<String, Vec<String>>::new();
    let mut order = Vec::new();
    for asked in remote.asked(SEND) {
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        let events = room.ids(&body["pdus"]);
        match transactions.get(&asked.path) {
            Some(before) => assert_eq!(*before, events, "{}", asked.path),
            None => order.push(asked.path.clone()),
        }
        transactions.insert(asked.path, events);
    }
    order.iter().filter_map(|it| transactions.remove(it)).collect()
}

/// T4: the same, as a user of another Skerry sees it.
async fn t4_what_is_sent_before_a_crash_is_in_other_servers_timelines_once(host: Host) {
    let (mut server, other) = (Federated::start(host), Federated::start(Host::Native));
    let (mut alice, bob) =
        (User::register(&server, "alice").await, User::register(&other, "bob").await);
    let room = alice.public_room(&[]).await;
    let name = alice.id.split_once(':').expect("a user ID").1.to_owned();
    bob.post(format!("/join{}?via={}", path([&room]), encode(&name))).ok().await;
    let mut watch = bob.watch().await;
    let first = alice.say(&room, "the first").await;
    watch.event(&room, &first).await;
    let mut said = vec![first.clone()];
    for (round, kill) in moments(host, &KILLS).into_iter().enumerate() {
        let (tell, told) = mpsc::unbounded_channel();
        let ((acknowledged, unanswered), ()) =
            tokio::join!(say_until_it_dies(&alice, &room, round, tell), async {
                crash_after(kill, told).await;
                server.kill();
            },);
        said.extend(acknowledged);
        server.restart();
        alice = alice.at(&server);
        said.push(event_id(&saying(&alice, &room, &unanswered).ok().await));
        // They speak meanwhile, so that the room has forks.
        if round % 2 == 0 {
            said.push(bob.say(&room, &format!("are you there? {round}")).await);
        }
    }
    let last = alice.say(&room, "the last").await;
    watch.event(&room, &last).await;
    said.push(last);
    for user in [&alice, &bob] {
        let history = user.history(&room).await;
        let found = ids(&history);
        for id in &said {
            let count = found.iter().filter(|it| *it == id).count();
            assert_eq!(count, 1, "{}: {id} occurs {count} times", user.id);
        }
        let texts: Vec<_> =
            history.iter().filter_map(|it| it["content"]["body"].as_str()).collect();
        let once: BTreeSet<_> = texts.iter().collect();
        assert_eq!(once.len(), texts.len(), "{}: sent once, there twice", user.id);
    }
    assert_eq!(alice.state_ids(&room).await, bob.state_ids(&room).await);
}

/// After which request of a join the process dies, and how many milliseconds later.
const MOMENTS: [(&str, u64); 9] = [
    (MAKE_JOIN, 0),
    (SEND_JOIN, 0),
    (SEND_JOIN, 20),
    (SEND_JOIN, 50),
    (SEND_JOIN, 90),
    (SEND_JOIN, 150),
    (SEND_JOIN, 250),
    (SEND_JOIN, 500),
    (SEND_JOIN, 1_000),
];

/// C1, S-P3: the user is in the whole room or not at all, and where they are not they can join.
async fn a_join_that_a_crash_cuts_short_is_made_by_the_next_attempt(host: Host) {
    let mut server = Server::start(host, Options::default());
    let mut alice = User::register(&server, "alice").await;
    let members: Vec<_> = (0..350).map(|it| (format!("member{it}"), 0)).collect();
    let members: Vec<_> = members.iter().map(|(name, level)| (name.as_str(), *level)).collect();
    let (mut cut_short, mut whole) = (0, 0);
    let mut moments = moments(host, &MOMENTS).into_iter();
    while moments.len() > 0 {
        let remote = Remote::start();
        let room = PeerRoom::create(&remote.peer, "11", &members);
        remote.open(&room);
        let join = |alice: &User| {
            let via = encode(&remote.peer.name);
            alice.post(format!("/join{}?via={via}", path([&room.id])))
        };
        for (request, later_ms) in moments.by_ref() {
            let before = remote.asked(request).len();
            let ((), ()) = tokio::join!(
                async {
                    // The answer may come before the end of the process.
                    let _ = join(&alice).try_send().await;
                },
                async {
                    while remote.asked(request).len() == before {
                        sleep(Duration::from_millis(1)).await;
                    }
                    sleep(Duration::from_millis(later_ms)).await;
                    server.kill();
                },
            );
            server.restart();
            alice = alice.at(&server);
            if is_joined(&alice, &room.id).await {
                whole += 1;
                break;
            }
            assert_nothing_shows(&alice, &room.id).await;
            cut_short += 1;
        }
        join(&alice).ok().await;
        let expected = members.len() + 2;
        assert_eq!(alice.joined_members(&room.id).await.len(), expected);
        let state = alice.state_ids(&room.id).await;
        assert!(room.current().iter().all(|(key, id)| state.get(key) == Some(id)), "{state:?}");
        let said = alice.say(&room.id, "at last").await;
        let reached = remote.until(SEND, |it| it.text().contains("\"at last\"")).await;
        let reached: Value = serde_json::from_slice(&reached.body).expect("JSON");
        assert!(room.ids(&reached["pdus"]).contains(&said), "{reached}");
    }
    assert!(cut_short >= 1, "{cut_short} joins were cut short, {whole} were whole");
}

async fn is_joined(alice: &User, room: &str) -> bool {
    let joined = alice.get("/joined_rooms").ok().await;
    joined["joined_rooms"].as_array().expect("rooms").iter().any(|it| it == room)
}

/// Nothing of a room shows that nobody here is in.
async fn assert_nothing_shows(alice: &User, room: &str) {
    for what in ["state", "members", "messages?dir=b"] {
        let request = alice.get(format!("/rooms{}/{what}", path([room])));
        request.refused(403, "M_FORBIDDEN").await;
    }
    let sync = alice.sync().filter(&json!({ "room": { "include_leave": true } })).get().await;
    for section in ["join", "invite", "knock", "leave"] {
        assert!(sync.room(section, room).is_none(), "{section}: {}", sync.json);
    }
}
