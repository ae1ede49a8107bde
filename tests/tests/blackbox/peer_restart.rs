//! What other servers sent outlives the process: forks, the state that they resolve to, and what
//! still waits. Each test kills its own server without a farewell.

use skerry_tests::{
    Host, Options, Server, User, json, message,
    peer::{Draft, Event, Peer, PeerRoom},
};

private_server![
    native: Native => [
        t2_forks_outlive_a_restart,
        t2_a_restart_between_two_forks_changes_nothing,
        waiting_events_outlive_a_restart,
        rejected_and_hidden_events_outlive_a_restart,
        a_gap_outlives_a_restart,
    ],
    worker: Worker => [
        t2_forks_outlive_a_restart,
        t2_a_restart_between_two_forks_changes_nothing,
        waiting_events_outlive_a_restart,
        rejected_and_hidden_events_outlive_a_restart,
        a_gap_outlives_a_restart,
    ],
];

async fn started(host: Host) -> (Server, User, PeerRoom, String) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let room = alice.public_room(&[]).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(&server, &[&join]).await;
    let levels = alice.give_powers(&room.id, &[(&carol, 50)]).await;
    room.read(&alice, &levels).await;
    (server, alice, room, carol)
}

fn topic(sender: &str, text: &str) -> Draft {
    Draft::state(sender, "m.room.topic", "", json!({ "topic": text }))
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

/// T2
async fn t2_forks_outlive_a_restart(host: Host) {
    let (mut server, alice, mut room, carol) = started(host).await;
    let base = room.end();
    let own = alice.set_state(&room.id, "m.room.topic", "", &json!({ "topic": "Alice's" })).await;
    let own = room.read(&alice, &own).await;
    let forks: Vec<Event> = (0..4)
        .map(|number| room.stray(topic(&carol, &number.to_string()).after(&[&base])))
        .collect();
    room.accept(&server, &forks.iter().collect::<Vec<_>>()).await;
    let state = alice.state_ids(&room.id).await;
    assert_eq!(alice.state(&room.id, "m.room.topic", "").ok().await["topic"], "3");
    server.restart();
    let alice = alice.at(&server);
    assert_eq!(alice.state_ids(&room.id).await, state);
    let next = alice.say(&room.id, "one line again").await;
    let mut expected = vec![own.id];
    expected.extend(forks.iter().map(|it| it.id.clone()));
    let next = room.read(&alice, &next).await;
    assert_eq!(sorted(next.prev()), sorted(expected));
    server.restart();
    let alice = alice.at(&server);
    let last = alice.say(&room.id, "still one").await;
    assert_eq!(room.read(&alice, &last).await.prev(), [next.id]);
    assert_eq!(alice.state_ids(&room.id).await, state);
    // What was decided is known, and an old fork can still grow.
    assert_eq!(room.send(&server, &[&forks[0]]).await, [json!("known")]);
    let late = room.stray(Draft::message(&carol, "on an old fork").after(&[&forks[0]]));
    room.accept(&server, &[&late]).await;
}

/// T2: one server is killed after every event, another never.
async fn t2_a_restart_between_two_forks_changes_nothing(host: Host) {
    let options = |name: &str| Options { server_name: name.to_owned(), ..Options::default() };
    let mut servers = ["one.example", "two.example"].map(|it| Server::start(host, options(it)));
    let mut room = PeerRoom::create(&Peer::new("peer.example"), "12", &[("dave", 50), ("erin", 0)]);
    let [carol, dave, erin] = ["carol", "dave", "erin"].map(|it| room.peer.user(it));
    let base = room.end();
    let ban = room.stray(Draft::member(&dave, &erin, "ban").after(&[&base]));
    let named = room.stray(topic(&dave, "Dave's").after(&[&ban]));
    let levels = json!({ "users": { &dave: 0 } });
    let levels = Draft::state(&carol, "m.room.power_levels", "", levels).after(&[&base]);
    let levels = room.stray(levels);
    let speech = room.stray(Draft::message(&erin, "still here").after(&[&levels]));
    room.ends = vec![base.id];
    let mut states = Vec::new();
    for (number, server) in servers.iter_mut().enumerate() {
        let mut alice = User::register(server, "alice").await;
        let mut room = room.clone();
        let join = room.let_in(server, &alice).await;
        room.tell_history(server, &join).await;
        for event in [&ban, &speech, &named, &levels] {
            room.send(server, &[event]).await;
            if number == 1 {
                server.restart();
                alice = alice.at(server);
            }
        }
        assert_eq!(alice.membership_in(&room.id, &erin).await, "join");
        alice.is_shown(&room.id, &speech.id, &message("still here")).await;
        let mut state = alice.state_ids(&room.id).await;
        state.remove(&("m.room.member".to_owned(), alice.id.clone()));
        states.push(state);
    }
    assert_eq!(states[0], states[1]);
}

async fn waiting_events_outlive_a_restart(host: Host) {
    let (mut server, alice, mut room, carol) = started(host).await;
    let first = room.add(Draft::message(&carol, "first"));
    let second = room.add(Draft::message(&carol, "second"));
    let third = room.add(Draft::message(&carol, "third"));
    for event in [&third, &second] {
        let waits = json!({ "waits": { "auth": [], "prev": event.prev() } });
        assert_eq!(room.send(&server, &[event]).await, [waits]);
    }
    server.restart();
    let alice = alice.at(&server);
    alice.is_not_shown(&room.id, &third.id).await;
    room.accept(&server, &[&first]).await;
    alice.is_shown(&room.id, &third.id, &message("third")).await;
    let history = alice.history_from(&room.id, &first.id).await;
    assert_eq!(history, [first.id, second.id, third.id.clone()]);
    let next = alice.say(&room.id, "all there").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [third.id]);
}

