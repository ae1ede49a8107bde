//! Forks: events that several servers put behind the same event. Whatever order they come in, every
//! server ends with the same state, and no number of them stops a room.

use skerry_tests::{
    Host, Options, Server, User, ids, json,
    peer::{Draft, Event, Peer, PeerRoom, StateIds, outcome_name},
};

both_hosts![
    t2_a_room_with_a_thousand_extremities_still_works_and_shrinks,
    a_fork_is_joined_by_the_next_event,
    a_merge_by_the_peer_ends_a_fork,
];

private_server![
    native_servers: Native => [t2_forks_with_conflicting_power_levels_and_bans_end_alike],
    worker_servers: Worker => [t2_forks_with_conflicting_power_levels_and_bans_end_alike],
];

fn topic(sender: &str, text: &str) -> Draft {
    Draft::state(sender, "m.room.topic", "", json!({ "topic": text }))
}

fn key(kind: &str, key: &str) -> (String, String) {
    (kind.to_owned(), key.to_owned())
}

/// A room made by a peer that falls into three parts, none of which the others know.
struct Split {
    room: PeerRoom,
    forks: Vec<Vec<Event>>,
    /// The state that every server must come to, for what the parts disagree about.
    expected: StateIds,
}

impl Split {
    fn new(version: &str) -> Self {
        let peer = Peer::new("peer.example");
        let levels = [("dave", 50), ("erin", 50), ("frank", 0)];
        let mut room = PeerRoom::create(&peer, version, &levels);
        let [carol, dave, erin, frank] = ["carol", "dave", "erin", "frank"].map(|it| peer.user(it));
        let base = room.end();
        let users = room.state("m.room.power_levels", "").pdu["content"]["users"].clone();
        let with_levels = |changes: &[(&str, i64)]| {
            let mut users = users.clone();
            for (user, level) in changes {
                users[user] = json!(level);
            }
            Draft::state(&carol, "m.room.power_levels", "", json!({ "users": users }))
        };
        // Carol makes Frank a moderator, who names the room.
        let raised = room.stray(with_levels(&[(&frank, 50)]).after(&[&base]));
        let frank_names = Draft::state(&frank, "m.room.name", "", json!({ "name": "Frank's" }));
        let named = room.stray(frank_names.after(&[&raised]));
        // What ends each part is allowed by every state: what is not makes no end of the room, and
        // version 1 resolves nothing that only one end has.
        let seen = room.stray(Draft::message(&carol, "so be it").after(&[&named]));
        let franks = vec![raised, named, seen];
        // Dave bans Frank and sets a topic; Erin an avatar.
        let ban = room.stray(Draft::member(&dave, &frank, "ban").after(&[&base]));
        let daves_topic = room.stray(topic(&dave, "Dave's").after(&[&ban]));
        let avatar = Draft::state(&erin, "m.room.avatar", "", json!({ "url": "mxc://a/b" }));
        let avatar = room.stray(avatar.after(&[&daves_topic]));
        let daves = vec![ban, daves_topic, avatar.clone()];
        // Carol takes Dave's power away.
        let lowered = room.stray(with_levels(&[(&dave, 0)]).after(&[&base]));
        let carols = vec![lowered.clone()];
        let expected = StateIds::from([
            (key("m.room.power_levels", ""), lowered.id),
            (key("m.room.avatar", ""), avatar.id),
            (key("m.room.member", &frank), room.state("m.room.member", &frank).id),
        ]);
        room.ends = vec![base.id];
        Self { room, forks: vec![franks, daves, carols], expected }
    }
}

/// T2, F16: a server in the middle of each of three orders: as written, backward, and with the
/// children before their parents.
async fn t2_forks_with_conflicting_power_levels_and_bans_end_alike(host: Host) {
    let started = ["one.example", "two.example", "three.example"].map(|name| {
        let options = Options { server_name: name.to_owned(), ..Options::default() };
        Server::start(host, options)
    });
    let mut users = Vec::new();
    for server in &started {
        users.push(User::register(server, "alice").await);
    }
    for version in ["1", "2", "6", "10", "11", "12"] {
        let split = Split::new(version);
        let mut ends = Vec::new();
        for (order, (server, alice)) in started.iter().zip(&users).enumerate() {
            let mut room = split.room.clone();
            let join = room.let_in(server, alice).await;
            // The forks begin before the join, where nothing is known without the history.
            room.tell_history(server, &join).await;
            let mut events: Vec<&Event> = split.forks.iter().flatten().collect();
            match order {
                0 => {}
                1 => events = split.forks.iter().rev().flatten().collect(),
                _ => events.reverse(),
            }
            for event in events {
                // What comes when the room has turned against it is hidden, and counts. What has
                // come with the join is known once something builds on it.
                let outcome = room.send(server, &[event]).await.remove(0);
                let fate = outcome_name(&outcome);
                let fates = ["accepted", "soft_failed", "waits", "known"];
                assert!(fates.contains(&fate), "{outcome}");
            }
            let last = alice.say(&room.id, "everything meets here").await;
            alice.is_shown(&room.id, &last, &skerry_tests::message("everything meets here")).await;
            let mut state = alice.state_ids(&room.id).await;
            // Each server has its own Alice.
            let own = state.remove(&key("m.room.member", &alice.id));
            assert!(own.is_some(), "version {version}, order {order}: {state:?}");
            ends.push(state);
        }
        assert_eq!(ends[0], ends[1], "version {version}");
        assert_eq!(ends[0], ends[2], "version {version}");
        // What the first algorithm of version 1 comes to is not what later ones do.
        if version != "1" {
            for (key, event) in &split.expected {
                assert_eq!(ends[0].get(key), Some(event), "version {version}: {key:?}");
            }
            for (kind, whose) in [("m.room.topic", "Dave"), ("m.room.name", "Frank")] {
                let set = ends[0].get(&key(kind, ""));
                assert_eq!(set, None, "version {version}: {whose} has no power for it");
            }
        }
    }
}

