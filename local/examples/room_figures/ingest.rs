//! Joining a room that is on other servers.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use skerry::{
    messages::room::{Join, Outcome, Stage},
    objects::room::Room,
};
use skerry_core::{Pdu, room_version};

use crate::{
    peers::{self, Peers, raw},
    stand::{self, Stand, forget_peak, memory},
    world::World,
};

/// Events that are staged at a time.
const CHUNK: u64 = 500;

/// Joins a room of so many members and says what it cost.
pub(crate) async fn measure(folder: &Path, members: u64) {
    let stand = Stand::open(folder).await;
    let peers = Peers::new(&stand.server);
    println!("ingest, {members} members; before: {}", memory());
    run(&stand, &peers, members).await;
    println!("  database: {} MiB", stand.bytes().await >> 20);
}

/// The only attempt to join.
const ATTEMPT: &str = "first";

/// Joins a room of so many members.
pub(crate) async fn run(stand: &Stand, peers: &Peers, members: u64) {
    let (mut world, state, chain) = World::found(peers);
    let room = stand.room(&world.create.room_id);
    forget_peak();
    let mut staging = Duration::ZERO;
    let mut making = Duration::ZERO;
    for (begins, events, is_state) in [(true, state, true), (false, chain, false)] {
        staging += stage(stand, &room, peers, &events, (begins, is_state)).await;
    }
    for first in (1..members).step_by(usize::try_from(CHUNK).expect("small")) {
        let began = Instant::now();
        let mut events = Vec::new();
        for number in first..members.min(first + CHUNK) {
            let user_id = peers::user(number);
            let prev = events.last().unwrap_or(&world.tip);
            events.push(world.join(&user_id, &format!("Member {number}"), prev, peers));
        }
        making += began.elapsed();
        staging += stage(stand, &room, peers, &events, (false, true)).await;
        world.tip = events.pop().expect("a chunk has events");
    }
    println!("  making the events: {:.2} s", making.as_secs_f64());
    println!("  staging: {:.2} s, {}", staging.as_secs_f64(), memory());
    forget_peak();
    let user_id = stand::caller().user_id;
    let event = world.join(&user_id, "Local", &world.tip, peers);
    let event = raw(&[event]).pop().expect("one event");
    let attempt = ATTEMPT.to_owned();
    let join = Join { attempt, room_version: room_version::DEFAULT, event, keys: peers.keys() };
    let (joined, cost) = stand::ask(stand, &room, join).await;
    assert!(matches!(joined.outcome, Outcome::Accepted { .. }), "{joined:?}");
    println!("  join: {cost}, {}", memory());
}

async fn stage(
    stand: &Stand,
    room: &std::sync::Arc<Room>,
    peers: &Peers,
    events: &[Pdu],
    (begins, is_state): (bool, bool),
) -> Duration {
    let stage = Stage {
        attempt: ATTEMPT.to_owned(),
        begins,
        room_version: room_version::DEFAULT,
        events: raw(events),
        is_state,
        keys: peers.keys(),
    };
    stand::receive(stand, room, stage).await.time
}
