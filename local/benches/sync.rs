//! What one room's part of a `/sync` response costs, assembled over SQLite.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has nothing to measure"
)]

#[expect(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/own_room.rs"]
mod own_room;

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use ruma::{OwnedRoomId, RoomId, owned_device_id, owned_user_id};
use skerry::{
    messages::{
        Caller,
        room::{RoomSync, SyncRoom},
    },
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

use self::own_room::{creation, message, server, whole_room};

fn caller() -> Caller {
    Caller { user_id: owned_user_id!("@alice:localhost"), device_id: owned_device_id!("BENCH") }
}

/// A room of one member with some state and a few messages.
async fn room(port: &dyn Objects, server: &Server) -> OwnedRoomId {
    let (room_id, create) = creation(server, caller());
    port.ask(&*room_id, create).await.expect("created");
    for _ in 0..15 {
        port.ask(&*room_id, message(caller(), "hello")).await.expect("sent");
    }
    room_id
}

async fn sync(port: &dyn Objects, room_id: &RoomId, from: Option<u64>) -> RoomSync {
    let question = SyncRoom { from, ..whole_room(caller()) };
    *port.ask(room_id, question).await.expect("a part of a sync")
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a folder");
    let (objects, room_id) = runtime.block_on(async {
        let sqlite =
            Arc::new(Sqlite::open(&directory.path().join("data")).await.expect("a database"));
        store::migrate(&*sqlite).await.expect("the schema");
        let key = SigningKey::from_seed([7; 32], "bench").expect("a key");
        let server = server("localhost", key);
        let registry = Registry::new(
            sqlite,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
            Arc::new(Offline),
            Arc::new(Offline),
            server.clone(),
        )
        .await;
        let objects = LocalObjects(registry.expect("a registry"));
        let room_id = room(&objects, &server).await;
        (objects, room_id)
    });
    let head = runtime.block_on(sync(&objects, &room_id, None)).to;
    criterion.bench_function("initial sync of a room", |bencher| {
        bencher.iter(|| runtime.block_on(sync(&objects, &room_id, None)));
    });
    criterion.bench_function("incremental sync of five messages", |bencher| {
        bencher.iter(|| runtime.block_on(sync(&objects, &room_id, Some(head - 5))));
    });
    criterion.bench_function("send, committed", |bencher| {
        let port: &dyn Objects = &objects;
        bencher.iter(|| runtime.block_on(port.ask(&*room_id, message(caller(), "hello"))));
    });
}

criterion_group!(group, benches);
criterion_main!(group);