async fn rejected_and_hidden_events_outlive_a_restart(host: Host) {
    let (mut server, alice, mut room, carol) = started(host).await;
    let base = room.end();
    let erin = room.peer.user("erin");
    let rejected = room.stray(Draft::message(&erin, "never joined"));
    room.refuse(&server, &rejected, "rejected").await;
    let outlier = room.stray(Draft::join(&erin));
    room.hand(&server, "outlier", &[&outlier]).await;
    alice.ban(&room.id, &carol).await;
    let soft = room.stray(Draft::message(&carol, "as if before the ban").after(&[&base]));
    room.refuse(&server, &soft, "soft_failed").await;
    let last = alice.say(&room.id, "before the restart").await;
    server.restart();
    let alice = alice.at(&server);
    for event in [&rejected, &soft, &outlier] {
        alice.is_not_shown(&room.id, &event.id).await;
    }
    assert_eq!(room.send(&server, &[&rejected, &soft]).await, [json!("known"), json!("known")]);
    let next = alice.say(&room.id, "undisturbed").await;
    room.read(&alice, &last).await;
    assert_eq!(room.read(&alice, &next).await.prev(), [last]);
}

async fn a_gap_outlives_a_restart(host: Host) {
    let (mut server, alice, mut room, carol) = started(host).await;
    let base = room.end();
    let lost = room.add(Draft::message(&carol, "lost"));
    let last = room.add(Draft::message(&carol, "last"));
    let state: Vec<_> = room.state_at(&lost.id).into_iter().map(|it| it.id).collect();
    let states = json!([{ "before": last.id, "state": state }]);
    let before = alice.sync().until_event(&room.id, &base.id).await;
    room.hand_with(&server, "live", &[&last], states, &[&room.peer]).await;
    server.restart();
    let alice = alice.at(&server);
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &last.id).await;
    assert!(sync.joined(&room.id).expect("the room").limited(), "{}", sync.json);
    let outcome = room.hand(&server, "history", &[&lost]).await;
    assert_eq!(outcome, [json!({ "accepted": { "redacted": false } })]);
    server.restart();
    let alice = alice.at(&server);
    let history = alice.history_from(&room.id, &base.id).await;
    assert_eq!(history, [base.id, lost.id, last.id]);
}
