//! The `Destination` object over SQLite: what it reads of rooms, when one of them or the other
//! server is out of order (T4), and the lists of devices that it keeps.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "destination_object/device_lists.rs"]
mod device_lists;
#[path = "destination_object/federation.rs"]
mod federation;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/host.rs"]
mod host;
#[path = "support/only.rs"]
mod only;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/own_room.rs"]
mod own_room;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ruma::{
    RoomId, events::receipt::ReceiptThread, owned_event_id, owned_server_name, owned_user_id,
};
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry::{
    Error, Result,
    messages::{
        Ask as _, RawJson, destination,
        room::{self, GetOutgoing, Outgoing},
    },
    objects::{Object as _, destination::Destination},
    ports::ObjectHost as _,
    store::destination::faults,
};
use skerry_core::{
    SigningKey,
    destination::{LONG_OUTAGE_MS, QUEUE_BYTES, QUEUED_FOR_MS},
    edu::ReadReceipt,
    faults::Faults,
};

use self::{
    host::{Fate, GlobalStore, Host},
    only::{Only, SomeObjects},
};

/// Rooms: who was asked for what, those that fail, and whether others have an event.
#[derive(Default)]
struct Rooms {
    asked: Mutex<Vec<(String, GetOutgoing)>>,
    failing: Mutex<Option<String>>,
    have_events: bool,
    have_receipts: bool,
}

impl Rooms {
    /// Which rooms were asked since the last look, and whether for the newest event only.
    fn asked(&self) -> Vec<(String, bool)> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().map(|(room_id, question)| (room_id, question.newest_only)).collect()
    }
}

#[async_trait]
impl SomeObjects for Rooms {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        let room::Command::GetOutgoing(question) = command else {
            return Err(Error::internal("a room is asked for what waits alone"));
        };
        self.asked.lock().unwrap().push((room_id.to_string(), *question));
        if self.failing.lock().unwrap().as_deref() == Some(room_id.as_str()) {
            return Err(Error::internal("out of order"));
        }
        let event = self.have_events.then(|| to_raw_value(&json!({})).unwrap());
        let pdus = event.into_iter().collect();
        let receipt = self.have_receipts.then(|| ReadReceipt {
            user_id: owned_user_id!("@ann:localhost"),
            event_id: owned_event_id!("$read"),
            thread: ReceiptThread::Unthreaded,
            ts_ms: Some(5),
        });
        let receipts = receipt.into_iter().collect();
        let outgoing = Outgoing { pdus, receipts, upto: 5, ..Outgoing::default() };
        Ok(room::Reply::GetOutgoing(Box::new(outgoing)))
    }
}

/// A destination and what it stands on.
struct World {
    host: Arc<Host>,
    rooms: Arc<Rooms>,
    destination: Arc<Destination>,
}

impl World {
    async fn new(rooms: Rooms) -> Self {
        let rooms = Arc::new(rooms);
        let host = Host::open(Arc::new(Only(rooms.clone())), GlobalStore::Down).await;
        let destination = Self::destination(&host);
        Self { host, rooms, destination }
    }

    fn destination(host: &Arc<Host>) -> Arc<Destination> {
        let server = own_room::server("localhost", SigningKey::from_seed([1; 32], "1").unwrap());
        Destination::new(owned_server_name!("remote.example"), server, host.clone())
    }

    /// What is in memory is lost, and what was put off.
    fn crash(&mut self) {
        drop(self.host.take_deferred());
        self.destination = Self::destination(&self.host);
    }

    /// Something waits in a room.
    async fn activity(&self, room_id: &str) {
        self.activity_of(room_id, false).await;
    }

    /// A receipt waits in a room.
    async fn receipt(&self, room_id: &str) {
        self.activity_of(room_id, true).await;
    }

    async fn activity_of(&self, room_id: &str, is_weak: bool) {
        let room_id = room_id.try_into().unwrap();
        let activity = destination::RoomActivity { room_id, position: 5, is_weak };
        self.destination.ask(activity.into_command()).await.unwrap();
    }

