//! How long a message takes from the client that sends it on one server to the answer of the
//! long-poll on another one.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{Sizes, node::Node};
use crate::{
    api::{self, User},
    error::{Error, Result},
    http::{Connection, Request},
    news::News,
    report::Sheet,
    stats::Latencies,
    target::Target,
    window::Window,
    world::joined,
};

/// Ten messages a second.
const INTERVAL: Duration = Duration::from_millis(100);
/// Messages before those that are measured: connections are open then.
const WARM_UP: usize = 5;
/// For the long-poll to be under way before the first message.
const SETTLE: Duration = Duration::from_millis(500);
/// After the last message was sent, the receiver waits no longer.
const GRACE: Duration = Duration::from_secs(20);
const POLL_MS: u64 = 10_000;

/// What became of messages.
pub(super) struct Heard {
    pub(super) lags: Latencies,
    pub(super) sends: Latencies,
    pub(super) missed: usize,
}

/// Ten messages a second, from one Skerry to the other.
pub(super) async fn lag(program: &Path, sizes: Sizes, sheet: &mut Sheet) -> Result<()> {
    let (mut sender, receiver, room) = pair(program).await?;
    talk(&mut sender, &receiver, &room, WARM_UP, INTERVAL).await?;
    let probe = Node::probe(&[&sender, &receiver]);
    let window = Window::over(&probe, &sender.target);
    let mut heard = talk(&mut sender, &receiver, &room, sizes.lag_messages, INTERVAL).await?;
    let usage = window.close_over(&probe, &sender.target);
    sheet.percentiles(&mut heard.lags);
    sheet.figure("worst", heard.lags.percentile_ms(100), "ms");
    sheet.figure("send_p50", heard.sends.percentile_ms(50), "ms");
    sheet.figure("missed", heard.missed as f64, "messages");
    sheet.usage(usage);
    Ok(())
}

/// Two servers, and a room of the first one's user that the second one's has joined.
pub(super) async fn pair(program: &Path) -> Result<(Node, Node, String)> {
    let (mut first, mut second) = (Node::start(program).await?, Node::start(program).await?);
    let room = api::create_room(&mut first.connection, &first.user, "Both").await?;
    second.join(&room, &first.name()).await?;
    Ok((first, second, room))
}

/// Sends messages at this interval, and waits until the other server's user has read them.
pub(super) async fn talk(
    sender: &mut Node,
    receiver: &Node,
    room: &str,
    count: usize,
    every: Duration,
) -> Result<Heard> {
    let epoch = Instant::now();
    let (ready, is_ready) = oneshot::channel();
    let (finished, is_finished) = oneshot::channel();
    let mut tasks = JoinSet::new();
    let (target, user) = (Arc::clone(&receiver.target), receiver.user.clone());
    tasks.spawn(listen(target, user, epoch, count, ready, is_finished));
    // Where it is not sent, the receiver has failed, and says so below.
    if is_ready.await.is_ok() {
        sleep(SETTLE).await;
    }
    let sends = send_all(sender, room, epoch, count, every).await?;
    // The receiver may have heard everything already.
    let _ = finished.send(());
    let lags = match tasks.join_next().await {
        Some(lags) => joined(lags)?,
        None => Latencies::default(),
    };
    Ok(Heard { missed: count.saturating_sub(lags.count()), lags, sends })
}

async fn send_all(
    sender: &mut Node,
    room: &str,
    epoch: Instant,
    count: usize,
    every: Duration,
) -> Result<Latencies> {
    let path = api::room_path(room, "send/m.room.message/");
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sends = Latencies::default();
    for _ in 0..count {
        ticks.tick().await;
        let started = Instant::now();
        let sent_us = (started - epoch).as_micros();
        let path = format!("{path}{}", skerry_tests::unique("lag"));
        let body = format!(r#"{{"msgtype":"m.text","body":"Ahoy","sent_us":{sent_us}}}"#);
        sender.connection.call(Request::put(&path, &sender.user.token, &body)).await?;
        sends.push(started.elapsed());
    }
    Ok(sends)
}

async fn listen(
    target: Arc<Target>,
    user: User,
    epoch: Instant,
    count: usize,
    ready: oneshot::Sender<()>,
    mut is_finished: oneshot::Receiver<()>,
) -> Result<Latencies, Error> {
    let mut connection = Connection::new(&target);
    connection.call(Request::get("/_matrix/client/v3/sync?timeout=0", &user.token)).await?;
    let mut since = connection.json::<News>()?.next_batch;
    // Whoever sends is there as long as this is.
    let _ = ready.send(());
    let mut lags = Latencies::default();
    let mut deadline = None;
    while lags.count() < count && deadline.is_none_or(|it| Instant::now() < it) {
        let path =
            format!("/_matrix/client/v3/sync?timeout={POLL_MS}&since={}", api::encode(&since));
        connection.call(Request::get(&path, &user.token)).await?;
        let heard = epoch.elapsed();
        let news: News = connection.json()?;
        for sent_us in news.sent_us() {
            lags.push(heard.saturating_sub(Duration::from_micros(sent_us)));
        }
        since = news.next_batch;
        if deadline.is_none() && is_finished.try_recv().is_ok() {
            deadline = Some(Instant::now() + GRACE);
        }
    }
    Ok(lags)
}
