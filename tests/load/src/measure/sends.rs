//! Messages from 16 clients at once: over many rooms, into one room, into the big room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::{create_room, joins};
use crate::{
    api::{self, User},
    error::{Error, Result},
    http::{Connection, Request},
    report::Sheet,
    scale::SENDERS,
    stats::Latencies,
    window::{Usage, Window},
    world::{SharedRoom, World, joined},
};

/// Messages into each room of a preparation that stands in for the measured sends.
const MESSAGES_PER_ROOM: usize = 12;
/// The text of every message: as long as people's messages are on average, roughly.
const TEXT: &str = "The ferry leaves the skerry at noon, wind permitting; bring bread and rope.";
const DISK_MESSAGES: f64 = 10_000.0;

/// A user's place in a room.
#[derive(Clone, Debug)]
struct Seat {
    user: Arc<User>,
    /// The path of a send, up to the transaction ID.
    path: String,
}

/// What is left to send, for all clients together.
#[derive(Debug)]
struct Budget {
    taken: AtomicUsize,
    count: usize,
    deadline: Instant,
}

/// Over 200 rooms of two members.
pub(crate) async fn spread(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    create_room::need_rooms(world).await?;
    let seats = spread_seats(world).await?;
    let count = world.scale.spread_sends;
    measured(world, sheet, &seats, count).await?;
    world.rooms_have_messages = true;
    Ok(())
}

/// Into one room of 17 members.
pub(crate) async fn shared(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let (mut room, seats) = shared_seats(world).await?;
    let count = world.scale.shared_sends;
    room.messages += measured(world, sheet, &seats, count).await?;
    world.shared_room = Some(room);
    Ok(())
}

/// Into the room that everybody has joined.
pub(crate) async fn big(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let room = joins::need_big_room(world).await?;
    let seats = one_room_seats(&world.senders().await?, &room.id);
    let count = world.scale.big_sends;
    measured(world, sheet, &seats, count).await?;
    Ok(())
}

/// Sees to it that the rooms have some history.
pub(super) async fn need_messages_in_rooms(world: &mut World) -> Result<()> {
    if !world.rooms_have_messages {
        create_room::need_rooms(world).await?;
        let seats = spread_seats(world).await?;
        let count = world.scale.spread_rooms * MESSAGES_PER_ROOM;
        pump(world, &seats, count, world.scale.fill_time).await?;
        world.rooms_have_messages = true;
    }
    Ok(())
}

/// Sees to it that the shared room holds as many messages as paging wants, time permitting.
pub(super) async fn need_long_room(world: &mut World) -> Result<SharedRoom> {
    let (mut room, seats) = shared_seats(world).await?;
    let missing = world.scale.page_events.saturating_sub(room.messages);
    room.messages += pump(world, &seats, missing, world.scale.fill_time).await?.count();
    world.shared_room = Some(room.clone());
    Ok(room)
}

async fn spread_seats(world: &mut World) -> Result<Vec<Vec<Seat>>> {
    let senders = world.senders().await?;
    let rooms = world.rooms.get(..world.scale.spread_rooms).unwrap_or(&world.rooms);
    let seats = senders.iter().enumerate().map(|(number, user)| {
        rooms.iter().skip(number).step_by(SENDERS).map(|room| seat(user, room)).collect()
    });
    Ok(seats.collect())
}

async fn shared_seats(world: &mut World) -> Result<(SharedRoom, Vec<Vec<Seat>>)> {
    let senders = world.senders().await?;
    let room = if let Some(room) = world.shared_room.take() {
        room
    } else {
        let owner = world.owner().await?;
        let id = api::create_room(&mut world.connection, &owner, "Shared").await?;
        for sender in &senders {
            api::join(&mut world.connection, sender, &id).await?;
        }
        SharedRoom { id, messages: 0 }
    };
    world.shared_room = Some(room.clone());
    let seats = one_room_seats(&senders, &room.id);
    Ok((room, seats))
}

fn one_room_seats(senders: &[Arc<User>], room_id: &str) -> Vec<Vec<Seat>> {
    senders.iter().map(|user| vec![seat(user, room_id)]).collect()
}

fn seat(user: &Arc<User>, room_id: &str) -> Seat {
    Seat { user: Arc::clone(user), path: api::room_path(room_id, "send/m.room.message/") }
}

/// Sends once from every seat unmeasured, then `count` times measured. Returns how many in all.
async fn measured(
    world: &World,
    sheet: &mut Sheet,
    seats: &[Vec<Seat>],
    count: usize,
) -> Result<usize> {
    let places = seats.iter().map(Vec::len).sum();
    let warm = pump(world, seats, places, world.scale.send_time).await?.count();
    let window = Window::open(world);
    let mut latencies = pump(world, seats, count, world.scale.send_time).await?;
    let usage = window.close(world);
    report(sheet, &mut latencies, usage);
    Ok(warm + latencies.count())
}

fn report(sheet: &mut Sheet, latencies: &mut Latencies, usage: Usage) {
    let count = latencies.count() as f64;
    sheet.rate(latencies.count(), &usage);
    sheet.percentiles(latencies);
    if let Some(seconds) = usage.server_cpu_seconds {
        sheet.figure("server_cpu", seconds * 1e3 / count, "ms/message");
    }
    if let Some(bytes) = usage.disk_growth_bytes {
        sheet.figure("disk", bytes / 1e6 * DISK_MESSAGES / count, "MB/10,000");
    }
    sheet.usage(usage);
}

/// Sends `count` messages, or as many as there is time for, from all seats at once.
async fn pump(
    world: &World,
    seats: &[Vec<Seat>],
    count: usize,
    time: Duration,
) -> Result<Latencies> {
    let deadline = Instant::now() + time;
    let budget = Arc::new(Budget { taken: AtomicUsize::new(0), count, deadline });
    let mut tasks = JoinSet::new();
    for seats in seats {
        let connection = Connection::new(&world.target);
        tasks.spawn(send_all(connection, seats.clone(), Arc::clone(&budget)));
    }
    let mut latencies = Latencies::default();
    while let Some(part) = tasks.join_next().await {
        latencies.merge(joined(part)?);
    }
    Ok(latencies)
}

async fn send_all(
    mut connection: Connection,
    seats: Vec<Seat>,
    budget: Arc<Budget>,
) -> Result<Latencies, Error> {
    /// Makes transaction IDs differ between the pumps of a run; devices are new in each run.
    static TRANSACTION: AtomicUsize = AtomicUsize::new(0);

    let body = format!(r#"{{"msgtype":"m.text","body":"{TEXT}"}}"#);
    let mut latencies = Latencies::default();
    let mut path = String::new();
    for seat in seats.iter().cycle() {
        let started = Instant::now();
        let number = budget.taken.fetch_add(1, Ordering::Relaxed);
        if number >= budget.count || started >= budget.deadline {
            break;
        }
        path.clear();
        path.push_str(&seat.path);
        path.push_str(&TRANSACTION.fetch_add(1, Ordering::Relaxed).to_string());
        connection.call(Request::put(&path, &seat.user.token, &body)).await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}
