//! Events of other servers that come together are written together.

use std::time::Duration;

use serde_json::json;
use skerry::{
    messages::room::{Kind, Outcome, Receive},
    objects::room::limits,
    ports::{Sql as _, Stmt},
};
use skerry_core::Pdu;
use tokio::time::timeout;

use super::peer_room::{MEMBER, OWN, PEER, PeerRoom, TOPIC, caller, keys, own_server, raw, user};
use crate::{
    host::{Fate, SCOPE},
    own_room::whole_room,
    room::Stand,
};

const MESSAGE: &str = "m.room.message";

/// A room of the peer that Alice has joined and read.
async fn joined() -> (Stand, PeerRoom) {
    let mut peer = PeerRoom::small();
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    stand.alice_joins(&mut peer).await;
    stand.ask(whole_room(caller("alice"))).await.unwrap();
    stand.run_deferred().await;
    stand.users.asked();
    (stand, peer)
}

/// Messages, state and a member who comes: each behind the one before it.
fn chain(peer: &mut PeerRoom, count: usize) -> Vec<Pdu> {
    let carol = user("carol", PEER);
    let dave = user("dave", PEER);
    let mut pdus = Vec::new();
    for number in 0..count {
        pdus.push(match number % 10 {
            3 => peer.by_carol(TOPIC, json!({ "topic": number.to_string() })),
            5 => peer.add(&dave, MEMBER, Some(dave.as_str()), json!({ "membership": "join" })),
            6 => peer.add(&dave, MESSAGE, None, json!({ "body": "by somebody new" })),
            _ => peer.add(&carol, MESSAGE, None, json!({ "body": number.to_string() })),
        });
    }
    pdus
}

fn receive(pdus: &[Pdu]) -> Receive {
    let events = pdus.iter().map(raw).collect();
    let (origin, kind, states) = (None, Kind::Live, Vec::new());
    Receive { origin, hand_on: false, events, keys: keys(), kind, states }
}

async fn outcomes(stand: &Stand, pdus: &[Pdu]) -> Vec<Outcome> {
    let received = stand.ask(receive(pdus)).await.unwrap();
    received.into_iter().map(|it| it.outcome).collect()
}

/// The IDs that the room has, behind the first ones.
async fn stored(stand: &Stand, from: usize) -> Vec<String> {
    let stmt = Stmt::new("SELECT event_id FROM room_events WHERE scope = ? ORDER BY num");
    let rows = stand.host.sqlite.rows(stmt.bind(SCOPE)).await.unwrap();
    rows.into_iter().skip(from).map(|mut row| row.take(0).unwrap()).collect()
}

fn ids(pdus: &[Pdu]) -> Vec<String> {
    pdus.iter().map(|it| it.event_id.to_string()).collect()
}

const ACCEPTED: Outcome = Outcome::Accepted { redacted: false };

#[tokio::test]
async fn what_comes_together_is_written_in_one_batch_and_told_once() {
    let (stand, mut peer) = joined().await;
    let before = stored(&stand, 0).await.len();
    let mut pdus = chain(&mut peer, 20);
    let expected = ids(&pdus);
    // One comes twice.
    pdus.push(pdus[7].clone());
    let (commits, reads) = (stand.host.commits(), stand.host.reads());
    let mut found = outcomes(&stand, &pdus).await;
    assert_eq!(stand.host.commits() - commits, 1);
    // Not one for each.
    let reads = stand.host.reads() - reads;
    assert!(reads <= 10, "{reads} reads");
    assert_eq!(found.pop(), Some(Outcome::Known));
    assert_eq!(found, vec![ACCEPTED; 20]);
    assert_eq!(stored(&stand, before).await, expected);
    stand.run_deferred().await;
    let asked = stand.users.asked();
    let told = asked.iter().filter(|(who, _)| *who == user("alice", OWN));
    assert_eq!(told.count(), 1, "{asked:?}");
    // And once more, all of it.
    let commits = stand.host.commits();
    assert_eq!(outcomes(&stand, &pdus).await, vec![Outcome::Known; 21]);
    assert_eq!(stand.host.commits(), commits);
}

