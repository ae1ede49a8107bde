//! What rooms hold in memory together, however much is put into how many of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/own_room.rs"]
mod own_room;

use std::{sync::Arc, time::Duration};

use ruma::{OwnedRoomId, UserId};
use serde_json::{json, value::to_raw_value};
use skerry::{
    messages::{
        Caller,
        room::{GetStateEvent, NewState},
    },
    objects::{Object as _, room::Room},
    ports::{Objects, Offline},
    server::Server,
};
use skerry_core::SigningKey;
use skerry_local::{
    machine::{SystemClock, SystemRandom},
    registry::{LocalObjects, Registry},
    sqlite::Sqlite,
    store,
};
use tempfile::TempDir;

const MIB: usize = 1 << 20;
/// Pieces of state of nearly the largest size in each room.
const PIECES: usize = 30;
const PIECE_BYTES: usize = 60_000;
const ROOMS: usize = 60;

/// Each room has a creator of its own: where there is no clock, that makes its ID.
fn creator(number: usize) -> Caller {
    let user_id = UserId::parse(format!("@u{number}:localhost")).unwrap();
    Caller { user_id, device_id: "D".into() }
}

/// Makes a room that holds some megabytes when it has been made.
async fn create_large(objects: &dyn Objects, server: &Server, creator: Caller) -> OwnedRoomId {
    let (room_id, mut create) = own_room::creation(server, creator);
    create.state.extend((0..PIECES).map(|number| NewState {
        event_type: "org.example.pile".to_owned(),
        state_key: number.to_string(),
        content: to_raw_value(&json!({ "pile": "x".repeat(PIECE_BYTES) })).unwrap(),
    }));
    objects.ask(&*room_id, create).await.unwrap();
    room_id
}

#[tokio::test]
async fn rooms_that_nobody_asks_leave_memory_when_all_hold_too_much() {
    let directory = TempDir::new().unwrap();
    let sqlite = Arc::new(Sqlite::open(&directory.path().join("data")).await.unwrap());
    store::migrate(&*sqlite).await.unwrap();
    let offline = Arc::new(Offline);
    let server = own_room::server("localhost", SigningKey::from_seed([7; 32], "test").unwrap());
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let registry = Registry::new(sqlite, clock, random, offline.clone(), offline, server.clone());
    let registry = registry.await.unwrap();
    let objects = LocalObjects(registry.clone());
    let objects: &dyn Objects = &objects;
    let mut rooms = Vec::new();
    let (mut most, mut too_much) = (0, 0);
    for number in 0..ROOMS {
        rooms.push(create_large(objects, &server, creator(number)).await);
        most = most.max(Room::HELD.bytes());
        too_much += usize::from(Room::HELD.is_too_much());
    }
    assert!(most > 30 * MIB, "what they hold is counted: {most}");
    assert!(most < 60 * MIB, "{most}");
    assert!(too_much < ROOMS / 2, "those that are made later find space: {too_much}");
    for (number, room_id) in rooms.iter().enumerate() {
        let name = GetStateEvent {
            caller: creator(number),
            event_type: "m.room.name".to_owned(),
            state_key: String::new(),
        };
        objects.ask(&**room_id, name).await.unwrap();
    }
    registry.stop(Duration::from_secs(10)).await;
    assert_eq!(Room::HELD.bytes(), 0, "nothing is held by nobody");
}
