//! Ordinary load: people who chat in a few rooms, with what their clients do beside it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::dice::Dice;
use crate::{
    api::{self, User, encode},
    error::Result,
    http::{Connection, Request},
    stats::Latencies,
    target::Target,
    world::joined,
};

const ROOMS: usize = 6;
/// Rooms of each user.
const ROOMS_EACH: usize = 2;
/// Between two things that a user does, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 2_000..6_000;
const POLL_MS: u64 = 30_000;

/// Lives until then. Returns how long sends took from `count_from` on.
pub(super) async fn crowd(
    target: Arc<Target>,
    users: Vec<Arc<User>>,
    count_from: Instant,
    until: Instant,
) -> Result<Latencies> {
    let rooms = prepare(&target, &users).await?;
    let mut tasks = JoinSet::new();
    for (number, user) in users.into_iter().enumerate() {
        let mine: Vec<_> =
            (0..ROOMS_EACH).filter_map(|it| rooms.get((number + it) % ROOMS).cloned()).collect();
        let ears = listen(Connection::new(&target), Arc::clone(&user));
        tasks.spawn(async move {
            let _ = timeout_at(until, ears).await;
            Ok(Latencies::default())
        });
        let connection = Connection::new(&target);
        let person = Person { connection, user, rooms: mine, dice: Dice::new(number as u64) };
        tasks.spawn(person.live(count_from, until));
    }
    let mut latencies = Latencies::default();
    while let Some(part) = tasks.join_next().await {
        latencies.merge(joined(part)?);
    }
    Ok(latencies)
}

/// The rooms, with everybody in theirs.
async fn prepare(target: &Arc<Target>, users: &[Arc<User>]) -> Result<Vec<String>> {
    let mut connection = Connection::new(target);
    let mut rooms = Vec::new();
    for user in users.iter().take(ROOMS) {
        rooms.push(api::create_room(&mut connection, user, "Crowd").await?);
    }
    for (number, user) in users.iter().enumerate() {
        for place in 0..ROOMS_EACH {
            if let Some(room) = rooms.get((number + place) % ROOMS) {
                api::join(&mut connection, user, room).await?;
            }
        }
    }
    Ok(rooms)
}

/// Long-polls for ever.
async fn listen(mut connection: Connection, user: Arc<User>) -> Result<()> {
    let mut path = "/_matrix/client/v3/sync?timeout=0".to_owned();
    loop {
        connection.call(Request::get(&path, &user.token)).await?;
        let sync: Value = connection.json()?;
        let since = sync.get("next_batch").and_then(Value::as_str).unwrap_or_default();
        path = format!("/_matrix/client/v3/sync?timeout={POLL_MS}&since={}", encode(since));
    }
}

struct Person {
    connection: Connection,
    user: Arc<User>,
    rooms: Vec<String>,
    dice: Dice,
}

impl Person {
    async fn live(mut self, count_from: Instant, until: Instant) -> Result<Latencies> {
        let mut sends = Latencies::default();
        // The newest own message: its room, and its event ID.
        let mut last: Option<(String, String)> = None;
        for number in 0_u64.. {
            let pause = PAUSE_MS.start + self.dice.roll(PAUSE_MS.end - PAUSE_MS.start);
            sleep(Duration::from_millis(pause)).await;
            let started = Instant::now();
            let place = self.dice.roll(ROOMS_EACH as u64);
            let room = usize::try_from(place).ok().and_then(|it| self.rooms.get(it)).cloned();
            let Some(room) = room.filter(|_| started < until) else { break };
            match (self.dice.roll(20), &last) {
                (0, _) => self.read("/_matrix/client/v3/sync?timeout=0").await?,
                (1, _) => {
                    self.post(&room, "leave", "{}").await?;
                    self.post(&room, "join", "{}").await?;
                }
                (2..5, _) => self.type_(&room).await?,
                (5..9, Some((room, event))) => {
                    let endpoint = format!("receipt/m.read/{}", encode(event));
                    self.post(room, &endpoint, "{}").await?;
                }
                (9, _) => self.read(&api::room_path(&room, "messages?dir=b&limit=30")).await?,
                _ => {
                    let event = self.send(&room, number).await?;
                    if started >= count_from {
                        sends.push(started.elapsed());
                    }
                    last = Some((room, event));
                }
            }
        }
        Ok(sends)
    }

    async fn send(&mut self, room: &str, number: u64) -> Result<String> {
        let path = api::room_path(room, &format!("send/m.room.message/crowd{number}"));
        let body = r#"{"msgtype":"m.text","body":"What a fine day, is it not?"}"#;
        self.connection.call(Request::put(&path, &self.user.token, body)).await?;
        let answer: Value = self.connection.json()?;
        Ok(answer.get("event_id").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    async fn type_(&mut self, room: &str) -> Result<()> {
        let path = api::room_path(room, &format!("typing/{}", encode(&self.user.id)));
        let request = Request::put(&path, &self.user.token, r#"{"typing":true,"timeout":5000}"#);
        self.connection.call(request).await
    }

    async fn read(&mut self, path: &str) -> Result<()> {
        self.connection.call(Request::get(path, &self.user.token)).await
    }

    async fn post(&mut self, room: &str, endpoint: &str, body: &str) -> Result<()> {
        let path = api::room_path(room, endpoint);
        self.connection.call(Request::post(&path, &self.user.token, body)).await
    }
}
