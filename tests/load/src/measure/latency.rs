//! How long a message takes from its sender to the clients that wait for it in `/sync`.
//!
//! A message carries the time at which it was sent. Sender and receivers are one process, so
//! there is one clock, and every receiver counts the time until it has the whole answer.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    api::{self, User},
    error::{Error, Result},
    http::{Connection, Request},
    news::News,
    report::Sheet,
    scale::{LATENCY_INTERVAL, RECEIVERS},
    stats::Latencies,
    window::Window,
    world::{World, joined},
};

/// For the long-polls to be under way before the first message.
const SETTLE: Duration = Duration::from_millis(500);
/// After the time of the last message, a receiver waits no longer.
const GRACE: Duration = Duration::from_secs(20);
const POLL_MS: u64 = 10_000;

/// What the receivers have in common.
#[derive(Clone, Debug)]
struct Listening {
    epoch: Instant,
    ready: Arc<Barrier>,
    messages: usize,
}

/// Four messages a second into a room with ten receivers.
pub(crate) async fn latency(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let (sender, receivers) = world.latency_users().await?;
    let room = api::create_room(&mut world.connection, &sender, "Latency").await?;
    for receiver in &receivers {
        api::join(&mut world.connection, receiver, &room).await?;
    }
    let messages = world.scale.latency_messages;
    let ready = Arc::new(Barrier::new(receivers.len() + 1));
    let listening = Listening { epoch: Instant::now(), ready: Arc::clone(&ready), messages };
    let mut tasks = JoinSet::new();
    for receiver in receivers {
        tasks.spawn(listen(Connection::new(&world.target), receiver, listening.clone()));
    }
    tokio::select! {
        _ = ready.wait() => {}
        // No receiver ends before all are ready, but in failure.
        Some(failed) = tasks.join_next() => { joined(failed)?; }
    }
    sleep(SETTLE).await;
    let window = Window::open(world);
    let mut sends = talk(world, &sender, &room, listening.epoch).await?;
    let mut latencies = Latencies::default();
    while let Some(heard) = tasks.join_next().await {
        latencies.merge(joined(heard)?);
    }
    let usage = window.close(world);
    sheet.percentiles(&mut latencies);
    sheet.figure("send_p50", sends.percentile_ms(50), "ms");
    sheet.figure("missed", (messages * RECEIVERS - latencies.count()) as f64, "messages");
    sheet.usage(usage);
    Ok(())
}

async fn talk(world: &mut World, sender: &User, room: &str, epoch: Instant) -> Result<Latencies> {
    let path = api::room_path(room, "send/m.room.message/");
    let mut ticks = interval(LATENCY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sends = Latencies::default();
    for number in 0..world.scale.latency_messages {
        ticks.tick().await;
        let path = format!("{path}latency{number}");
        let started = Instant::now();
        let sent_us = (started - epoch).as_micros();
        let body = format!(r#"{{"msgtype":"m.text","body":"Ahoy","sent_us":{sent_us}}}"#);
        world.connection.call(Request::put(&path, &sender.token, &body)).await?;
        sends.push(started.elapsed());
    }
    Ok(sends)
}

async fn listen(
    mut connection: Connection,
    user: Arc<User>,
    listening: Listening,
) -> Result<Latencies, Error> {
    let first = "/_matrix/client/v3/sync?timeout=0";
    connection.call(Request::get(first, &user.token)).await?;
    let mut since = connection.json::<News>()?.next_batch;
    listening.ready.wait().await;
    let count = u32::try_from(listening.messages).unwrap_or(u32::MAX);
    let deadline = Instant::now() + SETTLE + LATENCY_INTERVAL * count + GRACE;
    let mut latencies = Latencies::default();
    while latencies.count() < listening.messages && Instant::now() < deadline {
        let path =
            format!("/_matrix/client/v3/sync?timeout={POLL_MS}&since={}", api::encode(&since));
        connection.call(Request::get(&path, &user.token)).await?;
        let heard = listening.epoch.elapsed();
        let news: News = connection.json()?;
        for sent_us in news.sent_us() {
            latencies.push(heard.saturating_sub(Duration::from_micros(sent_us)));
        }
        since = news.next_batch;
    }
    Ok(latencies)
}
