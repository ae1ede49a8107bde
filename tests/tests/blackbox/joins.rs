//! Joins of rooms that are on other servers: attempts that fail, answers that are wrong, and what
//! they leave behind for the next attempt: nothing.

use skerry_tests::{
    Server, User, json,
    peer::{Answer, Attempt, Draft, Event, Peer, PeerRoom, outcomes},
};

both_hosts![
    c1_a_state_with_two_events_for_a_key_is_refused,
    c1_an_attempt_that_was_given_up_is_no_part_of_the_next_one,
    c1_a_superseded_attempt_is_refused,
    c1_a_rejected_join_leaves_nothing_behind,
    an_event_may_be_in_the_state_and_in_the_auth_chain,
    events_that_are_missing_are_named_and_can_follow,
    a_state_without_a_create_event_is_refused,
    a_create_event_that_is_no_part_of_the_state_is_refused,
    a_join_event_among_the_state_is_no_part_of_it,
    a_part_may_be_repeated,
    an_attempt_has_its_limits,
    a_room_of_another_version_is_refused,
];

/// A room of the peer's that Alice wants to join.
async fn wanted(server: &Server) -> (User, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&Peer::new("peer.example"), "12", &[("dave", 50)]);
    let carol = room.peer.user("carol");
    room.add(topic(&carol, "the first"));
    (alice, room)
}

fn topic(sender: &str, text: &str) -> Draft {
    Draft::state(sender, "m.room.topic", "", json!({ "topic": text }))
}

async fn staged<'a>(server: &'a Server, room: &PeerRoom, answer: &Answer) -> Attempt<'a> {
    let attempt = room.attempt(server);
    attempt.stage(answer).await;
    attempt
}

