//! Paging back through the whole history of a room.

use serde::{Deserialize, de::IgnoredAny};
use tokio::time::Instant;

use super::sends;
use crate::{
    api::{self, encode},
    error::{Error, Result},
    http::Request,
    report::Sheet,
    scale::PAGE,
    stats::Latencies,
    window::Window,
    world::World,
};

/// Far more than any room here has.
const MAX_PAGES: usize = 2_000;

#[derive(Deserialize)]
struct Page {
    chunk: Vec<IgnoredAny>,
    end: Option<String>,
}

/// Pages of 100 events, newest first, until the room begins. The rate counts the time of the
/// requests alone, not that of reading the answers.
pub(crate) async fn messages(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let room = sends::need_long_room(world).await?;
    let owner = world.owner().await?;
    let base = format!("{}?dir=b&limit={PAGE}", api::room_path(&room.id, "messages"));
    let mut path = base.clone();
    let mut latencies = Latencies::default();
    let mut events = 0;
    let window = Window::open(world);
    for _ in 0..MAX_PAGES {
        let started = Instant::now();
        world.connection.call(Request::get(&path, &owner.token)).await?;
        latencies.push(started.elapsed());
        let page: Page = world.connection.json()?;
        events += page.chunk.len();
        match page.end {
            Some(end) if !page.chunk.is_empty() => {
                path = format!("{base}&from={}", encode(&end));
            }
            Some(_) | None => break,
        }
    }
    let usage = window.close(world);
    if events < room.messages {
        return Err(Error::Wrong(format!("{events} events, but {} were sent", room.messages)));
    }
    sheet.figure("rate", events as f64 / latencies.total().as_secs_f64(), "events/s");
    sheet.figure("events", events as f64, "events");
    sheet.percentiles(&mut latencies);
    sheet.usage(usage);
    Ok(())
}
