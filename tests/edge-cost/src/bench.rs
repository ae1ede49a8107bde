//! What all operations share: the server, the meter, accounts, and the report that grows.

use std::{
    any::Any,
    io::{self, Write},
    panic::AssertUnwindSafe,
};

use futures_util::FutureExt as _;
use skerry_tests::{Host, Server, User};

use crate::{
    meter::Meter,
    options::Options,
    readers::Reader,
    report::{Measured, Report, Row},
    world,
};

/// The classes of the objects.
const ROOM: &str = "RoomObject";
const USER: &str = "UserObject";

/// A run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) meter: Meter,
    pub(crate) report: Report,
    users: Vec<User>,
}

impl Bench {
    /// Starts the Worker with fresh data.
    pub(crate) async fn start(options: &Options) -> Self {
        let server = Server::start(
            Host::Worker,
            skerry_tests::Options {
                worker_build: options.build.clone(),
                is_counted: true,
                ..skerry_tests::Options::default()
            },
        );
        let meter = Meter::new(&server, options.explains).await;
        let report = Report { is_full: options.size.is_full, ..Report::default() };
        Self { server, meter, report, users: Vec::new() }
    }

    /// The first so many of the accounts that operations share.
    pub(crate) async fn users(&mut self, count: usize) -> Vec<User> {
        let missing = count.saturating_sub(self.users.len());
        if missing > 0 {
            let stem = format!("member{}-", self.users.len());
            self.users.extend(world::register(&self.server, &stem, missing).await);
        }
        self.users.iter().take(count).cloned().collect()
    }

    /// Clients of the first so many of the accounts.
    pub(crate) async fn readers(&mut self, count: usize) -> Vec<Reader> {
        let mut readers = Vec::with_capacity(count);
        for user in self.users(count).await {
            readers.push(Reader::new(&user).await);
        }
        readers
    }

    /// Waits until nothing happens and no alarm is due, with the room in memory all the time.
    pub(crate) async fn calm_and_warm(&self, user: &User, room: &str) {
        let keep_awake = async || drop(user.state(room, "m.room.create", "").ok().await);
        self.meter.calm_while(keep_awake).await;
    }

    /// Makes a room and these users leave memory, as after a quiet spell.
    pub(crate) fn forget<'a>(
        &mut self,
        rooms: impl IntoIterator<Item = &'a String>,
        users: impl IntoIterator<Item = &'a User>,
    ) {
        for room in rooms {
            self.server.evict_if_awake(ROOM, room);
        }
        for user in users {
            self.server.evict_if_awake(USER, &user.id);
        }
    }

    /// Adds a line to the report: of what was measured, or of why it could not be.
    pub(crate) async fn row(
        &mut self,
        name: &str,
        does: &str,
        measure: impl AsyncFnOnce(&mut Self) -> Measured,
    ) {
        let _ = writeln!(io::stderr(), "{name} ...");
        let done = AssertUnwindSafe(measure(self)).catch_unwind().await;
        let (measured, failed) = match done {
            Ok(measured) => (Some(measured), None),
            Err(cause) => (None, Some(text(&*cause))),
        };
        let (name, does) = (name.to_owned(), does.to_owned());
        self.report.rows.push(Row { name, does, measured, failed });
    }

    /// What was measured under that name earlier in this run.
    pub(crate) fn earlier(&self, name: &str) -> Measured {
        self.report.find(name).cloned().expect("what this is compared with was measured")
    }
}

fn text(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("it failed");
    text.chars().take(300).collect()
}