/// Alice joins by an honest answer, and the state is the peer's.
async fn joins(server: &Server, alice: &User, room: &mut PeerRoom) {
    room.let_in(server, alice).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

/// C1: a hostile server gives two events for one key, and an honest one is asked next.
async fn c1_a_state_with_two_events_for_a_key_is_refused(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let old = room.state("m.room.topic", "");
    room.add(topic(&room.peer.user("carol"), "the second"));
    let attempt = staged(server, &room, &room.answer().with(&old)).await;
    let base = room.end();
    let join = room.sign_join(server, &alice).await;
    let refusal = attempt.join(&join).await.refused(400, "M_BAD_JSON");
    let message = refusal["error"].as_str().expect("a message");
    assert!(message.contains("m.room.topic"), "{message}");
    attempt.join(&join).await.refused(409, "M_UNKNOWN");
    room.ends = vec![base.id];
    joins(server, &alice, &mut room).await;
}

/// C1: an attempt is given up after it has staged events.
async fn c1_an_attempt_that_was_given_up_is_no_part_of_the_next_one(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let carol = room.peer.user("carol");
    let name = Draft::state(&carol, "m.room.name", "", json!({ "name": "Never was" }));
    let stray = room.stray(name);
    staged(server, &room, &room.answer().with(&stray)).await;
    room.add(topic(&carol, "the second"));
    joins(server, &alice, &mut room).await;
    alice.state(&room.id, "m.room.name", "").refused(404, "M_NOT_FOUND").await;
}

/// C1: two attempts at once.
async fn c1_a_superseded_attempt_is_refused(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let answer = room.answer();
    let older = staged(server, &room, &answer).await;
    let newer = staged(server, &room, &answer).await;
    let late = room.stray(topic(&room.peer.user("dave"), "late"));
    older.part(false, true, &[late]).await.refused(409, "M_UNKNOWN");
    let join = room.sign_join(server, &alice).await;
    older.join(&join).await.refused(409, "M_UNKNOWN");
    newer.accepted(&join).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

/// C1: the join of an attempt is rejected, and the next one joins by another branch.
async fn c1_a_rejected_join_leaves_nothing_behind(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let dave = room.peer.user("dave");
    let base = room.end();
    room.add(Draft::member(&dave, &alice.id, "ban"));
    let attempt = staged(server, &room, &room.answer()).await;
    let join = room.sign_join(server, &alice).await;
    let outcome = attempt.outcome(&join).await;
    assert!(outcome["rejected"]["reason"].is_string(), "{outcome}");
    alice.state(&room.id, "m.room.create", "").refused(403, "M_FORBIDDEN").await;
    room.ends = vec![base.id];
    room.add(topic(&dave, "another branch"));
    joins(server, &alice, &mut room).await;
}

async fn an_event_may_be_in_the_state_and_in_the_auth_chain(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let mut answer = room.answer();
    answer.chain.extend(answer.state.clone());
    answer.state.extend(answer.state.clone());
    let attempt = staged(server, &room, &answer).await;
    let join = room.sign_join(server, &alice).await;
    attempt.accepted(&join).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

async fn events_that_are_missing_are_named_and_can_follow(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let levels = room.state("m.room.power_levels", "");
    let carol = room.state("m.room.member", &room.peer.user("carol"));
    let answer = room.answer().without(&levels).without(&carol);
    let attempt = staged(server, &room, &answer).await;
    let join = room.sign_join(server, &alice).await;
    let mut missing = vec![levels.id.clone(), carol.id.clone()];
    missing.sort();
    let waits = json!({ "waits": { "auth": missing, "prev": [] } });
    assert_eq!(attempt.outcome(&join).await, waits);
    attempt.part(false, true, &[levels, carol]).await.ok();
    attempt.accepted(&join).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

async fn a_state_without_a_create_event_is_refused(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let create = room.state("m.room.create", "");
    let attempt = staged(server, &room, &room.answer().without(&create)).await;
    let base = room.end();
    let join = room.sign_join(server, &alice).await;
    attempt.join(&join).await.refused(400, "M_BAD_JSON");
    room.ends = vec![base.id];
    joins(server, &alice, &mut room).await;
}

async fn a_create_event_that_is_no_part_of_the_state_is_refused(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let create = room.state("m.room.create", "");
    let mut answer = room.answer().without(&create);
    answer.chain.push(create);
    let attempt = staged(server, &room, &answer).await;
    let base = room.end();
    let join = room.sign_join(server, &alice).await;
    attempt.join(&join).await.refused(400, "M_BAD_JSON");
    room.ends = vec![base.id];
    joins(server, &alice, &mut room).await;
}

async fn a_join_event_among_the_state_is_no_part_of_it(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let answer = room.answer();
    let join = room.sign_join(server, &alice).await;
    let attempt = staged(server, &room, &answer.with(&join)).await;
    attempt.accepted(&join).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

async fn a_part_may_be_repeated(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let Answer { state, chain } = room.answer();
    let attempt = room.attempt(server);
    for (begins, is_state, events) in
        [(true, true, &state), (true, true, &state), (false, false, &chain)]
    {
        attempt.part(begins, is_state, events).await.ok();
    }
    attempt.part(true, true, &[]).await.ok();
    let join = room.sign_join(server, &alice).await;
    attempt.accepted(&join).await;
    assert_eq!(alice.state_ids(&room.id).await, room.current());
}

async fn an_attempt_has_its_limits(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let mut attempt = room.attempt(server);
    let unknown = room.attempt(server);
    unknown.part(false, true, &[]).await.refused(409, "M_UNKNOWN");
    for id in [String::new(), "x".repeat(65)] {
        attempt.id = id;
        attempt.part(true, true, &[]).await.refused(400, "M_INVALID_PARAM");
    }
    let many: Vec<Event> = std::iter::repeat_n(room.end(), 1_001).collect();
    attempt.id = "x".repeat(64);
    attempt.part(true, true, &many).await.refused(413, "M_TOO_LARGE");
    joins(server, &alice, &mut room).await;
}

async fn a_room_of_another_version_is_refused(server: &Server) {
    let (alice, mut room) = wanted(server).await;
    let mut other = room.clone();
    "11".clone_into(&mut other.version);
    let attempt = room.attempt(server);
    attempt.stage(&room.answer()).await;
    let mut mistaken = other.attempt(server);
    mistaken.id.clone_from(&attempt.id);
    mistaken.part(false, true, &[]).await.refused(400, "M_INVALID_PARAM");
    let join = room.sign_join(server, &alice).await;
    mistaken.join(&join).await.refused(400, "M_INVALID_PARAM");
    attempt.accepted(&join).await;
    other.attempt(server).part(true, true, &[]).await.refused(400, "M_INVALID_PARAM");
    let unknown = json!({ "attempt": "x", "begins": true, "room_version": "org.example.none",
        "events": [], "is_state": true, "keys": [] });
    let reply = room.command(server, &json!({ "stage": unknown })).await;
    reply.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    let outcome = outcomes(&attempt.join(&join).await.ok()).remove(0);
    assert_eq!(outcome["outcome"], json!("known"));
}