#[tokio::test]
async fn a_batch_is_no_larger_than_it_may_be() {
    let (stand, mut peer) = joined().await;
    let carol = user("carol", PEER);
    let body = "x".repeat(50_000);
    let mut large = || peer.add(&carol, MESSAGE, None, json!({ "body": body }));
    let pdus: Vec<_> = (0..50).map(|_| large()).collect();
    let bytes: usize = pdus.iter().map(|it| it.json.len()).sum();
    let commits = stand.host.commits();
    assert_eq!(outcomes(&stand, &pdus).await, vec![ACCEPTED; 50]);
    let commits = usize::try_from(stand.host.commits() - commits).unwrap();
    assert_eq!(commits, bytes.div_ceil(limits::BYTES_A_BATCH + 50_000));
}

/// C6: what became of an event is what the room says of it, and each is there once.
#[tokio::test]
async fn of_a_batch_that_failed_each_event_is_received_by_itself() {
    for (fate, written) in [(Fate::Refused, 12), (Fate::WrittenAndFailed, 1)] {
        let (mut stand, mut peer) = joined().await;
        let before = stored(&stand, 0).await.len();
        let pdus = chain(&mut peer, 12);
        let commits = stand.host.commits();
        stand.host.next_commit(fate);
        assert_eq!(outcomes(&stand, &pdus).await, vec![ACCEPTED; 12], "{fate:?}");
        assert_eq!(stand.host.commits() - commits, written, "{fate:?}");
        assert_eq!(stored(&stand, before).await, ids(&pdus), "{fate:?}");
        // Memory goes on where the store is.
        let more = chain(&mut peer, 8);
        assert_eq!(outcomes(&stand, &more).await, vec![ACCEPTED; 8], "{fate:?}");
        assert_eq!(stored(&stand, before).await.len(), 20, "{fate:?}");
        let sync = *stand.ask(whole_room(caller("alice"))).await.unwrap();
        stand.crash();
        let anew = *stand.ask(whole_room(caller("alice"))).await.unwrap();
        let texts = |it: &skerry::messages::room::RoomSync| -> Vec<String> {
            it.state.iter().chain(&it.timeline).map(|it| it.get().to_owned()).collect()
        };
        assert_eq!(texts(&sync), texts(&anew), "{fate:?}");
    }
}

/// C6: where one of them cannot be written, those before it are, and it is said.
#[tokio::test]
async fn an_event_that_cannot_be_written_takes_none_before_it_away() {
    let (stand, mut peer) = joined().await;
    let before = stored(&stand, 0).await.len();
    let pdus = chain(&mut peer, 6);
    // The batch of all, and the fourth by itself.
    stand.host.fates(&[Fate::Refused, Fate::Written, Fate::Written, Fate::Written, Fate::Refused]);
    stand.ask(receive(&pdus)).await.unwrap_err();
    assert_eq!(stored(&stand, before).await, ids(&pdus[..3]));
    let expected = [vec![Outcome::Known; 3], vec![ACCEPTED; 3]].concat();
    assert_eq!(outcomes(&stand, &pdus).await, expected);
    assert_eq!(stored(&stand, before).await, ids(&pdus));
}

/// C15: nobody is told of what is not there.
#[tokio::test]
async fn what_could_not_be_written_is_no_news() {
    let (stand, mut peer) = joined().await;
    let pdus = chain(&mut peer, 6);
    stand.host.next_commit(Fate::Breaks);
    stand.ask(receive(&pdus)).await.unwrap_err();
    stand.run_deferred().await;
    assert_eq!(stand.users.asked(), []);
    stand.host.can_be_read(true);
    assert_eq!(outcomes(&stand, &pdus).await, vec![ACCEPTED; 6]);
    stand.run_deferred().await;
    assert!(stand.users.asked().iter().any(|(who, _)| *who == user("alice", OWN)));
}

/// C3, C6: whoever asked goes away in the middle of the batch, or before it.
#[tokio::test]
async fn what_is_planned_and_not_written_is_forgotten_with_who_planned_it() {
    for fate in [Fate::WrittenAndHangs, Fate::Hangs] {
        let (stand, mut peer) = joined().await;
        let before = stored(&stand, 0).await.len();
        let pdus = chain(&mut peer, 12);
        stand.host.next_commit(fate);
        let gone = timeout(Duration::from_millis(200), stand.ask(receive(&pdus))).await;
        assert!(gone.is_err());
        stand.host.commits_are_written();
        let is_written = fate == Fate::WrittenAndHangs;
        assert_eq!(stored(&stand, before).await.len(), if is_written { 12 } else { 0 });
        let expected = if is_written { Outcome::Known } else { ACCEPTED };
        assert_eq!(outcomes(&stand, &pdus).await, vec![expected; 12]);
        assert_eq!(stored(&stand, before).await, ids(&pdus));
    }
}
