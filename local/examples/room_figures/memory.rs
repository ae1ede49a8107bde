//! What a loaded room holds in memory.

use std::{env, path::Path, process::Command as Process};

use serde_json::{json, value::to_raw_value};
use skerry::messages::room::{GetPublicInfo, Send, SyncRoom};

use crate::{
    peers::Peers,
    resolve,
    stand::{Stand, ask, caller, forget_peak, memory},
    world::World,
};

/// Has another process join a room, and loads it.
pub(crate) async fn measure(folder: &Path, members: u64) {
    let program = env::current_exe().expect("a program");
    let mut other = Process::new(program);
    other.arg("ingest-into").arg(members.to_string()).arg(folder);
    assert!(other.status().expect("a process").success(), "the other process failed");
    let stand = Stand::open(folder).await;
    let peers = Peers::new(&stand.server);
    println!("memory, {members} members; the database is open: {}", memory());
    let world = World::read(&stand).await;
    let room = stand.room(&world.create.room_id);
    println!("  a reader is warm:          {}", memory());
    forget_peak();
    let (_, cost) = ask(&stand, &room, GetPublicInfo {}).await;
    println!("  the room is loaded:        {}; {cost}", memory());
    for what in ["a message is sent:         ", "another:                   "] {
        forget_peak();
        let send = Send {
            caller: caller(),
            event_type: "m.room.message".to_owned(),
            state_key: None,
            content: to_raw_value(&json!({ "msgtype": "m.text", "body": "hello" })).expect("JSON"),
            transaction_id: None,
            timestamp_ms: None,
        };
        let (_, cost) = ask(&stand, &room, send).await;
        println!("  {what}{}; {cost}", memory());
    }
    for (what, full_state) in
        [("a first sync, lazy:        ", false), ("again:                     ", true)]
    {
        forget_peak();
        let command = json!({
            "caller": caller(), "from": null, "full_state": full_state, "state_after": false,
            "timeline": {}, "state": { "lazy_load_members": true }, "ephemeral": {},
            "known_members": [], "thread_counts": false, "ignored_users": [],
        });
        let command: SyncRoom = serde_json::from_value(command).expect("a command");
        let (_, cost) = ask(&stand, &room, command).await;
        println!("  {what}{}; {cost}", memory());
    }
    // Another object of the same room from here on; this one would have to be asked no more.
    drop(room);
    forget_peak();
    resolve::fork(&stand, &peers, (0, 50)).await;
    println!("  50 conflicts resolved:     {}", memory());
    forget_peak();
    resolve::fork(&stand, &peers, (52, 500)).await;
    println!("  500 conflicts resolved:    {}", memory());
}
