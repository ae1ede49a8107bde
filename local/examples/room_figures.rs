//! What large rooms cost, by hand: `cargo run --release -p skerry-local --example room_figures --`
//! and one of
//!
//! - `ingest [members]`: joining a room that is on other servers: time and memory.
//! - `curve [members] [changes]`: how the database of a room grows with every change of its state.
//! - `resolve [members]`: two branches of a room that conflict become one.
//! - `memory [members]`: what a loaded room holds.
//!
//! `SKERRY_FIGURES` names the folder the databases are made in; else they go with the program.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program to measure with: what fails has nothing to tell, and time is the machine's"
)]

#[path = "room_figures/alone.rs"]
mod alone;
#[path = "room_figures/curve.rs"]
mod curve;
#[path = "room_figures/ingest.rs"]
mod ingest;
#[path = "room_figures/memory.rs"]
mod memory;
#[path = "../tests/support/only.rs"]
mod only;
#[path = "../tests/support/own_room.rs"]
mod own_room;
#[path = "room_figures/peers.rs"]
mod peers;
#[path = "room_figures/resolve.rs"]
mod resolve;
#[path = "room_figures/stand.rs"]
mod stand;
#[path = "room_figures/world.rs"]
mod world;

use std::env;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As in the server.
const THREADS: usize = 2;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |place: usize, default: u64| {
        let argument = arguments.get(place).map(|it| it.replace([',', '_'], ""));
        argument.map_or(default, |it| it.parse().expect("a number"))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = match env::var_os("SKERRY_FIGURES") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let path = folder.path();
    runtime.block_on(async {
        match arguments.first().map(String::as_str) {
            Some("ingest") => ingest::measure(path, number(1, 10_000)).await,
            Some("curve") => curve::measure(path, number(1, 10_000), number(2, 100_000)).await,
            Some("resolve") => resolve::measure(path, number(1, 10_000)).await,
            Some("memory") => memory::measure(path, number(1, 100_000)).await,
            // What `memory` asks of another process.
            Some("ingest-into") => {
                let path = arguments.get(2).expect("a folder");
                ingest::measure(path.as_ref(), number(1, 0)).await;
            }
            _ => panic!("one of: ingest, curve, resolve, memory"),
        }
    });
}
