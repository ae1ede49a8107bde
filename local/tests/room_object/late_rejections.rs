//! Events of other servers that are known as outliers first, and that the state before them turns
//! out not to allow (T2, T3a).

use ruma::OwnedUserId;
use serde_json::json;
use skerry::{
    messages::room::{GivenState, Kind, Outcome, Receive},
    ports::{Sql as _, Stmt},
    store::room::{graph, state},
};
use skerry_core::{
    Pdu,
    engine::{Num, StateAt, Verdict},
};

use super::peer_room::{MEMBER, PEER, PeerRoom, TOPIC, caller, keys, own_server, raw, user};
use crate::{host::SCOPE, own_room::message, room::Stand};

const LEVELS: &str = "m.room.power_levels";
const MESSAGE: &str = "m.room.message";

fn carol() -> OwnedUserId {
    user("carol", PEER)
}

fn dave() -> OwnedUserId {
    user("dave", PEER)
}

/// A room of the peer that Alice has joined, and in which Dave may change power levels.
async fn joined() -> (Stand, PeerRoom) {
    let mut peer = PeerRoom::small();
    peer.join("dave");
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    stand.alice_joins(&mut peer).await;
    let levels = peer.by_carol(LEVELS, json!({ "users": { dave(): 50 } }));
    assert_eq!(stand.receive(&levels).await, accepted());
    (stand, peer)
}

/// Power levels by Dave, behind the last event of a room.
fn levels_by_dave(room: &PeerRoom) -> Pdu {
    let content = json!({ "users": { dave(): 50 }, "invite": 50 });
    room.make(&dave(), LEVELS, Some(""), content)
}

/// The room, if these were its power levels.
fn with_levels(room: &PeerRoom, levels: &Pdu) -> PeerRoom {
    let mut room = room.clone();
    room.state.insert((LEVELS.to_owned(), String::new()), levels.clone());
    room
}

fn accepted() -> Outcome {
    Outcome::Accepted { redacted: false }
}

async fn receive(stand: &Stand, kind: Kind, pdu: &Pdu, states: Vec<GivenState>) -> Outcome {
    let (origin, hand_on, events) = (None, false, vec![raw(pdu)]);
    let receive = Receive { origin, hand_on, events, keys: keys(), kind, states };
    stand.ask(receive).await.unwrap().remove(0).outcome
}

async fn row(stand: &Stand, pdu: &Pdu) -> graph::KnownRow {
    let sql = &*stand.host.sqlite;
    let ids = std::slice::from_ref(&pdu.event_id);
    let (_, num) = graph::find_nums(sql, SCOPE, ids).await.unwrap().remove(0);
    graph::list(sql, SCOPE, &[num]).await.unwrap().remove(0)
}

/// The event with the power levels of the current state.
async fn current_levels(stand: &Stand) -> Option<Num> {
    let sql = &*stand.host.sqlite;
    let at = StateAt { chain: 0, group: state::find_head(sql, SCOPE).await.unwrap() };
    let key = (LEVELS.to_owned(), String::new());
    let found = state::find(sql, SCOPE, at, &[key]).await.unwrap();
    found.first().map(|it| it.1)
}

/// Where the store has the event that it should not have.
const NOWHERE: [&str; 4] = [
    "SELECT count(*) FROM room_state_deltas WHERE scope = ? AND event = ?",
    "SELECT count(*) FROM room_state_log WHERE scope = ? AND event = ?",
    "SELECT count(*) FROM room_state_log WHERE scope = ? AND previous = ?",
    "SELECT count(*) FROM room_auth_edges WHERE scope = ? AND citer = ?",
];

async fn count(stand: &Stand, sql: &'static str, num: Num) -> i64 {
    let stmt = Stmt::new(sql).bind(SCOPE).bind(num);
    stand.host.sqlite.rows(stmt).await.unwrap().remove(0).take(0).unwrap()
}

#[tokio::test]
async fn t3a_what_cites_an_outlier_that_the_state_before_it_does_not_allow_is_rejected() {
    for (kind, event_type, key) in [(Kind::Live, MESSAGE, None), (Kind::Outlier, TOPIC, Some(""))] {
        let (stand, mut peer) = joined().await;
        let mut stale = peer.clone();
        assert_eq!(stand.receive(&peer.by_carol(LEVELS, json!({}))).await, accepted());
        stale.tip = peer.tip.clone();
        let levels = levels_by_dave(&stale);
        assert_eq!(receive(&stand, Kind::Outlier, &levels, Vec::new()).await, accepted());
        let citing = with_levels(&peer, &levels).make(&carol(), event_type, key, json!({}));
        let outcome = receive(&stand, kind, &citing, Vec::new()).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{event_type}: {outcome:?}");
        let judged = row(&stand, &levels).await;
        assert_eq!((judged.verdict, judged.states.is_some()), (Verdict::Rejected, true));
    }
}

#[tokio::test]
async fn t3a_what_is_rejected_late_goes_out_of_every_state() {
    for crashes in [false, true] {
        let (mut stand, peer) = joined().await;
        let held = current_levels(&stand).await;
        // What came before Dave's levels is not here: he had left.
        let leave = json!({ "membership": "leave" });
        let leave = peer.make(&dave(), MEMBER, Some(dave().as_str()), leave);
        let mut left = peer.clone();
        left.tip = leave.clone();
        let levels = levels_by_dave(&left);
        let mut told = with_levels(&peer, &levels);
        told.tip = levels.clone();
        let topic = told.make(&carol(), TOPIC, Some(""), json!({ "topic": "by them" }));
        for outlier in [&levels, &topic] {
            assert_eq!(receive(&stand, Kind::Outlier, outlier, Vec::new()).await, accepted());
        }
        // A peer says that they count.
        let speech = told.make(&carol(), MESSAGE, None, json!({}));
        let state = told.state.values().map(|it| it.event_id.clone()).collect();
        let given = GivenState { before: speech.event_id.clone(), state, is_hearsay: false };
        assert_eq!(receive(&stand, Kind::Live, &speech, vec![given]).await, accepted());
        assert_eq!(stand.receive(&leave).await, accepted());
        let late = row(&stand, &levels).await.num;
        assert_eq!(current_levels(&stand).await, Some(late), "as far as anybody knows");
        if crashes {
            stand.crash();
        }
        let outcome = stand.receive(&levels).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
        assert_eq!(current_levels(&stand).await, held, "what holds without them");
        assert_eq!(row(&stand, &topic).await.verdict, Verdict::Rejected, "what cites them");
        for sql in NOWHERE {
            assert_eq!(count(&stand, sql, late).await, 0, "{sql}");
        }
        // In memory as in the store.
        let own = stand.ask(message(caller("alice"), "hi")).await.unwrap();
        let ids = std::slice::from_ref(&own);
        let found = graph::find_nums(&*stand.host.sqlite, SCOPE, ids).await.unwrap();
        let own = graph::list(&*stand.host.sqlite, SCOPE, &[found[0].1]).await.unwrap().remove(0);
        assert!(!own.json.contains(levels.event_id.as_str()), "{}", own.json);
    }
}
