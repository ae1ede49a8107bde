//! The first sync of a new device of a user in many rooms.

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::sends;
use crate::{
    api,
    error::{Error, Result},
    http::Request,
    report::Sheet,
    stats::Latencies,
    window::Window,
    world::World,
};

#[derive(Deserialize)]
struct Sync {
    next_batch: String,
    #[serde(default)]
    rooms: Rooms,
}

#[derive(Default, Deserialize)]
struct Rooms {
    #[serde(default)]
    join: Map<String, Value>,
}

/// Syncs without a token, each time from a device just logged in: servers may keep the answer
/// for the next request of the same device. A server may give the rooms by the page; the time is
/// that until the last of them has come.
pub(crate) async fn initial_sync(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    sends::need_messages_in_rooms(world).await?;
    let owner = world.owner().await?;
    let mut latencies = Latencies::default();
    let mut first_ms = None;
    let mut bytes = 0;
    let window = Window::open(world);
    for _ in 0..world.scale.repeats {
        let device = api::log_in(&mut world.connection, &owner.id, &world.password).await?;
        let started = Instant::now();
        bytes = all_rooms(world, &device.token).await?;
        let latency = started.elapsed();
        latencies.push(latency);
        first_ms.get_or_insert(latency.as_secs_f64() * 1e3);
    }
    let usage = window.close(world);
    sheet.figure("first", first_ms.unwrap_or_default(), "ms");
    sheet.figure("p50", latencies.percentile_ms(50), "ms");
    sheet.figure("rooms", world.scale.rooms as f64, "rooms");
    sheet.figure("size", bytes as f64 / 1e3, "kB");
    sheet.usage(usage);
    Ok(())
}

/// Syncs until all rooms have come: the size of the answers, in bytes.
async fn all_rooms(world: &mut World, token: &str) -> Result<usize> {
    let mut path = "/_matrix/client/v3/sync?timeout=0".to_owned();
    let (mut rooms, mut bytes) = (0, 0);
    while rooms < world.scale.rooms {
        world.connection.call(Request::get(&path, token)).await?;
        let sync: Sync = world.connection.json()?;
        if sync.rooms.join.is_empty() {
            return Err(Error::Wrong(format!("the sync has {rooms} rooms only")));
        }
        rooms += sync.rooms.join.len();
        bytes += world.connection.body().len();
        path = format!("/_matrix/client/v3/sync?timeout=0&since={}", sync.next_batch);
    }
    Ok(bytes)
}