/// T2
async fn t2_a_room_with_a_thousand_extremities_still_works_and_shrinks(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    let mut forks = Vec::new();
    for number in 0..1_000 {
        let draft = Draft::message(&carol, &number.to_string());
        forks.push(room.stray(draft.after(&[&join])));
    }
    for part in forks.chunks(50) {
        let part: Vec<_> = part.iter().collect();
        for outcome in room.send(server, &part).await {
            assert_eq!(outcome, json!({ "accepted": { "redacted": false } }));
        }
    }
    let mut named = Vec::new();
    for number in 0..120 {
        let (user, text) = (if number % 2 == 0 { &alice } else { &bob }, format!("own {number}"));
        let own = match number {
            30 => alice.set_state(&room.id, "m.room.topic", "", &json!({ "topic": text })).await,
            _ => user.say(&room.id, &text).await,
        };
        // A timeline has room for a hundred events.
        if number % 60 == 59 {
            room.read(&alice, &own).await;
        }
        named.push(own);
    }
    let named: Vec<_> = named.iter().map(|id| room.event(id).prev()).collect();
    for prev in &named {
        assert!((1..=10).contains(&prev.len()), "{prev:?}");
    }
    assert_eq!(named.last().map(Vec::len), Some(1), "the forks are joined");
    let mut missing: std::collections::BTreeSet<_> = forks.iter().map(|it| &it.id).collect();
    for prev in named.iter().flatten() {
        missing.remove(prev);
    }
    assert!(missing.is_empty(), "{} forks were never joined", missing.len());
}

async fn a_fork_is_joined_by_the_next_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    let before = alice.sync().get().await;
    let own = alice.say(&room.id, "at the same time").await;
    let one = room.stray(Draft::message(&carol, "one").after(&[&join]));
    let two = room.stray(Draft::message(&carol, "two").after(&[&join]));
    room.accept(server, &[&one, &two]).await;
    let next = alice.say(&room.id, "after all of them").await;
    let next = room.read(&alice, &next).await;
    let (mut prev, mut expected) = (next.prev(), vec![own.clone(), one.id.clone(), two.id.clone()]);
    prev.sort();
    expected.sort();
    assert_eq!(prev, expected);
    let deepest = expected.iter().filter_map(|id| room.event(id).pdu["depth"].as_u64()).max();
    assert_eq!(next.pdu["depth"].as_u64(), deepest.map(|it| it + 1));
    // Clients are told in the order in which things came.
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &next.id).await;
    let timeline = sync.joined(&room.id).expect("the room").timeline().to_vec();
    assert_eq!(ids(&timeline), [&own, &one.id, &two.id, &next.id]);
    let last = alice.say(&room.id, "one line again").await;
    assert_eq!(room.read(&alice, &last).await.prev(), [next.id]);
}

async fn a_merge_by_the_peer_ends_a_fork(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    let own = alice.say(&room.id, "at the same time").await;
    let own = room.read(&alice, &own).await;
    let fork = room.stray(Draft::message(&carol, "a fork").after(&[&join]));
    let merge = room.add(Draft::message(&carol, "a merge").after(&[&own, &fork]));
    room.accept(server, &[&fork, &merge]).await;
    let next = alice.say(&room.id, "after the merge").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [merge.id.as_str()]);
    // An old event behind nothing new is an extremity of its own.
    let late = room.stray(Draft::message(&carol, "a late fork").after(&[&own]));
    room.accept(server, &[&late]).await;
    let last = alice.say(&room.id, "after the late fork").await;
    let mut prev = room.read(&alice, &last).await.prev();
    let mut expected = vec![next, late.id];
    prev.sort();
    expected.sort();
    assert_eq!(prev, expected);
}
