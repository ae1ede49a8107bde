//! What one room's part of a `/sync` response costs, assembled over SQLite.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use ruma::{OwnedRoomId, RoomVersionId, owned_device_id, owned_user_id};
use serde_json::{json, value::to_raw_value};
use skerry::{
    messages::{
        Caller,
        room::{Create, NewState, RoomSync, Send, SyncRoom},
    },
    ports::{Clock as _, Objects, Offline},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Registration,
        Server,
    },
};
use skerry_core::{SigningKey, pdu, room_version};
use skerry_local::{
    machine::SystemClock,
    registry::{LocalObjects, Registry},
    sqlite::Sqlite,
    store,
};

fn caller() -> Caller {
    Caller { user_id: owned_user_id!("@alice:localhost"), device_id: owned_device_id!("BENCH") }
}

fn server() -> Server {
    Server {
        name: "localhost".try_into().expect("a name"),
        signing_key: SigningKey::from_seed([7; 32], "bench").expect("a key"),
        config: Config {
            registration: Registration::Closed,
            registration_token_hash: None,
            public_base_url: None,
            access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
            private_servers: Vec::new(),
            session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
        },
    }
}

/// A room of one member with some state and a few messages.
async fn room(objects: &LocalObjects, key: &SigningKey) -> OwnedRoomId {
    let Caller { user_id, .. } = caller();
    let rules = room_version::rules(&RoomVersionId::V12).expect("supported");
    let content = json!({ "room_version": "12" });
    let content = serde_json::from_value(content).expect("canonical");
    let now = SystemClock.now_ms();
    let create =
        pdu::create_event(content, &user_id, None, None, &rules, now, key).expect("an event");
    let state = |event_type: &str, state_key: &str, content| NewState {
        event_type: event_type.to_owned(),
        state_key: state_key.to_owned(),
        content: to_raw_value(&content).expect("JSON"),
    };
    let question = Create {
        creator: caller(),
        room_version: RoomVersionId::V12,
        create_event: serde_json::from_str(&create.json).expect("JSON"),
        state: vec![
            state("m.room.member", user_id.as_str(), json!({ "membership": "join" })),
            state("m.room.power_levels", "", json!({})),
            state("m.room.join_rules", "", json!({ "join_rule": "public" })),
            state("m.room.name", "", json!({ "name": "A room" })),
        ],
        invites: Vec::new(),
        listed: false,
        alias: None,
    };
    let port: &dyn Objects = objects;
    port.ask(&*create.room_id, question).await.expect("created");
    for _ in 0..15 {
        port.ask(&*create.room_id, message()).await.expect("sent");
    }
    create.room_id.clone()
}

fn message() -> Send {
    Send {
        caller: caller(),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        content: to_raw_value(&json!({ "msgtype": "m.text", "body": "hello" })).expect("JSON"),
        transaction_id: None,
        timestamp_ms: None,
    }
}

async fn sync(objects: &LocalObjects, room_id: &OwnedRoomId, from: Option<u64>) -> RoomSync {
    let command = json!({
        "op": "sync", "caller": caller(), "from": from, "full_state": false, "state_after": false,
        "timeline": {}, "state": {}, "ephemeral": {}, "known_members": [],
        "thread_counts": false, "ignored_users": [],
    });
    let command: SyncRoom = serde_json::from_value(command).expect("a command");
    let port: &dyn Objects = objects;
    *port.ask(&**room_id, command).await.expect("a part of a sync")
}

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a folder");
    let (objects, room_id) = runtime.block_on(async {
        let sqlite = Arc::new(Sqlite::open(directory.path()).await.expect("a database"));
        store::migrate(&*sqlite).await.expect("the schema");
        let server = Arc::new(server());
        let registry = Registry::new(
            sqlite,
            Arc::new(SystemClock),
            Arc::new(Offline),
            Arc::new(Offline),
            server.clone(),
        )
        .await;
        let objects = LocalObjects(registry.expect("a registry"));
        let room_id = room(&objects, &server.signing_key).await;
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
        bencher.iter(|| runtime.block_on(port.ask(&*room_id, message())));
    });
}

criterion_group!(group, benches);
criterion_main!(group);
