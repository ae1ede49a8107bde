//! Attempts to join a room, on a store that fails: whatever an attempt has left, the next one
//! comes to what it would have come to without it.

use std::collections::BTreeMap;

use ruma::api::error::ErrorKind;
use serde_json::json;
use skerry::{
    Error, Result,
    messages::room::{GetOutgoing, MembershipAction, Outcome},
    objects::{Object as _, room::limits},
    ports::Sql as _,
    store::room::{
        given, members, staged,
        state::{self, Part},
    },
};
use skerry_core::{Pdu, authorize::StateKey, engine::StateAt};

use super::peer_room::{MEMBER, OWN, PeerRoom, TOPIC, caller, own_server, user};
use crate::{
    host::{Fate, SCOPE},
    own_room::message,
    room::Stand,
};

/// A join, and the room as a server has it that answers to it.
type Answer<'a> = (&'a PeerRoom, &'a Pdu);

/// A store in which the room is not.
async fn empty(peer: &PeerRoom) -> Stand {
    Stand::empty(own_server(), &peer.create.room_id).await
}

/// Joins by what a server answers.
async fn join(stand: &Stand, attempt: &str, (peer, join): Answer<'_>) -> Result<Outcome> {
    let is_state = |it: &&Pdu| peer.state.values().any(|state| state.event_id == it.event_id);
    let (state, chain): (Vec<_>, Vec<_>) = peer.all.iter().partition(is_state);
    stand.stage(attempt, true, false, &chain).await?;
    for part in state.chunks(200) {
        stand.stage(attempt, false, true, part).await?;
    }
    stand.join(attempt, join).await
}

async fn alice_leaves(stand: &Stand) {
    stand.change(caller("alice"), MembershipAction::Leave).await.unwrap();
}

/// The current state.
async fn state_of(stand: &Stand) -> BTreeMap<StateKey, String> {
    let at = StateAt { chain: 0, group: 1 << 52 };
    let state = state::list(&*stand.host.sqlite, SCOPE, at, Part::Whole).await.unwrap();
    let entry = |it: skerry::store::room::events::StoredEvent| {
        ((it.event_type, it.state_key.unwrap()), it.event_id.to_string())
    };
    state.into_iter().map(entry).collect()
}

/// Nothing is left of any attempt.
async fn assert_clean(stand: &Stand) {
    assert_eq!(stand.host.count("room_staged").await, 0);
    assert_eq!(stand.host.count("room_join_attempt").await, 0);
    assert_eq!(given::list(&*stand.host.sqlite, SCOPE).await.unwrap(), []);
}

/// What the room's server answers, and another server that is behind and has taken another way.
fn answers() -> (PeerRoom, PeerRoom) {
    let mut peer = PeerRoom::new();
    let mut other = peer.clone();
    other.by_carol("m.room.name", json!({ "name": "Never was" }));
    peer.by_carol(TOPIC, json!({ "topic": "the second" }));
    peer.join("frank");
    (peer, other)
}

/// Lets a first attempt fail at each of its commits in turn, whether that was written or not, and
/// makes a second one by another answer, in the same process or after a crash. Gives how many
/// commits an attempt takes.
async fn fail_at_every_commit(
    begin: impl AsyncFn() -> Stand,
    first: Answer<'_>,
    second: Answer<'_>,
    then: impl AsyncFn(&Stand),
) -> u64 {
    let mut expected = second.0.clone();
    expected.take(second.1);
    let mut commits = Vec::new();
    for fate in [Fate::Refused, Fate::WrittenAndFailed] {
        for step in 0.. {
            let mut stand = begin().await;
            let before = state_of(&stand).await;
            stand.host.commit_after(step, fate);
            let failed = join(&stand, "first", first).await;
            stand.host.commits_are_written();
            if failed.is_ok() {
                commits.push(step);
                break;
            }
            if step % 2 == 0 {
                stand.crash();
            }
            let is_there = stand.host.count("room_meta").await > 0;
            if is_there && state_of(&stand).await != before {
                assert_eq!(fate, Fate::WrittenAndFailed, "step {step}");
                let again = stand.join("first", first.1).await.unwrap();
                assert_eq!(again, Outcome::Known, "step {step}");
                continue;
            }
            let again = join(&stand, "second", second).await.unwrap();
            assert_eq!(again, Outcome::Accepted { redacted: false }, "step {step}");
            assert_eq!(state_of(&stand).await, expected.ids(), "{fate:?} at step {step}");
            assert_clean(&stand).await;
            then(&stand).await;
        }
    }
    commits.into_iter().min().unwrap()
}

