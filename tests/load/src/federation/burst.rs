//! Many messages at once: how long until the other server's user has read the last of them.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Sizes,
    lag::{pair, talk},
    node::Node,
};
use crate::{
    api::{self, User},
    error::{Error, Result},
    http::{Connection, Request},
    news::{Event, News},
    report::Sheet,
    target::Target,
    window::Window,
    world::joined,
};

/// Connections over which they are sent.
const SENDERS: usize = 8;
/// Messages before the burst, and their interval.
const WARM_UP: (usize, Duration) = (5, Duration::from_millis(100));
/// Longer than any burst takes.
const LIMIT: Duration = Duration::from_mins(2);
const POLL_MS: u64 = 10_000;

#[derive(Deserialize)]
struct Page {
    chunk: Vec<Event>,
    end: Option<String>,
}

/// Sends as fast as the first server answers.
pub(super) async fn burst(program: &Path, sizes: Sizes, sheet: &mut Sheet) -> Result<()> {
    let count = sizes.burst_messages;
    let (mut sender, mut receiver, room) = pair(program).await?;
    talk(&mut sender, &receiver, &room, WARM_UP.0, WARM_UP.1).await?;
    let since = sync(&mut receiver.connection, &receiver.user, None).await?.next_batch;
    let probe = Node::probe(&[&sender, &receiver]);
    let window = Window::over(&probe, &sender.target);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..SENDERS {
        let (target, user) = (Arc::clone(&sender.target), sender.user.clone());
        tasks.spawn(send_some(target, user, room.clone(), Arc::clone(&next), count));
    }
    let sending = async {
        while let Some(sent) = tasks.join_next().await {
            joined(sent)?;
        }
        Ok::<_, Error>(started.elapsed())
    };
    let reading = async {
        read_all(&mut receiver, &room, since, count).await?;
        Ok::<_, Error>(started.elapsed())
    };
    let both = async { tokio::try_join!(sending, reading) };
    let (sent, whole) = tokio::time::timeout(LIMIT, both)
        .await
        .map_err(|_| Error::Timeout { what: "a burst".to_owned(), limit: LIMIT })??;
    let usage = window.close_over(&probe, &sender.target);
    sheet.figure("whole", whole.as_secs_f64() * 1e3, "ms");
    sheet.figure("sent", sent.as_secs_f64() * 1e3, "ms");
    sheet.figure("count", count as f64, "");
    sheet.usage(usage);
    Ok(())
}

/// Takes the next number as long as there is one, and sends it.
async fn send_some(
    target: Arc<Target>,
    user: User,
    room: String,
    next: Arc<AtomicUsize>,
    count: usize,
) -> Result<()> {
    let mut connection = Connection::new(&target);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        let path = api::room_path(&room, &format!("send/m.room.message/burst{number}"));
        let body = format!(r#"{{"msgtype":"m.text","body":"Ahoy","sent_us":{number}}}"#);
        connection.call(Request::put(&path, &user.token, &body)).await?;
    }
}

/// Reads on until every number was there, in syncs or in what they leave out.
async fn read_all(node: &mut Node, room: &str, mut since: String, count: usize) -> Result<()> {
    let mut found = BTreeSet::new();
    while found.len() < count {
        let news = sync(&mut node.connection, &node.user, Some(&since)).await?;
        found.extend(news.sent_us());
        let mut gap = news.gap().map(str::to_owned);
        while let Some(from) = gap {
            let path = format!("messages?dir=b&limit=1000&from={}", api::encode(&from));
            let path = api::room_path(room, &path);
            node.connection.call(Request::get(&path, &node.user.token)).await?;
            let page: Page = node.connection.json()?;
            let before = found.len();
            found.extend(page.chunk.iter().filter_map(Event::sent_us));
            // Where there is nothing new, the gap is closed.
            gap = page.end.filter(|_| found.len() > before);
        }
        since = news.next_batch;
    }
    Ok(())
}

async fn sync(connection: &mut Connection, user: &User, since: Option<&str>) -> Result<News> {
    let filter = api::encode(r#"{"room":{"timeline":{"limit":1000}}}"#);
    let since = since.map_or("timeout=0".to_owned(), |it| {
        format!("timeout={POLL_MS}&since={}", api::encode(it))
    });
    let path = format!("/_matrix/client/v3/sync?filter={filter}&{since}");
    connection.call(Request::get(&path, &user.token)).await?;
    connection.json()
}
