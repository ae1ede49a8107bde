//! A soak: mixed load for minutes or hours, hostile clients beside it, and what a user notices of
//! them; what the server's memory was before, at most, and in the quiet afterwards.

mod crowd;
mod dice;
mod hostile;
mod memory;
mod soaked;
mod victim;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

pub(crate) use self::{hostile::Kind, soaked::Soaked};
use self::{hostile::Party, memory::Memories, victim::Victim};
use crate::{
    api::User,
    error::Result,
    report::Sheet,
    stats::Latencies,
    window::Window,
    world::{World, joined},
};

/// Ordinary load alone, until the server's caches have what it needs.
const WARM_UP: Duration = Duration::from_secs(30);
/// Idle objects leave Skerry's memory after five minutes, and are looked for every half minute.
const QUIET: Duration = Duration::from_secs(400);
/// The victim and the friend who is in the room.
const VICTIMS: usize = 2;
const CROWD: usize = 30;
/// Users of each kind of hostile client.
const ATTACKERS: usize = 4;

/// What the command line says of a soak.
#[derive(Clone, Debug)]
pub(crate) struct Soak {
    /// How long there are hostile clients.
    pub(crate) load: Duration,
    pub(crate) kinds: Vec<Kind>,
    /// How long nothing is asked afterwards.
    pub(crate) quiet: Duration,
}

impl Default for Soak {
    fn default() -> Self {
        Self { load: Duration::from_mins(30), kinds: Kind::all(), quiet: QUIET }
    }
}

impl Soak {
    /// How long it takes, without what is prepared.
    pub(crate) fn duration(&self) -> Duration {
        WARM_UP + self.load + self.quiet
    }
}

/// Ordinary load, hostile clients beside it, then quiet.
pub(crate) async fn soak(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let Some(soak) = world.soak.clone() else { return Ok(()) };
    let victims = world.users(0..VICTIMS).await?;
    let victim = Victim::prepare(world, &victims).await?;
    let crowd = world.users(VICTIMS..VICTIMS + CROWD).await?;
    let parties = parties(world, &soak, &victim).await?;
    let mut memories = Memories::default();

    let started = Instant::now();
    let hostile_from = started + WARM_UP;
    let until = hostile_from + soak.load;
    let target = Arc::clone(&world.target);
    let ordinary = tokio::spawn(crowd::crowd(target, crowd, hostile_from, until));
    sleep_until(hostile_from).await;
    memories.begin(&world.probe);

    let window = Window::open(world);
    let hostile = hostile::start(parties, until);
    let (talked, ()) = tokio::join!(victim.live(until), memories.watch(&world.probe, until));
    let mut talked = talked?;
    let usage = window.close(world);
    let hostile = hostile.finish().await?;
    let (mut busy, crowd_error) = match joined(ordinary.await) {
        Ok(latencies) => (latencies, None),
        Err(error) => (Latencies::default(), Some(format!("the crowd: {error}"))),
    };
    memories.watch(&world.probe, Instant::now() + soak.quiet).await;
    memories.end(&world.probe);

    talked.figures(sheet);
    sheet.figure("crowd_sends", busy.count() as f64, "messages");
    sheet.figure("crowd_send_p50", busy.percentile_ms(50), "ms");
    sheet.figure("crowd_send_p99", busy.percentile_ms(99), "ms");
    memories.figures(sheet);
    if let Some(bytes) = usage.disk_growth_bytes {
        sheet.figure("data_growth", bytes / 1e6, "MB");
    }
    sheet.usage(usage);
    sheet.error =
        talked.error().or(crowd_error).or_else(|| hostile.iter().find_map(hostile::Line::error));
    sheet.soak = Some(Soaked::new(hostile, memories));
    // A server that was worn out would show it here.
    victim.send_once().await
}

/// Users for every kind of hostile client that was asked for.
async fn parties(world: &mut World, soak: &Soak, victim: &Victim) -> Result<Vec<Party>> {
    let mut parties = Vec::new();
    let mut next = VICTIMS + CROWD;
    for kind in &soak.kinds {
        let users: Vec<Arc<User>> = world.users(next..next + ATTACKERS).await?;
        next += ATTACKERS;
        parties.push(Party::new(*kind, &world.target, users, victim.user_id()));
    }
    // Registrations leave work behind: hashes, rows, connections.
    sleep(Duration::from_secs(1)).await;
    Ok(parties)
}