/// C1: a join that failed is attempted again by another server's answer.
#[tokio::test]
async fn c1_a_join_that_fails_at_any_step_is_made_by_the_next_attempt() {
    let alice = user("alice", OWN);
    let (answer, other) = answers();
    let (joins, other_joins) = (answer.own_join(&alice), other.own_join(&alice));
    let clean = empty(&answer).await;
    let joined = join(&clean, "only", (&answer, &joins)).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
    let events = clean.host.count("room_events").await;
    let begin = async || empty(&answer).await;
    let then = async |stand: &Stand| assert_eq!(stand.host.count("room_events").await, events);
    let commits =
        fail_at_every_commit(begin, (&other, &other_joins), (&answer, &joins), then).await;
    assert!(commits > 7, "parts, a clearing, two pages, a state, and the join: {commits}");
}

/// C1: as before, where all local users have left the room and one comes back.
#[tokio::test]
async fn c1_a_return_that_fails_at_any_step_is_made_by_the_next_attempt() {
    let alice = user("alice", OWN);
    let (first, _) = answers();
    let first_joins = first.own_join(&alice);
    let mut answer = first.clone();
    answer.take(&first_joins);
    let mut other = answer.clone();
    other.add(&user("carol", "peer.example"), "m.room.message", None, json!({ "body": "?" }));
    other.by_carol("m.room.name", json!({ "name": "Never was" }));
    answer.add(&user("carol", "peer.example"), "m.room.message", None, json!({ "body": "!" }));
    answer.by_carol(TOPIC, json!({ "topic": "the third" }));
    let gone = user("member7", "peer.example");
    answer.add(&gone, MEMBER, Some(gone.as_str()), json!({ "membership": "leave" }));
    let (joins, other_joins) = (answer.own_join(&alice), other.own_join(&alice));
    let begin = async || {
        let stand = empty(&first).await;
        join(&stand, "zeroth", (&first, &first_joins)).await.unwrap();
        alice_leaves(&stand).await;
        stand
    };
    let (other, answer) = ((&other, &other_joins), (&answer, &joins));
    let commits = fail_at_every_commit(begin, other, answer, alice_leaves).await;
    assert!(commits > 6, "parts, a clearing, a page, a state, and the join: {commits}");
}

/// C17: nobody had been given what Alice said when she left; and when she came back, the other
/// server did not know of it.
#[tokio::test]
async fn c17_what_waits_for_a_server_outlives_a_return() {
    let alice = user("alice", OWN);
    let mut answer = PeerRoom::new();
    let first = answer.own_join(&alice);
    let stand = empty(&answer).await;
    join(&stand, "first", (&answer, &first)).await.unwrap();
    stand.ask(message(caller("alice"), "Farewell")).await.unwrap();
    alice_leaves(&stand).await;
    answer.take(&first);
    answer.add(&user("carol", "peer.example"), "m.room.message", None, json!({ "body": "?" }));
    let second = answer.own_join(&alice);
    let joined = join(&stand, "second", (&answer, &second)).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
    let question = GetOutgoing {
        server: "peer.example".try_into().unwrap(),
        after: None,
        limit: 9,
        newest_only: false,
        receipts: 0,
        devices: None,
    };
    let waits = stand.ask(question).await.unwrap().pdus;
    // The join comes with it. It is known there, where somebody there was asked to join.
    assert_eq!(waits.len(), 3, "what she said, that she left, and that she is back: {waits:?}");
    assert!(waits[0].get().contains("Farewell"), "{waits:?}");
}

/// More than what is due soon comes to.
async fn some_alarms(stand: &Stand) {
    for _ in 0..9 {
        stand.alarm().await;
    }
}

