//! A room that does not exist is asked once in a while, however often somebody asks about it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/only.rs"]
mod only;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use ruma::{RoomId, room_id, room_version_id, server_name, user_id};
use serde_json::value::to_raw_value;
use skerry::{
    Error, Result,
    messages::{
        Caller,
        room::{self, Create, GetPublicInfo, Kind, Receive},
    },
    objects::absent_rooms::{ABSENT_ROOM_MS, WithAbsentRooms},
    ports::{Clock, Objects},
};

use self::only::{Only, SomeObjects};

/// Rooms that exist from their creation on. They count how often they are asked.
#[derive(Default)]
struct Rooms {
    asked: AtomicU64,
    exists: Mutex<bool>,
}

#[async_trait]
impl SomeObjects for Rooms {
    async fn room(&self, _: &RoomId, command: room::Command) -> Result<room::Reply> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut exists = self.exists.lock().unwrap();
        match command {
            room::Command::Create(_) => {
                *exists = true;
                Ok(room::Reply::Create(()))
            }
            _ if *exists => Ok(room::Reply::GetPublicInfo(Box::default())),
            _ => Err(Error::UnknownRoom),
        }
    }
}

struct Time(AtomicU64);

impl Clock for Time {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn an_absent_room_is_asked_once_until_its_time_is_over_or_it_begins() {
    let (rooms, time) = (Arc::new(Rooms::default()), Arc::new(Time(AtomicU64::new(0))));
    let objects = WithAbsentRooms::new(Only(rooms.clone()), Arc::default(), time.clone());
    let objects: &dyn Objects = &objects;
    let room_id = room_id!("!a:localhost");
    let asked = || rooms.asked.load(Ordering::Relaxed);
    for _ in 0..3 {
        let answer = objects.ask(room_id, GetPublicInfo {}).await;
        assert!(matches!(answer, Err(Error::UnknownRoom)));
    }
    assert_eq!(asked(), 1);
    let origin = Some(server_name!("a.example").to_owned());
    let (events, keys, states) = (Vec::new(), Vec::new(), Vec::new());
    let said = Receive { origin, hand_on: false, events, keys, kind: Kind::Live, states };
    objects.ask(room_id, said).await.unwrap_err();
    assert_eq!(asked(), 2, "somebody here may be joining it");
    time.0.store(2 * ABSENT_ROOM_MS, Ordering::Relaxed);
    objects.ask(room_id, GetPublicInfo {}).await.unwrap_err();
    assert_eq!(asked(), 3, "its time is over");
    let create = Create {
        creator: Caller { user_id: user_id!("@a:localhost").to_owned(), device_id: "D".into() },
        room_version: room_version_id!("12"),
        create_event: to_raw_value(&()).unwrap(),
        state: Vec::new(),
        invites: Vec::new(),
        listed: false,
        alias: None,
        until_ms: None,
    };
    objects.ask(room_id, create).await.unwrap();
    objects.ask(room_id, GetPublicInfo {}).await.unwrap();
    assert_eq!(asked(), 5, "it exists");
}
