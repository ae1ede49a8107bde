//! Coming back to a room that other servers went on with: after all local users had left it, and
//! while one of them is still there.

use skerry_tests::{
    Host, Options, Server, User, Value, ids, json, message,
    peer::{Draft, Event, Peer, PeerRoom, StateIds},
};

both_hosts![
    a_room_that_all_have_left_is_joined_again,
    a_room_of_every_version_is_joined_again,
    history_of_the_absence_comes_later,
    what_builds_on_what_is_here_is_judged_by_it,
    a_leave_that_nobody_heard_of_is_overcome,
    who_was_banned_meanwhile_stays_out,
    a_room_with_other_local_members_is_joined_again,
    a_join_that_is_repeated_is_known,
    a_stale_state_without_a_key_loses_it,
    a_member_who_was_invited_meanwhile_is_told,
];

private_server! {
    native_alone: Native => [a_rejoined_room_outlives_a_restart],
    worker_alone: Worker => [a_rejoined_room_outlives_a_restart],
}

/// A room of the peer's, in which Alice and Bob have been, and the last event that Alice has seen.
struct Left {
    alice: User,
    bob: User,
    room: PeerRoom,
    last: Event,
}

fn topic(sender: &str, text: &str) -> Draft {
    Draft::state(sender, "m.room.topic", "", json!({ "topic": text }))
}

/// A room of the peer's with Alice and Bob in it.
async fn shared(server: &Server, version: &str) -> Left {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let members = [("dave", 50), ("erin", 0), ("grace", 0)];
    let mut room = PeerRoom::create(&Peer::new("peer.example"), version, &members);
    let carol = room.peer.user("carol");
    room.add(topic(&carol, "the first"));
    room.add(Draft::state(&carol, "org.example.gone", "", json!({ "is": "here" })));
    room.let_in(server, &alice).await;
    bob.join(&room.id).await;
    let member = ("m.room.member".to_owned(), bob.id.clone());
    let join = alice.state_ids(&room.id).await[&member].clone();
    let last = room.read(&alice, &join).await;
    let hello = room.add(Draft::message(&carol, "hello"));
    room.accept(server, &[&hello]).await;
    assert_eq!(hello.prev(), [last.id]);
    Left { alice, bob, room, last: hello }
}

/// The event of a user's own leave.
async fn leave(user: &User, room: &mut PeerRoom) -> Event {
    user.leave(&room.id).await;
    let member = ("m.room.member".to_owned(), user.id.clone());
    let leave = user.state_ids(&room.id).await[&member].clone();
    room.read_left(user, &leave).await
}

/// A room of the peer's that Alice and Bob have left.
async fn left(server: &Server) -> Left {
    left_version(server, "12").await
}

/// As [`left`], in a room of some version.
async fn left_version(server: &Server, version: &str) -> Left {
    let mut left = shared(server, version).await;
    leave(&left.bob, &mut left.room).await;
    left.last = leave(&left.alice, &mut left.room).await;
    left
}

/// What happens in the room without us: all that was said and done, the oldest first.
fn go_on(room: &mut PeerRoom) -> Vec<Event> {
    let [carol, dave, erin, frank] =
        ["carol", "dave", "erin", "frank"].map(|it| room.peer.user(it));
    [
        Draft::message(&carol, "they are gone"),
        topic(&dave, "the second"),
        Draft::join(&frank),
        Draft::message(&frank, "who?"),
        Draft::member(&dave, &erin, "ban"),
        Draft::member(&room.peer.user("grace"), &room.peer.user("grace"), "leave"),
        Draft::state(&carol, "m.room.name", "", json!({ "name": "A new name" })),
        Draft::message(&dave, "never mind"),
    ]
    .map(|it| room.add(it))
    .into()
}

fn without(mut state: StateIds, users: &[&User]) -> StateIds {
    state.retain(|(_, key), _| !users.iter().any(|it| it.id == *key));
    state
}