/// C16: Bob, who is a user here too, was invited while nobody of this server was in the room.
#[tokio::test]
async fn c16_memberships_that_come_with_a_return_are_delivered() {
    let (alice, bob) = (user("alice", OWN), user("bob", OWN));
    let mut answer = PeerRoom::new();
    let first = answer.own_join(&alice);
    let stand = empty(&answer).await;
    join(&stand, "first", (&answer, &first)).await.unwrap();
    alice_leaves(&stand).await;
    some_alarms(&stand).await;
    answer.take(&first);
    answer.add(&user("carol", "peer.example"), "m.room.message", None, json!({ "body": "?" }));
    let invite = json!({ "membership": "invite" });
    answer.add(&user("carol", "peer.example"), MEMBER, Some(bob.as_str()), invite);
    let second = answer.own_join(&alice);
    let joined = join(&stand, "second", (&answer, &second)).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
    stand.run_deferred().await;
    some_alarms(&stand).await;
    let undelivered = members::list_undelivered(&*stand.host.sqlite, SCOPE, 0, 9).await.unwrap();
    assert!(undelivered.is_empty(), "{undelivered:?}");
}

#[tokio::test]
async fn more_events_than_a_room_takes_are_refused() {
    let alice = user("alice", OWN);
    let peer = PeerRoom::new();
    let stand = empty(&peer).await;
    stand.stage("first", true, true, &[&peer.create]).await.unwrap();
    let last = u64::try_from(limits::STAGED_EVENTS).unwrap();
    let full = staged::insert(SCOPE, last, &peer.tip, true).unwrap();
    stand.host.sqlite.batch(vec![full]).await.unwrap();
    let one_more = stand.stage("first", false, true, &[&peer.tip]).await.unwrap_err();
    assert!(matches!(one_more, Error::Api { kind, .. } if *kind == ErrorKind::TooLarge));
    let joined = join(&stand, "second", (&peer, &peer.own_join(&alice))).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
}

#[tokio::test]
async fn an_attempt_that_is_old_is_removed() {
    let peer = PeerRoom::new();
    let stand = empty(&peer).await;
    stand.stage("first", true, true, &[&peer.create, &peer.all[1]]).await.unwrap();
    let staged_ms =
        staged::find_attempt(&*stand.host.sqlite, SCOPE).await.unwrap().unwrap().staged_ms;
    let none = staged::remove_expired(&*stand.host.sqlite, SCOPE, staged_ms - 1).await.unwrap();
    assert!(none.is_empty(), "it is not as old as that");
    let stmts = staged::remove_expired(&*stand.host.sqlite, SCOPE, staged_ms).await.unwrap();
    stand.host.sqlite.batch(stmts).await.unwrap();
    assert_clean(&stand).await;
    let late = stand.stage("first", false, true, &[&peer.tip]).await;
    assert!(late.is_err(), "the attempt has ended");
}

/// C13: what a join has staged.
#[tokio::test]
async fn c13_the_alarm_removes_an_attempt_when_it_is_old() {
    let peer = PeerRoom::new();
    let stand = empty(&peer).await;
    stand.stage("first", true, true, &[&peer.create]).await.unwrap();
    stand.room.alarm().await.unwrap();
    assert_eq!(stand.host.count("room_staged").await, 1, "it is young");
    stand.host.pass(limits::STAGED_MS);
    stand.room.alarm().await.unwrap();
    assert_clean(&stand).await;
}

#[tokio::test]
async fn a_page_of_staged_events_is_bounded_by_bytes() {
    let peer = PeerRoom::new();
    let stand = empty(&peer).await;
    let pdus: Vec<_> = peer.all.iter().take(4).collect();
    stand.stage("first", true, true, &pdus).await.unwrap();
    let sizes: Vec<_> = pdus.iter().map(|it| it.json.len()).collect();
    let ids = |seqs: Vec<usize>| seqs.iter().map(|it| pdus[it - 1].event_id.clone()).collect();
    let cases: [(Vec<u64>, usize, Vec<usize>); 5] = [
        (vec![3, 1, 4], usize::MAX >> 12, vec![3, 1, 4]),
        (vec![3, 1, 4], sizes[2] + sizes[0], vec![3, 1]),
        (vec![3, 1, 4], sizes[2] + sizes[0] - 1, vec![3]),
        (vec![2, 3], 1, vec![2]),
        (vec![9, 2], 1_000_000, vec![2]),
    ];
    for (seqs, bytes, expected) in cases {
        let found = staged::list(&*stand.host.sqlite, SCOPE, &seqs, bytes).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|(event_id, _)| event_id).collect();
        let expected: Vec<_> = ids(expected);
        assert_eq!(found, expected, "{seqs:?} within {bytes}");
    }
}
