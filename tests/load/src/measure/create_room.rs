//! Room creation, one after the other, and the rooms that spread sends and syncs use.

use std::sync::Arc;

use tokio::{task::JoinSet, time::Instant};

use crate::{
    api,
    error::Result,
    http::Connection,
    report::Sheet,
    scale::SENDERS,
    stats::Latencies,
    window::Window,
    world::{World, joined},
};

/// One user creates all the rooms in turn.
pub(crate) async fn create_room(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    world.owner().await?;
    let window = Window::open(world);
    let mut latencies = create_rooms(world).await?;
    let usage = window.close(world);
    sheet.rate(latencies.count(), &usage);
    sheet.figure("first", latencies.first_ms(), "ms");
    sheet.percentiles(&mut latencies);
    sheet.usage(usage);
    Ok(())
}

/// Makes the rooms if they are missing, each with one sender as its second member.
pub(super) async fn need_rooms(world: &mut World) -> Result<()> {
    create_rooms(world).await?;
    let senders = world.senders().await?;
    let mut tasks = JoinSet::new();
    for (number, sender) in senders.into_iter().enumerate() {
        let mut connection = Connection::new(&world.target);
        let rooms: Vec<_> = world.rooms.iter().skip(number).step_by(SENDERS).cloned().collect();
        tasks.spawn(async move {
            for room in rooms {
                api::join(&mut connection, &sender, &room).await?;
            }
            Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        joined(task)?;
    }
    Ok(())
}

async fn create_rooms(world: &mut World) -> Result<Latencies> {
    let owner = Arc::clone(&world.owner().await?);
    let mut latencies = Latencies::default();
    while world.rooms.len() < world.scale.rooms {
        let name = format!("Room {}", world.rooms.len());
        let started = Instant::now();
        let room = api::create_room(&mut world.connection, &owner, &name).await?;
        latencies.push(started.elapsed());
        world.rooms.push(room);
    }
    Ok(latencies)
}
