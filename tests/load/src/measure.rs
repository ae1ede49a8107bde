//! The measurements, in the order they run.

mod create_room;
mod joins;
mod keys;
mod latency;
mod members;
mod memory;
mod messages;
mod register;
mod sends;
mod sync;

use std::time::Duration;

use crate::{
    error::{Error, Result},
    report::Sheet,
    scale::MEASURE_LIMIT,
    soak,
    world::World,
};

/// A measurement. What it needs of the others (users, rooms, messages) it prepares if they have
/// not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    ColdStart,
    Idle,
    Register,
    CreateRoom,
    SendsSpread,
    SendsShared,
    Latency,
    InitialSync,
    Messages,
    Joins,
    SendsBig,
    Members,
    MemoryAfter,
    /// Never beside the others: only where `--keys` asks for it.
    Keys,
    /// Never beside the others: only where `--soak` asks for it.
    Soak,
}

impl Measure {
    /// All that a run has unless it is told otherwise. Latency and initial sync come before the big
    /// room, so that each server is measured with users in rooms of ordinary size.
    pub(crate) const ALL: [Self; 13] = [
        Self::ColdStart,
        Self::Idle,
        Self::Register,
        Self::CreateRoom,
        Self::SendsSpread,
        Self::SendsShared,
        Self::Latency,
        Self::InitialSync,
        Self::Messages,
        Self::Joins,
        Self::SendsBig,
        Self::Members,
        Self::MemoryAfter,
    ];

    /// Its name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ColdStart => "cold_start",
            Self::Idle => "idle",
            Self::Register => "register",
            Self::CreateRoom => "create_room",
            Self::SendsSpread => "sends_spread",
            Self::SendsShared => "sends_shared",
            Self::Latency => "latency",
            Self::InitialSync => "initial_sync",
            Self::Messages => "messages",
            Self::Joins => "joins",
            Self::SendsBig => "sends_big",
            Self::Members => "members",
            Self::MemoryAfter => "memory_after",
            Self::Keys => "keys",
            Self::Soak => "soak",
        }
    }

    /// Runs it. Cold starts are measured where the server is started, in [`crate::run`].
    pub(crate) async fn run(self, world: &mut World, sheet: &mut Sheet) -> Result<()> {
        let soak = world.soak.as_ref().filter(|_| self == Self::Soak).cloned();
        let work = async {
            match self {
                Self::ColdStart => Ok(()),
                Self::Idle => memory::idle(world, sheet).await,
                Self::Register => register::register(world, sheet).await,
                Self::CreateRoom => create_room::create_room(world, sheet).await,
                Self::SendsSpread => sends::spread(world, sheet).await,
                Self::SendsShared => sends::shared(world, sheet).await,
                Self::Latency => latency::latency(world, sheet).await,
                Self::InitialSync => sync::initial_sync(world, sheet).await,
                Self::Messages => messages::messages(world, sheet).await,
                Self::Joins => joins::joins(world, sheet).await,
                Self::SendsBig => sends::big(world, sheet).await,
                Self::Members => members::members(world, sheet).await,
                Self::MemoryAfter => memory::after(world, sheet).await,
                Self::Keys => keys::keys(world, sheet).await,
                Self::Soak => soak::soak(world, sheet).await,
            }
        };
        let limit = MEASURE_LIMIT + soak.map_or(Duration::ZERO, |it| it.duration());
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(Error::Timeout { what: self.name().to_owned(), limit }))
    }
}