async fn a_room_that_all_have_left_is_joined_again(server: &Server) {
    let Left { alice, bob, mut room, last } = left(server).await;
    let before = alice.sync().get().await;
    go_on(&mut room);
    let join = room.let_in(server, &alice).await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &join.id).await;
    let section = sync.joined(&room.id).expect("the room");
    assert_eq!(ids(section.timeline()), [join.id.as_str()]);
    assert!(section.limited(), "what happened meanwhile is missing: {}", section.0);
    let state = alice.state_ids(&room.id).await;
    assert_eq!(state, room.current());
    assert_eq!(section.leads_to(StateIds::new()), state);
    let summary = &section.0["summary"];
    assert_eq!(summary["m.joined_member_count"], 4, "Alice, Carol, Dave and Frank: {summary}");
    let history = alice.history(&room.id).await;
    let history = ids(&history);
    assert_eq!(history[history.len() - 2..], [last.id.as_str(), &join.id]);
    for (name, membership) in [("erin", "ban"), ("frank", "join"), ("grace", "leave")] {
        let member = room.peer.user(name);
        assert_eq!(alice.membership_in(&room.id, &member).await, membership, "{name}");
    }
    assert_eq!(alice.membership_of(&room.id, &bob).await, "leave");
    let said = alice.say(&room.id, "back again").await;
    let said = room.read(&alice, &said).await;
    assert_eq!(said.prev(), [join.id], "the join is the only forward extremity");
    let answer = room.add(Draft::message(&room.peer.user("frank"), "welcome"));
    room.accept(server, &[&answer]).await;
    alice.is_shown(&room.id, &answer.id, &message("welcome")).await;
    // Erin was banned while nobody here heard of it.
    let erin = room.stray(Draft::message(&room.peer.user("erin"), "still here"));
    room.refuse(server, &erin, "rejected").await;
    bob.join(&room.id).await;
    assert_eq!(bob.state(&room.id, "m.room.topic", "").ok().await["topic"], "the second");
}

async fn a_room_of_every_version_is_joined_again(server: &Server) {
    for version in 1..=11 {
        let Left { alice, mut room, .. } = left_version(server, &version.to_string()).await;
        go_on(&mut room);
        let join = room.let_in(server, &alice).await;
        assert_eq!(alice.state_ids(&room.id).await, room.current(), "version {version}");
        let said = alice.say(&room.id, "back again").await;
        assert_eq!(room.read(&alice, &said).await.prev(), [join.id], "version {version}");
    }
}

async fn history_of_the_absence_comes_later(server: &Server) {
    let Left { alice, mut room, last, .. } = left(server).await;
    let meanwhile = go_on(&mut room);
    let join = room.let_in(server, &alice).await;
    let state = alice.state_ids(&room.id).await;
    for outcome in room.hand(server, "history", &meanwhile.iter().collect::<Vec<_>>()).await {
        assert_eq!(outcome, json!({ "accepted": { "redacted": false } }));
    }
    let history = alice.history_from(&room.id, &last.id).await;
    let mut all = vec![last.id];
    all.extend(meanwhile.iter().map(|it| it.id.clone()));
    all.push(join.id);
    assert_eq!(history, all);
    assert_eq!(alice.state_ids(&room.id).await, state, "history changes nothing that is");
}

/// All that happened meanwhile is state: the answer has it all, nothing has to be believed.
async fn what_builds_on_what_is_here_is_judged_by_it(server: &Server) {
    let Left { alice, mut room, last, .. } = left(server).await;
    let [carol, dave, erin] = ["carol", "dave", "erin"].map(|it| room.peer.user(it));
    let meanwhile = [
        topic(&dave, "the second"),
        Draft::member(&dave, &erin, "ban"),
        Draft::state(&carol, "m.room.name", "", json!({ "name": "A new name" })),
    ]
    .map(|it| room.add(it));
    let join = room.let_in(server, &alice).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
    let mut all = vec![last.id];
    all.extend(meanwhile.iter().map(|it| it.id.clone()));
    all.push(join.id.clone());
    assert_eq!(alice.history_from(&room.id, &all[0]).await, all);
    let said = alice.say(&room.id, "back again").await;
    assert_eq!(room.read(&alice, &said).await.prev(), [join.id]);
}

async fn a_leave_that_nobody_heard_of_is_overcome(server: &Server) {
    let Left { alice, bob, mut room, .. } = shared(server, "12").await;
    let carol = room.peer.user("carol");
    leave(&bob, &mut room).await;
    let invite = json!({ "join_rule": "invite" });
    let closed = room.add(Draft::state(&carol, "m.room.join_rules", "", invite));
    room.accept(server, &[&closed]).await;
    // The peer never hears of this one, and takes Alice for joined.
    alice.leave(&room.id).await;
    let join = room.let_in(server, &alice).await;
    assert_eq!(join.prev(), [closed.id]);
    assert_eq!(alice.state_ids(&room.id).await, room.current());
    let said = alice.say(&room.id, "I never left").await;
    assert_eq!(room.read(&alice, &said).await.prev(), [join.id]);
}

