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
    rooms: Rooms,
}

#[derive(Deserialize)]
struct Rooms {
    join: Map<String, Value>,
}

/// Syncs without a token, each time from a device just logged in: servers may keep the answer
/// for the next request of the same device.
pub(crate) async fn initial_sync(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    sends::need_messages_in_rooms(world).await?;
    let owner = world.owner().await?;
    let path = "/_matrix/client/v3/sync?timeout=0";
    let mut latencies = Latencies::default();
    let mut first_ms = None;
    let window = Window::open(world);
    for _ in 0..world.scale.repeats {
        let device = api::log_in(&mut world.connection, &owner.id, &world.password).await?;
        let started = Instant::now();
        world.connection.call(Request::get(path, &device.token)).await?;
        let latency = started.elapsed();
        latencies.push(latency);
        first_ms.get_or_insert(latency.as_secs_f64() * 1e3);
    }
    let usage = window.close(world);
    let rooms = world.connection.json::<Sync>()?.rooms.join.len();
    if rooms < world.scale.rooms {
        return Err(Error::Wrong(format!("the sync has {rooms} rooms only")));
    }
    sheet.figure("first", first_ms.unwrap_or_default(), "ms");
    sheet.figure("p50", latencies.percentile_ms(50), "ms");
    sheet.figure("rooms", rooms as f64, "rooms");
    sheet.figure("size", world.connection.body().len() as f64 / 1e3, "kB");
    sheet.usage(usage);
    Ok(())
}