    /// What is no event and must not get lost.
    async fn edu(&self, size: usize) {
        let edus =
            vec![to_value(&json!({ "edu_type": "m.direct_to_device", "x": "x".repeat(size) }))];
        self.destination.ask(destination::SendEdus { edus }.into_command()).await.unwrap();
    }

    /// Somebody types.
    async fn typing(&self) {
        let (room_id, users) = (A.try_into().unwrap(), [(owned_user_id!("@ann:localhost"), true)]);
        let activity = destination::TypingActivity { room_id, users: users.into() };
        self.destination.ask(activity.into_command()).await.unwrap();
    }

    /// Does all that was put off.
    async fn drain(&self) {
        for work in self.host.take_deferred() {
            work.await;
        }
    }

    /// Time passes until the alarm, which goes off. Gives how much.
    async fn alarm(&self) -> u64 {
        let waited_ms = self.host.pass_until_alarm().unwrap();
        self.host.alarm_goes_off();
        self.destination.alarm().await.unwrap();
        self.host.alarm_is_over();
        waited_ms
    }
}

fn to_value(json: &JsonValue) -> RawJson {
    to_raw_value(json).unwrap()
}

const A: &str = "!a:localhost";
const B: &str = "!b:localhost";

#[tokio::test]
async fn a_room_that_fails_keeps_back_nothing_of_the_others() {
    let world = World::new(Rooms { failing: Mutex::new(Some(A.to_owned())), ..Rooms::default() });
    let world = world.await;
    world.activity(A).await;
    world.activity(B).await;
    world.drain().await;
    let asked = world.rooms.asked();
    assert!(asked.contains(&(B.to_owned(), false)), "{asked:?}");
    world.alarm().await;
    assert_eq!(world.rooms.asked(), [(A.to_owned(), false)], "the other one was read");
    *world.rooms.failing.lock().unwrap() = None;
    world.alarm().await;
    assert_eq!(world.rooms.asked(), [(A.to_owned(), false)], "it is asked again");
    assert_eq!(world.host.alarm_is_set_for_ms(), None, "nothing waits");
}

#[tokio::test]
async fn a_server_that_was_away_for_long_is_given_the_newest_event_alone() {
    let world = World::new(Rooms { have_events: true, ..Rooms::default() }).await;
    world.activity(A).await;
    world.drain().await;
    let (mut waits, mut away_ms) = (Vec::new(), 0);
    while away_ms <= LONG_OUTAGE_MS {
        assert_eq!(world.rooms.asked(), [(A.to_owned(), false)], "after {away_ms} ms");
        waits.push(world.alarm().await);
        away_ms += waits[waits.len() - 1];
        assert!(waits.len() < 20, "it is asked ever less often: {waits:?}");
    }
    assert_eq!(world.rooms.asked(), [(A.to_owned(), true)], "after {away_ms} ms");
    world.activity(B).await;
    world.drain().await;
    assert_eq!(world.rooms.asked(), [], "it is left alone for now");
}

#[tokio::test]
async fn a_receipt_costs_a_row_only_where_it_cannot_be_sent() {
    let mut world = World::new(Rooms { have_receipts: true, ..Rooms::default() }).await;
    world.receipt(A).await;
    world.receipt(A).await;
    assert_eq!((world.host.commits(), world.host.alarm_is_set_for_ms()), (0, None));
    world.drain().await;
    assert_eq!(world.rooms.asked(), [(A.to_owned(), false)]);
    assert_eq!(world.host.count("destination_rooms").await, 1, "the server does not answer");
    let commits = world.host.commits();
    world.receipt(A).await;
    assert_eq!(world.host.commits(), commits, "it is known that something waits");
    world.receipt(B).await;
    assert_eq!(world.host.count("destination_rooms").await, 2, "it is not sent before long");
    world.crash();
    world.alarm().await;
    let asked = world.rooms.asked();
    assert_eq!(asked, [(A.to_owned(), false), (B.to_owned(), false)]);
}

