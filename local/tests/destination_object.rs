//! The `Destination` object over SQLite: what it reads of rooms, when one of them or the other
//! server is out of order (T4). The other server is out of reach throughout.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/host.rs"]
mod host;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/own_room.rs"]
mod own_room;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use ruma::{RoomId, ServerName, UserId, owned_server_name};
use serde_json::{json, value::to_raw_value};
use skerry::{
    Error, Result,
    messages::{
        Ask as _, destination,
        room::{self, GetOutgoing, Outgoing},
        user,
    },
    objects::{Object as _, destination::Destination},
    ports::Objects,
};
use skerry_core::{SigningKey, destination::LONG_OUTAGE_MS};

use self::host::{GlobalStore, Host};

/// Rooms: who was asked for what, those that fail, and whether others have an event.
#[derive(Default)]
struct Rooms {
    asked: Mutex<Vec<(String, GetOutgoing)>>,
    failing: Mutex<Option<String>>,
    have_events: bool,
}

impl Rooms {
    /// Which rooms were asked since the last look, and whether for the newest event only.
    fn asked(&self) -> Vec<(String, bool)> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().map(|(room_id, question)| (room_id, question.newest_only)).collect()
    }
}

#[async_trait]
impl Objects for Rooms {
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
        let outgoing = Outgoing { pdus, upto: 5, is_over: false };
        Ok(room::Reply::GetOutgoing(Box::new(outgoing)))
    }

    async fn user(&self, _: &UserId, _: user::Command) -> Result<user::Reply> {
        Err(Error::internal("no user is asked"))
    }

    async fn destination(
        &self,
        _: &ServerName,
        _: destination::Command,
    ) -> Result<destination::Reply> {
        Err(Error::internal("no other server is asked"))
    }

    async fn wait_for_changes(
        &self,
        _: &UserId,
        _: user::GetChanges,
        _: Duration,
    ) -> Result<Option<Box<user::Changes>>> {
        Ok(None)
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
        let host = Host::open(rooms.clone(), GlobalStore::Down).await;
        let server = own_room::server("localhost", SigningKey::from_seed([1; 32], "1").unwrap());
        let destination =
            Destination::new(owned_server_name!("remote.example"), server, host.clone());
        Self { host, rooms, destination }
    }

    /// Something waits in a room.
    async fn activity(&self, room_id: &str) {
        let room_id = room_id.try_into().unwrap();
        let activity = destination::RoomActivity { room_id, position: 5 };
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
