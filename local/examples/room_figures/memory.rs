//! What a loaded room holds in memory.

use std::{env, path::Path, process::Command as Process};

use ruma::api::client::filter::LazyLoadOptions;
use skerry::messages::room::{GetPublicInfo, SyncRoom};

use crate::{
    own_room::{message, whole_room},
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
        let (_, cost) = ask(&stand, &room, message(caller(), "hello")).await;
        println!("  {what}{}; {cost}", memory());
    }
    for (what, full_state) in
        [("a first sync, lazy:        ", false), ("again:                     ", true)]
    {
        forget_peak();
        let mut command = SyncRoom { full_state, ..whole_room(caller()) };
        command.state.lazy_load_options =
            LazyLoadOptions::Enabled { include_redundant_members: false };
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