#[tokio::test]
async fn an_event_behind_a_receipt_is_kept() {
    let mut world = World::new(Rooms { have_events: true, ..Rooms::default() }).await;
    world.receipt(A).await;
    world.activity(A).await;
    assert_eq!(world.host.count("destination_rooms").await, 1);
    world.crash();
    world.alarm().await;
    assert_eq!(world.rooms.asked(), [(A.to_owned(), false)]);
}

#[tokio::test]
async fn what_there_is_nothing_to_send_of_is_done_with() {
    let world = World::new(Rooms::default()).await;
    world.receipt(A).await;
    world.drain().await;
    assert_eq!(world.rooms.asked(), [(A.to_owned(), false)]);
    assert_eq!(world.host.alarm_is_set_for_ms(), None);
    world.receipt(A).await;
    world.drain().await;
    assert_eq!(world.rooms.asked(), [], "it has been read up to there");
}

#[tokio::test]
async fn who_types_is_kept_for_no_server_that_does_not_answer() {
    let world = World::new(Rooms::default()).await;
    world.typing().await;
    assert_eq!(world.host.commits(), 0);
    world.drain().await;
    assert_eq!(world.host.count("destination_failures").await, 1, "it was tried");
    let commits = world.host.commits();
    world.typing().await;
    assert!(world.host.take_deferred().is_empty(), "it is left alone");
    world.alarm().await;
    assert_eq!(world.host.commits(), commits, "nothing is left to be sent");
    assert_eq!((world.host.alarm_is_set_for_ms(), world.rooms.asked()), (None, Vec::new()));
}

#[tokio::test]
async fn t4_what_must_not_get_lost_waits_through_crashes() {
    let mut world = World::new(Rooms::default()).await;
    world.edu(1).await;
    assert!(world.host.alarm_is_set_for_ms().is_some());
    world.crash();
    world.edu(1).await;
    world.drain().await;
    assert_eq!(world.host.count("destination_failures").await, 1, "it was tried");
    assert_eq!(world.host.count("destination_edus").await, 2);
    world.host.next_commit(Fate::WrittenAndFailed);
    let lost = destination::SendEdus { edus: vec![to_value(&json!({}))] };
    world.destination.ask(lost.into_command()).await.unwrap_err();
    world.edu(1).await;
    assert_eq!(world.host.count("destination_edus").await, 4, "it goes on behind that");
    for _ in 0..5 {
        world.alarm().await;
    }
    assert_eq!(world.host.count("destination_edus").await, 4);
    assert!(world.host.alarm_is_set_for_ms().is_some(), "it is tried again");
    world.host.pass(QUEUED_FOR_MS + 1);
    world.edu(1).await;
    world.alarm().await;
    assert_eq!(world.host.count("destination_edus").await, 1, "what is too old goes");
    world.alarm().await;
    assert_eq!(world.host.count("destination_edus").await, 1);
}

#[tokio::test]
async fn t1_what_waits_for_a_server_is_bounded() {
    let world = World::new(Rooms::default()).await;
    let large = QUEUE_BYTES / 16;
    for _ in 0..20 {
        world.edu(large).await;
    }
    world.edu(1).await;
    assert_eq!(world.host.count("destination_edus").await, 16, "the oldest go");
}

/// T3b
#[tokio::test]
async fn t3b_what_a_server_sends_that_is_not_taken_is_counted() {
    let mut world = World::new(Rooms::default()).await;
    let count = async |world: &World, rejected| {
        let faults = Faults { rejected, ..Faults::default() };
        let question = destination::CountFaults { faults };
        world.destination.ask(question.into_command()).await.unwrap();
    };
    let sum = async |world: &World| faults::find(world.host.sql(), world.host.scope()).await;
    let commits = world.host.commits();
    for _ in 0..20 {
        count(&world, 1).await;
    }
    assert_eq!(world.host.commits() - commits, 1, "a flood costs a row");
    assert_eq!(sum(&world).await.unwrap().rejected, 1);
    world.host.pass(60_000);
    count(&world, 1).await;
    assert_eq!(sum(&world).await.unwrap().rejected, 21);
    world.crash();
    count(&world, 4).await;
    assert_eq!(sum(&world).await.unwrap().rejected, 25, "it goes on after a crash");
}
