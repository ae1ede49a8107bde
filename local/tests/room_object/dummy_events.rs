//! A room that other servers have split is joined again when nobody here says anything (T2).

use ruma::OwnedUserId;
use serde_json::json;
use skerry::{
    messages::room::Outcome,
    ports::{ObjectHost as _, Sql as _, Stmt},
    store::room::meta,
};
use skerry_core::dummy_event::{
    AT_ONCE, EVENT_TYPE, FEW_EXTREMITIES, NOBODY_MS, PATIENCE_MS, PAUSE_MS, SPREAD_MS,
};

use super::peer_room::{PEER, PeerRoom, caller, own_server, user};
use crate::{host::SCOPE, own_room::message, room::Stand};

const LEVELS: &str = "m.room.power_levels";
const HOUR_MS: u64 = 60 * 60 * 1_000;

fn carol() -> OwnedUserId {
    user("carol", PEER)
}

/// A room of the peer that Alice has joined.
async fn joined() -> (Stand, PeerRoom) {
    let mut peer = PeerRoom::small();
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    stand.alice_joins(&mut peer).await;
    (stand, peer)
}

/// The peer says so many things that do not know of each other.
async fn split(stand: &Stand, peer: &PeerRoom, forks: usize) {
    for number in 0..forks {
        let content = json!({ "msgtype": "m.text", "body": format!("fork {number}") });
        let fork = peer.make(&carol(), "m.room.message", None, content);
        assert_eq!(stand.receive(&fork).await, Outcome::Accepted { redacted: false });
        stand.run_deferred().await;
    }
    assert_eq!(extremities(stand).await, forks);
}

/// How many forward extremities the room has.
async fn extremities(stand: &Stand) -> usize {
    let meta = meta::find(&*stand.host.sqlite, SCOPE).await.unwrap().unwrap();
    meta.extremities.map_or(1, |it| it.len())
}

/// How many dummy events there are.
async fn dummies(stand: &Stand) -> usize {
    let stmt = Stmt::new("SELECT sender FROM room_events WHERE scope = ? AND type = ?");
    let rows = stand.host.sqlite.rows(stmt.bind(SCOPE).bind(EVENT_TYPE)).await.unwrap();
    for mut row in rows.clone() {
        assert_eq!(row.take::<String>(0).unwrap(), caller("alice").user_id.as_str());
    }
    rows.len()
}

async fn is_watched(stand: &Stand) -> bool {
    stand.agenda().await.contains(&"extremities".to_owned())
}

/// Lets alarms go off for so long; gives how many did.
async fn pass(stand: &Stand, ms: u64) -> usize {
    let mut alarms = 0;
    let mut left_ms = ms;
    let now_ms = || stand.host.clock().now_ms();
    while stand.host.alarm_is_set_for_ms().is_some_and(|it| it <= now_ms() + left_ms) {
        left_ms -= stand.alarm().await.unwrap();
        alarms += 1;
    }
    stand.host.pass(left_ms);
    alarms
}

#[tokio::test]
async fn too_many_extremities_become_one_after_a_time_even_if_the_process_dies() {
    let (few, peer) = joined().await;
    split(&few, &peer, FEW_EXTREMITIES).await;
    assert!(!is_watched(&few).await, "the next message joins them");
    let (mut stand, peer) = joined().await;
    split(&stand, &peer, 25).await;
    assert!(is_watched(&stand).await);
    pass(&stand, PATIENCE_MS - 60_000).await;
    assert_eq!(dummies(&stand).await, 0, "somebody may say something");
    stand.crash();
    pass(&stand, SPREAD_MS + 120_000).await;
    assert_eq!(extremities(&stand).await, 1);
    // 25, then 16, then 7, then one.
    assert_eq!(dummies(&stand).await, 3);
    assert!(!is_watched(&stand).await);
    pass(&stand, 48 * HOUR_MS).await;
    assert_eq!(dummies(&stand).await, 3, "once");
}

#[tokio::test]
async fn very_many_extremities_are_joined_a_few_a_minute() {
    let (stand, peer) = joined().await;
    split(&stand, &peer, 100).await;
    let mut before = dummies(&stand).await;
    let mut minutes = 0;
    pass(&stand, PATIENCE_MS).await;
    while extremities(&stand).await > FEW_EXTREMITIES {
        pass(&stand, PAUSE_MS).await;
        let found = dummies(&stand).await;
        assert!(found - before <= AT_ONCE, "{found}, {before}");
        before = found;
        minutes += 1;
        assert!(minutes < 30, "{found}");
    }
    assert_eq!(before, 10);
    pass(&stand, HOUR_MS).await;
    assert_eq!(dummies(&stand).await, 10, "the next message joins what is left");
}

#[tokio::test]
async fn who_says_something_meanwhile_saves_the_dummy_event() {
    let (stand, peer) = joined().await;
    split(&stand, &peer, FEW_EXTREMITIES + 1).await;
    assert!(is_watched(&stand).await);
    stand.ask_to_the_end(message(caller("alice"), "here I am")).await;
    assert!(!is_watched(&stand).await);
    pass(&stand, HOUR_MS).await;
    assert_eq!(dummies(&stand).await, 0);
}

#[tokio::test]
async fn where_nobody_here_may_speak_nothing_is_sent_and_it_is_looked_again_once_a_day() {
    let (stand, mut peer) = joined().await;
    let silent = peer.by_carol(LEVELS, json!({ "events_default": 50 }));
    assert_eq!(stand.receive(&silent).await, Outcome::Accepted { redacted: false });
    split(&stand, &peer, 20).await;
    pass(&stand, HOUR_MS).await;
    let alarms = pass(&stand, 5 * NOBODY_MS).await;
    assert!(alarms <= 12, "{alarms}");
    assert_eq!((dummies(&stand).await, extremities(&stand).await), (0, 20));
    // Only of this type, and of nobody but Alice.
    let levels = json!({ "events_default": 50, "events": { EVENT_TYPE: 10 },
        "users": { caller("alice").user_id: 10 } });
    let levels = peer.make(&carol(), LEVELS, Some(""), levels);
    assert_eq!(stand.receive(&levels).await, Outcome::Accepted { redacted: false });
    pass(&stand, NOBODY_MS).await;
    assert!(extremities(&stand).await <= FEW_EXTREMITIES);
    assert!(dummies(&stand).await > 0);
}

#[tokio::test]
async fn a_room_that_all_have_left_is_left_alone() {
    let (stand, mut peer) = joined().await;
    split(&stand, &peer, 20).await;
    let alice = caller("alice").user_id;
    let kick = json!({ "membership": "leave" });
    let kick = peer.add(&carol(), "m.room.member", Some(alice.as_str()), kick);
    assert_eq!(stand.receive(&kick).await, Outcome::Accepted { redacted: false });
    pass(&stand, HOUR_MS).await;
    assert!(!is_watched(&stand).await);
    assert_eq!(dummies(&stand).await, 0);
}
