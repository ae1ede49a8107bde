//! Events of the state before a join whose keys are not to be had: how long they are kept, how many
//! of them, and what becomes of them when the process dies.

use ruma::OwnedServerName;
use serde_json::json;
use skerry::{
    messages::{
        ServerKey,
        room::{Expect, Kind, Outcome, Receive, Stage},
    },
    objects::room::limits,
};
use skerry_core::{Pdu, room_version};

use super::peer_room::{MEMBER, OWN, PEER, PeerRoom, keys, own_server, raw, user};
use crate::{host::Fate, room::Stand};

/// A server whose keys are not to be had at first.
const LATE: &str = "late.example";

/// The keys of that server, once they are.
fn late_keys() -> Vec<ServerKey> {
    let server = OwnedServerName::try_from(LATE).unwrap();
    vec![ServerKey { server, ..keys().remove(0) }]
}

/// A room in which users of that server are, and Alice, who has joined it by way of another one.
async fn joined(late_users: u64) -> (Stand, PeerRoom) {
    let mut peer = PeerRoom::small();
    for number in 0..late_users {
        let late = user(&format!("late{number}"), LATE);
        peer.add(&late, MEMBER, Some(late.as_str()), json!({ "membership": "join" }));
    }
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    for (at, part) in peer.all.chunks(200).enumerate() {
        let stage = Stage {
            attempt: "only".to_owned(),
            begins: at == 0,
            room_version: room_version::DEFAULT,
            events: part.iter().map(raw).collect(),
            is_state: true,
            keys: keys(),
        };
        stand.ask(stage).await.unwrap();
    }
    let join = peer.own_join(&user("alice", OWN));
    assert_eq!(stand.join("only", &join).await.unwrap(), Outcome::Accepted { redacted: false });
    peer.take(&join);
    (stand, peer)
}

/// How many events wait for their keys, and how many members there are.
async fn counts(stand: &Stand) -> (u64, u64) {
    (stand.host.count("room_unverified").await, stand.host.count("room_members").await)
}

#[tokio::test]
async fn t2_their_keys_are_asked_for_until_they_come() {
    let (stand, mut peer) = joined(1).await;
    assert_eq!(counts(&stand).await, (1, 2));
    let late = user("late0", LATE);
    let kick = peer.add(
        &user("carol", PEER),
        MEMBER,
        Some(late.as_str()),
        json!({ "membership": "leave" }),
    );
    assert!(matches!(stand.receive(&kick).await, Outcome::Waits { .. }));
    stand.alarm().await.unwrap();
    assert_eq!(counts(&stand).await, (1, 2), "nobody has them");
    stand.users.have_keys(late_keys());
    while counts(&stand).await.0 > 0 {
        stand.alarm().await.expect("an alarm, as long as keys are missing");
    }
    assert_eq!(counts(&stand).await.1, 3);
    assert_eq!(stand.receive(&kick).await, Outcome::Known, "what has waited is here");
}

#[tokio::test]
async fn t2_they_are_given_up_in_the_end() {
    let (stand, _) = joined(1).await;
    let mut passed = 0;
    while counts(&stand).await.0 > 0 {
        passed += stand.alarm().await.expect("an alarm, as long as keys are missing");
        assert!(passed <= limits::UNVERIFIED_MS + limits::VERIFY_LAST_MS, "it never ends");
    }
    assert!(passed >= limits::UNVERIFIED_MS, "{passed}");
    assert_eq!(counts(&stand).await, (0, 2));
    assert!(!stand.agenda().await.contains(&"unverified".to_owned()));
}

#[tokio::test]
async fn t2_only_so_many_are_kept() {
    let more = limits::UNVERIFIED_EVENTS + 5;
    let (stand, _) = joined(more).await;
    assert_eq!(counts(&stand).await, (limits::UNVERIFIED_EVENTS, 2));
}

/// Every commit fails in turn that is made when the keys have come.
#[tokio::test]
async fn c1_they_are_taken_in_whatever_fails() {
    for fate in [Fate::Refused, Fate::WrittenAndFailed] {
        let mut failed = 0;
        for step in 0.. {
            let (mut stand, _) = joined(3).await;
            stand.users.have_keys(late_keys());
            stand.host.commit_after(step, fate);
            let mut dies = step % 2 == 0;
            while counts(&stand).await.0 > 0 {
                stand.alarm().await.expect("an alarm, as long as keys are missing");
                if dies && stand.host.next_fate().is_none() {
                    stand.crash();
                    dies = false;
                }
            }
            let none_failed = stand.host.next_fate().is_some();
            stand.host.commits_are_written();
            assert_eq!(counts(&stand).await, (0, 5), "{fate:?} at step {step}");
            if none_failed {
                break;
            }
            failed += 1;
        }
        assert!(failed > 3, "three events and what they change: {failed}");
    }
}

fn said(peer: &mut PeerRoom, count: u64) -> Vec<Pdu> {
    let carol = user("carol", PEER);
    let say = |number| {
        let content = json!({ "body": format!("{number}"), "msgtype": "m.text" });
        peer.add(&carol, "m.room.message", None, content)
    };
    (0..count).map(say).collect()
}

/// What others say while a user joins is kept until the room is here, so much of it, and no longer
/// than the attempt.
#[tokio::test]
async fn what_comes_early_is_bounded_and_forgotten() {
    let mut peer = PeerRoom::small();
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    let receive = |events: &[Pdu]| {
        let (events, keys) = (events.iter().map(raw).collect(), keys());
        let origin = Some(PEER.try_into().unwrap());
        Receive { origin, hand_on: false, events, keys, kind: Kind::Live, states: Vec::new() }
    };
    let events = said(&mut peer, limits::EARLY_EVENTS + 5);
    stand.ask(receive(&events[..1])).await.expect_err("nobody joins");
    stand.ask(Expect { room_version: room_version::DEFAULT }).await.unwrap();
    let mut dropped = 0;
    for part in events.chunks(50) {
        let received = stand.ask(receive(part)).await.unwrap();
        let is_dropped = |it: &&_| matches!(it, Outcome::Dropped { .. });
        dropped += received.iter().map(|it| &it.outcome).filter(is_dropped).count();
    }
    assert_eq!((dropped, stand.host.count("room_pending").await), (5, limits::EARLY_EVENTS));
    stand.host.pass(limits::STAGED_MS);
    stand.alarm().await.unwrap();
    assert_eq!(stand.host.count("room_pending").await, 0, "nobody has joined");
}
