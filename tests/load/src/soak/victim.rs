//! The user whom nobody else's load is to concern: two messages a second into a room of two, and
//! a second device that waits for them.

use std::{cell::Cell, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    api::{self, User, encode},
    error::{Error, Result},
    http::{Connection, Request},
    news::News,
    report::Sheet,
    stats::Latencies,
    target::Target,
    world::World,
};

const INTERVAL: Duration = Duration::from_millis(500);
/// After the last message, the second device waits no longer.
const GRACE: Duration = Duration::from_secs(20);
const POLL_MS: u64 = 10_000;

/// A user with a room.
pub(super) struct Victim {
    target: Arc<Target>,
    phone: Arc<User>,
    laptop: User,
    room: String,
}

/// What became of the messages.
#[derive(Debug, Default)]
pub(super) struct Talked {
    sends: Latencies,
    heard: Latencies,
    failed: Vec<String>,
    polls_failed: usize,
    /// When the slowest was sent, and how long it took.
    worst: (Duration, Duration),
}

impl Victim {
    /// Makes the room, and logs the second device in.
    pub(super) async fn prepare(world: &mut World, users: &[Arc<User>]) -> Result<Self> {
        let [phone, friend] = users else {
            return Err(Error::Wrong("a room of two has two members".to_owned()));
        };
        let connection = &mut world.connection;
        let room = api::create_room(connection, phone, "Two").await?;
        api::join(connection, friend, &room).await?;
        let laptop = api::log_in(connection, &phone.id, &world.password).await?;
        Ok(Self { target: Arc::clone(&world.target), phone: Arc::clone(phone), laptop, room })
    }

    /// Whom hostile clients may name.
    pub(super) fn user_id(&self) -> &str {
        &self.phone.id
    }

    /// Sends and hears until then. What fails is noted and ends nothing.
    pub(super) async fn live(&self, until: Instant) -> Result<Talked> {
        // What is sent before the second device has a token is in its first answer, or is not.
        let mut laptop = Connection::new(&self.target);
        let since = self.sync(&mut laptop, None).await?.next_batch;
        let epoch = Instant::now();
        let sent = Cell::new(None);
        let (mut talked, (heard, polls_failed)) = tokio::join!(
            async {
                let talked = self.talk(epoch, until).await;
                sent.set(Some(talked.sends.count()));
                talked
            },
            self.listen((laptop, since), epoch, until + GRACE, &sent),
        );
        talked.heard = heard;
        talked.polls_failed = polls_failed;
        Ok(talked)
    }

    /// One more message, which has to be accepted.
    pub(super) async fn send_once(&self) -> Result<()> {
        self.send(&mut Connection::new(&self.target), "last", 0).await
    }

    async fn talk(&self, epoch: Instant, until: Instant) -> Talked {
        let mut connection = Connection::new(&self.target);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut talked = Talked::default();
        for number in 0_u64.. {
            ticks.tick().await;
            let at = epoch.elapsed();
            if epoch + at >= until {
                break;
            }
            let sent_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            let sent = self.send(&mut connection, &number.to_string(), sent_us).await;
            let took = epoch.elapsed().saturating_sub(at);
            match sent {
                Ok(()) => talked.sends.push(took),
                Err(error) => talked.failed.push(format!("{} s: {error}", at.as_secs())),
            }
            if took > talked.worst.1 {
                talked.worst = (at, took);
            }
        }
        talked
    }

    async fn send(&self, connection: &mut Connection, id: &str, sent_us: u64) -> Result<()> {
        let path = api::room_path(&self.room, "send/m.room.message/") + "soak" + id;
        let body = format!(r#"{{"msgtype":"m.text","body":"Ahoy","sent_us":{sent_us}}}"#);
        connection.call(Request::put(&path, &self.phone.token, &body)).await
    }

    /// What the second device heard, and how many of its polls failed. Ends when all that was sent
    /// is there, once it is known how much that is.
    async fn listen(
        &self,
        (mut connection, mut since): (Connection, String),
        epoch: Instant,
        until: Instant,
        sent: &Cell<Option<usize>>,
    ) -> (Latencies, usize) {
        let (mut heard, mut failed) = (Latencies::default(), 0);
        while sent.get().is_none_or(|it| heard.count() < it) && Instant::now() < until {
            let Ok(news) = self.sync(&mut connection, Some(&since)).await else {
                failed += 1;
                sleep(INTERVAL).await;
                continue;
            };
            let now = epoch.elapsed();
            let times = news.sent_us().map(Duration::from_micros);
            times.for_each(|at| heard.push(now.saturating_sub(at)));
            since = news.next_batch;
        }
        (heard, failed)
    }

    /// What is new to the second device, for which it waits if it has a token.
    async fn sync(&self, connection: &mut Connection, since: Option<&str>) -> Result<News> {
        let timeout = since.map_or(0, |_| POLL_MS);
        let mut path = format!("/_matrix/client/v3/sync?timeout={timeout}");
        if let Some(since) = since {
            path = path + "&since=" + &encode(since);
        }
        connection.call(Request::get(&path, &self.laptop.token)).await?;
        connection.json::<News>()
    }
}

impl Talked {
    /// Puts the times onto a sheet.
    pub(super) fn figures(&mut self, sheet: &mut Sheet) {
        sheet.figure("sends", self.sends.count() as f64, "messages");
        sheet.figure("send_p50", self.sends.percentile_ms(50), "ms");
        sheet.figure("send_p99", self.sends.percentile_ms(99), "ms");
        sheet.figure("send_worst", self.worst.1.as_secs_f64() * 1e3, "ms");
        sheet.figure("send_worst_at", self.worst.0.as_secs_f64(), "s");
        sheet.figure("heard_p50", self.heard.percentile_ms(50), "ms");
        sheet.figure("heard_p99", self.heard.percentile_ms(99), "ms");
        sheet.figure("heard_worst", self.heard.percentile_ms(100), "ms");
        let missed = self.sends.count().saturating_sub(self.heard.count());
        sheet.figure("missed", missed as f64, "messages");
        sheet.figure("polls_failed", self.polls_failed as f64, "polls");
    }

    /// What is to be said of sends that failed.
    pub(super) fn error(&self) -> Option<String> {
        let first = self.failed.first()?;
        Some(format!("{} sends of the victim failed, the first after {first}", self.failed.len()))
    }
}
