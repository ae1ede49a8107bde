//! Everybody joins one room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    api,
    error::{Error, Result},
    http::Connection,
    report::Sheet,
    scale::JOINERS,
    stats::Latencies,
    window::Window,
    world::{BigRoom, World, joined},
};

/// A join: when it was done, counted from the first request, and how long it took.
type Join = (Duration, Duration);

/// Joins a few at a time; the rate overall, of the first hundred and of the last.
pub(crate) async fn joins(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    world.joiners().await?;
    let window = Window::open(world);
    let joins = join_all(world).await?;
    let usage = window.close(world);
    let mut latencies = Latencies::default();
    for (_, latency) in &joins {
        latencies.push(*latency);
    }
    sheet.rate(joins.len(), &usage);
    let done: Vec<_> = joins.iter().map(|(done, _)| *done).collect();
    if let Some((first, last)) = edge_rates(&done, world.scale.join_window) {
        sheet.figure("first_rate", first, "/s");
        sheet.figure("last_rate", last, "/s");
        sheet.figure("last_to_first", last / first, "ratio");
    }
    sheet.percentiles(&mut latencies);
    sheet.usage(usage);
    Ok(())
}

/// The big room, with everybody in it.
pub(super) async fn need_big_room(world: &mut World) -> Result<BigRoom> {
    join_all(world).await?;
    world.big_room.clone().ok_or_else(|| Error::Wrong("there is no big room".to_owned()))
}

/// Joins everybody who has not joined, and returns the joins in the order they were done.
async fn join_all(world: &mut World) -> Result<Vec<Join>> {
    let users = Arc::new(world.joiners().await?);
    let owner = world.owner().await?;
    let mut room = if let Some(room) = world.big_room.clone() {
        room
    } else {
        let id = api::create_room(&mut world.connection, &owner, "Big").await?;
        BigRoom { id, joined: 0 }
    };
    let next = Arc::new(AtomicUsize::new(room.joined));
    let started = Instant::now();
    let deadline = started + world.scale.join_time;
    let mut tasks = JoinSet::new();
    for _ in 0..JOINERS {
        let mut connection = Connection::new(&world.target);
        let (users, next, room_id) = (Arc::clone(&users), Arc::clone(&next), room.id.clone());
        tasks.spawn(async move {
            let mut joins = Vec::new();
            while Instant::now() < deadline {
                let Some(user) = users.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let asked = Instant::now();
                api::join(&mut connection, user, &room_id).await?;
                joins.push((started.elapsed(), asked.elapsed()));
            }
            Ok::<_, Error>(joins)
        });
    }
    let mut joins = Vec::new();
    while let Some(part) = tasks.join_next().await {
        joins.extend(joined(part)?);
    }
    joins.sort_unstable();
    room.joined += joins.len();
    world.big_room = Some(room);
    Ok(joins)
}

/// Joins per second among the first and the last `window`, if there are that many twice.
fn edge_rates(done: &[Duration], window: usize) -> Option<(f64, f64)> {
    if window == 0 || done.len() < 2 * window {
        return None;
    }
    let first = done.get(window - 1)?;
    let last = done.last()?.saturating_sub(*done.get(done.len() - 1 - window)?);
    Some((window as f64 / first.as_secs_f64(), window as f64 / last.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::edge_rates;

    #[test]
    fn the_edges_are_told_apart() {
        // Ten joins at 10/s, then ten at 2/s.
        let done: Vec<_> = (1..=10)
            .map(|it| Duration::from_millis(it * 100))
            .chain((1..=10).map(|it| Duration::from_millis(1_000 + it * 500)))
            .collect();
        let (first, last) = edge_rates(&done, 10).expect("enough joins");
        assert!((first - 10.0).abs() < 1e-9 && (last - 2.0).abs() < 1e-9, "{first} {last}");
        assert!(edge_rates(&done, 11).is_none());
    }
}