async fn who_was_banned_meanwhile_stays_out(server: &Server) {
    let Left { alice, mut room, .. } = left(server).await;
    go_on(&mut room);
    let before = alice.state_ids(&room.id).await;
    let ban = room.add(Draft::member(&room.peer.user("dave"), &alice.id, "ban"));
    let attempt = room.attempt(server);
    attempt.stage(&room.answer()).await;
    let join = room.sign_join(server, &alice).await;
    let outcome = attempt.outcome(&join).await;
    assert!(outcome["rejected"]["reason"].is_string(), "{outcome}");
    attempt.join(&join).await.refused(409, "M_UNKNOWN");
    assert_eq!(alice.state_ids(&room.id).await, before, "nothing has changed");
    // Once it is lifted, the way is free.
    room.ends = vec![ban.id];
    room.add(Draft::member(&room.peer.user("dave"), &alice.id, "leave"));
    room.let_in(server, &alice).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

async fn a_room_with_other_local_members_is_joined_again(server: &Server) {
    let Left { alice, bob, mut room, .. } = shared(server, "12").await;
    let last = leave(&alice, &mut room).await;
    let mut watch = bob.watch().await;
    go_on(&mut room);
    let join = room.let_in(server, &alice).await;
    watch.event(&room.id, &join.id).await;
    let mut state = alice.state_ids(&room.id).await;
    // What this server has heard of and the peer has not taken away stays: both are resolved.
    let gone = ("org.example.gone".to_owned(), String::new());
    assert!(state.remove(&gone).is_some());
    let mut current = room.current();
    current.remove(&gone);
    assert_eq!(state, current);
    assert_eq!(bob.state(&room.id, "m.room.topic", "").ok().await["topic"], "the second");
    let said = bob.say(&room.id, "welcome back").await;
    let mut prev = room.read(&bob, &said).await.prev();
    let mut both = vec![last.id, join.id];
    both.sort();
    prev.sort();
    assert_eq!(prev, both, "nothing here says that one comes after the other");
}

async fn a_join_that_is_repeated_is_known(server: &Server) {
    let Left { alice, mut room, .. } = left(server).await;
    go_on(&mut room);
    let attempt = room.attempt(server);
    attempt.stage(&room.answer()).await;
    let join = room.sign_join(server, &alice).await;
    attempt.accepted(&join).await;
    assert_eq!(attempt.outcome(&join).await, json!("known"));
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

/// A key that the room had when all left, and that the state at the peer does not have.
async fn a_stale_state_without_a_key_loses_it(server: &Server) {
    let Left { alice, bob, mut room, .. } = left(server).await;
    go_on(&mut room);
    let gone = room.state("org.example.gone", "");
    let attempt = room.attempt(server);
    attempt.stage(&room.answer().without(&gone)).await;
    let join = room.sign_join(server, &alice).await;
    attempt.accepted(&join).await;
    let mut state = room.current();
    state.remove(&("org.example.gone".to_owned(), String::new()));
    assert_eq!(alice.state_ids(&room.id).await, state);
    alice.state(&room.id, "org.example.gone", "").refused(404, "M_NOT_FOUND").await;
    let seen = bob.state_ids(&room.id).await;
    assert_eq!(seen[&("org.example.gone".to_owned(), String::new())], gone.id, "as Bob left it");
}

async fn a_member_who_was_invited_meanwhile_is_told(server: &Server) {
    let Left { alice, bob, mut room, .. } = left(server).await;
    let mut watch = bob.watch().await;
    go_on(&mut room);
    room.add(Draft::member(&room.peer.user("carol"), &bob.id, "invite"));
    room.let_in(server, &alice).await;
    let what = "the invitation";
    let invited = watch.until(what, |it| Some(it.room("invite", &room.id)?.0.clone())).await;
    let state = invited["invite_state"]["events"].as_array().expect("stripped state");
    assert!(state.iter().any(|it| it["state_key"] == bob.id.as_str()), "{invited}");
    bob.join(&room.id).await;
    assert_eq!(without(bob.state_ids(&room.id).await, &[&bob]), without(room.current(), &[&bob]));
}

async fn a_rejoined_room_outlives_a_restart(host: Host) {
    let mut server = Server::start(host, Options::default());
    let Left { alice, mut room, .. } = left(&server).await;
    go_on(&mut room);
    let join = room.let_in(&server, &alice).await;
    let state = alice.state_ids(&room.id).await;
    server.restart();
    let alice = alice.at(&server);
    assert_eq!(alice.state_ids(&room.id).await, state);
    let said = alice.say(&room.id, "still here").await;
    assert_eq!(room.read(&alice, &said).await.prev(), [join.id]);
    let members: Value = alice.joined_members(&room.id).await.into();
    assert_eq!(members.as_array().map(Vec::len), Some(4), "{members}");
}
