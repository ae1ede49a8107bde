//! Skerrys that talk to each other, and to scripted servers that sign what they send.
//!
//! Servers of one program are started here, as the black-box suite starts them: each at its own
//! name with TLS, through relays of this process, with its data in memory.

mod burst;
mod inbound;
mod joins;
mod lag;
mod node;
mod outages;
mod rooms;

use std::{fs, path::PathBuf, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    error::{Error, Result},
    probe::client_cpu,
    report::{Report, Sheet},
    scale::MEASURE_LIMIT,
    world::joined,
};

/// What the command line says of servers that talk to each other.
#[derive(Debug)]
pub(crate) struct Federation {
    /// The native server's program.
    pub(crate) program: PathBuf,
    /// In the order that the command line has them.
    pub(crate) parts: Vec<Part>,
}

/// A measurement; each has servers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    RemoteJoin,
    RemoteJoinBig,
    RemoteJoinSynapse,
    Inbound,
    InboundRooms,
    Lag,
    Burst,
    Outages,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Rooms that are joined, and the members of each.
    rooms: usize,
    members: usize,
    big_members: usize,
    transactions: usize,
    lag_messages: usize,
    burst_messages: usize,
    /// Scripted servers in one room, and how many of them die.
    destinations: usize,
    dead: usize,
    outage_messages: usize,
    /// How often an outage is looked at; a part of the time that its messages take.
    outage_slice: Duration,
}

impl Sizes {
    fn of(scale: &str) -> Result<Self> {
        match scale {
            "full" => Ok(Self {
                rooms: 5,
                members: 1_000,
                big_members: 20_000,
                transactions: 200,
                lag_messages: 300,
                burst_messages: 1_000,
                destinations: 200,
                dead: 40,
                outage_messages: 120,
                outage_slice: Duration::from_secs(10),
            }),
            "small" => Ok(Self {
                rooms: 2,
                members: 60,
                big_members: 300,
                transactions: 6,
                lag_messages: 20,
                burst_messages: 60,
                destinations: 8,
                dead: 2,
                outage_messages: 12,
                outage_slice: Duration::from_secs(1),
            }),
            _ => Err(Error::Usage(format!("--federation has no scale {scale}"))),
        }
    }
}

impl Part {
    /// All of them, in the order they run unless the command line says otherwise.
    pub(crate) const ALL: [Self; 8] = [
        Self::RemoteJoin,
        Self::RemoteJoinBig,
        Self::RemoteJoinSynapse,
        Self::Inbound,
        Self::InboundRooms,
        Self::Lag,
        Self::Burst,
        Self::Outages,
    ];

    /// Its name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RemoteJoin => "remote_join",
            Self::RemoteJoinBig => "remote_join_big",
            Self::RemoteJoinSynapse => "remote_join_synapse",
            Self::Inbound => "inbound",
            Self::InboundRooms => "inbound_rooms",
            Self::Lag => "lag",
            Self::Burst => "burst",
            Self::Outages => "outages",
        }
    }

    /// The measurement of that name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| {
            Error::Usage(format!("no measurement of --federation is called {name:?} (try --list)"))
        })
    }

    async fn run(self, program: PathBuf, sizes: Sizes) -> Result<Sheet> {
        let mut sheet = Sheet::new(self.name());
        match self {
            Self::RemoteJoin => joins::several(&program, sizes, &mut sheet).await?,
            Self::RemoteJoinBig => joins::big(&program, sizes, &mut sheet).await?,
            Self::RemoteJoinSynapse => joins::from_synapse(&program, sizes, &mut sheet).await?,
            Self::Inbound => inbound::inbound(&program, sizes, 1, &mut sheet).await?,
            Self::InboundRooms => {
                inbound::inbound(&program, sizes, inbound::ROOMS, &mut sheet).await?;
            }
            Self::Lag => lag::lag(&program, sizes, &mut sheet).await?,
            Self::Burst => burst::burst(&program, sizes, &mut sheet).await?,
            Self::Outages => outages::outages(&program, sizes, &mut sheet).await?,
        }
        Ok(sheet)
    }
}

impl Federation {
    /// Runs the measurements in turn. `progress` gets a line at a time.
    pub(crate) async fn run(&self, scale: &'static str, progress: impl Fn(&str)) -> Result<Report> {
        let sizes = Sizes::of(scale)?;
        let program = fs::canonicalize(&self.program)
            .map_err(|error| Error::Usage(format!("{}: {error}", self.program.display())))?;
        let mut measurements = Vec::new();
        for part in &self.parts {
            progress(part.name());
            // A task, because the suite's servers fail by panicking.
            let mut tasks = JoinSet::new();
            tasks.spawn(part.run(program.clone(), sizes));
            let found = match timeout(MEASURE_LIMIT, tasks.join_next()).await {
                Ok(Some(found)) => joined(found),
                Ok(None) | Err(_) => {
                    Err(Error::Timeout { what: part.name().to_owned(), limit: MEASURE_LIMIT })
                }
            };
            measurements.push(found.unwrap_or_else(|error| {
                let mut sheet = Sheet::new(part.name());
                sheet.error = Some(error.to_string());
                sheet
            }));
        }
        Ok(Report {
            url: self.program.display().to_string(),
            server: Some("Skerrys".to_owned()),
            scale,
            measurements,
            client_cpu_seconds: client_cpu(),
        })
    }
}
