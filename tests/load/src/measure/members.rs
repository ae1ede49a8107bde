//! Members and state of the big room.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::joins;
use crate::{
    api::{self, User},
    error::{Error, Result},
    http::Request,
    report::Sheet,
    stats::Latencies,
    window::Window,
    world::World,
};

#[derive(Deserialize)]
struct JoinedMembers {
    joined: Map<String, Value>,
}

/// The median of some answers of each endpoint, one after the other.
pub(crate) async fn members(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let room = joins::need_big_room(world).await?;
    let owner = world.owner().await?;
    let window = Window::open(world);
    let (members, members_bytes) = median(world, &owner, &room.id, "members").await?;
    let (state, state_bytes) = median(world, &owner, &room.id, "state").await?;
    let (joined, _) = median(world, &owner, &room.id, "joined_members").await?;
    let usage = window.close(world);
    let count = world.connection.json::<JoinedMembers>()?.joined.len();
    if count != room.joined + 1 {
        return Err(Error::Wrong(format!("{count} members of {}", room.joined + 1)));
    }
    sheet.figure("members_p50", members, "ms");
    sheet.figure("joined_members_p50", joined, "ms");
    sheet.figure("state_p50", state, "ms");
    sheet.figure("members_size", members_bytes / 1e3, "kB");
    sheet.figure("state_size", state_bytes / 1e3, "kB");
    sheet.figure("count", count as f64, "members");
    sheet.usage(usage);
    Ok(())
}

/// The median latency in milliseconds, and the bytes of the last answer.
async fn median(
    world: &mut World,
    user: &Arc<User>,
    room_id: &str,
    endpoint: &str,
) -> Result<(f64, f64)> {
    let path = api::room_path(room_id, endpoint);
    let mut latencies = Latencies::default();
    for _ in 0..world.scale.repeats {
        let started = Instant::now();
        world.connection.call(Request::get(&path, &user.token)).await?;
        latencies.push(started.elapsed());
    }
    Ok((latencies.percentile_ms(50), world.connection.body().len() as f64))
}
