//! One server joins a room with many members by way of another one, which has joined it by way of
//! a scripted server.

use std::{collections::HashMap, path::Path, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use skerry_tests::remote::Remote;
use tokio::time::Instant;

use super::{Sizes, node::Node, rooms};
use crate::{
    api,
    error::{Error, Result},
    http::Request,
    report::Sheet,
    stats::Latencies,
    window::Window,
};

const MIB: f64 = 1_048_576.0;
/// The creator and the users of both Skerrys.
const OTHER_MEMBERS: usize = 3;

#[derive(Deserialize)]
struct Members {
    joined: HashMap<String, Value>,
}

/// Two servers that know each other, and a scripted one.
struct Servers {
    script: Remote,
    first: Node,
    second: Node,
}

impl Servers {
    /// Starts them. They have met in a small room: connections and keys are there.
    async fn start(program: &Path) -> Result<Self> {
        let script = Remote::start();
        let (mut first, mut second) = (Node::start(program).await?, Node::start(program).await?);
        let small = rooms::open_small(&script);
        first.join(&small.id, &script.peer.name).await?;
        second.join(&small.id, &first.name()).await?;
        Ok(Self { script, first, second })
    }

    /// Both join a new room of that many members. How long it took the first and the second.
    async fn join(&mut self, members: usize) -> Result<(Duration, Duration)> {
        let room = rooms::open_crowded(&self.script, &[&self.script.peer], members);
        let first = self.first.join(&room.id, &self.script.peer.name).await?;
        let second = self.second.join(&room.id, &self.first.name()).await?;
        let found = members_of(&mut self.second, &room.id).await?;
        match found == members + OTHER_MEMBERS {
            true => Ok((first, second)),
            false => Err(Error::Wrong(format!("{found} members instead of {members} and three"))),
        }
    }
}

async fn members_of(node: &mut Node, room: &str) -> Result<usize> {
    let path = api::room_path(room, "joined_members");
    node.connection.call(Request::get(&path, &node.user.token)).await?;
    Ok(node.connection.json::<Members>()?.joined.len())
}

/// Rooms of a thousand members, one after the other.
pub(super) async fn several(program: &Path, sizes: Sizes, sheet: &mut Sheet) -> Result<()> {
    let mut servers = Servers::start(program).await?;
    let (mut from_script, mut between) = (Latencies::default(), Latencies::default());
    for _ in 0..sizes.rooms {
        let (first, second) = servers.join(sizes.members).await?;
        from_script.push(first);
        between.push(second);
    }
    sheet.figure("first", between.first_ms(), "ms");
    sheet.figure("p50", between.percentile_ms(50), "ms");
    sheet.figure("worst", between.percentile_ms(100), "ms");
    sheet.figure("from_script_p50", from_script.percentile_ms(50), "ms");
    sheet.figure("members", sizes.members as f64, "");
    Ok(())
}

/// A server that joins rooms by way of a Synapse.
struct Joining {
    node: Node,
    /// The names of its figures.
    names: [&'static str; 2],
    joined: Latencies,
    complete: Latencies,
}

impl Joining {
    fn new(node: Node, names: [&'static str; 2]) -> Self {
        Self { node, names, joined: Latencies::default(), complete: Latencies::default() }
    }

    /// Joins a room, and tells how many members it has once all of them are known.
    async fn join(&mut self, room: &str, via: &str) -> Result<usize> {
        let asked = Instant::now();
        self.joined.push(self.node.join(room, via).await?);
        let found = members_of(&mut self.node, room).await?;
        self.complete.push(asked.elapsed());
        Ok(found)
    }
}

/// Rooms of a thousand members that a Synapse is in: a Skerry joins each, and another Synapse.
pub(super) async fn from_synapse(program: &Path, sizes: Sizes, sheet: &mut Sheet) -> Result<()> {
    let script = Remote::start();
    let mut resident = Node::start_synapse().await?;
    let skerry = Joining::new(Node::start(program).await?, ["skerry_join", "skerry_complete"]);
    let synapse = Node::start_synapse().await?;
    let mut others = [skerry, Joining::new(synapse, ["synapse_join", "synapse_complete"])];
    let small = rooms::open_small(&script);
    resident.join(&small.id, &script.peer.name).await?;
    for other in &mut others {
        other.node.join(&small.id, &resident.name()).await?;
    }
    for _ in 0..sizes.rooms {
        let room = rooms::open_crowded(&script, &[&script.peer], sizes.members);
        resident.join(&room.id, &script.peer.name).await?;
        // It lets nobody in before it knows the whole state itself.
        let mut expected = members_of(&mut resident, &room.id).await?;
        for other in &mut others {
            expected += 1;
            let found = other.join(&room.id, &resident.name()).await?;
            if found != expected {
                return Err(Error::Wrong(format!("{found} members instead of {expected}")));
            }
        }
        // Each is the first one every other time.
        others.reverse();
    }
    for Joining { names: [joined, complete], joined: joins, complete: completes, .. } in &mut others
    {
        sheet.figure(joined, joins.percentile_ms(50), "ms");
        sheet.figure(complete, completes.percentile_ms(50), "ms");
    }
    sheet.figure("members", sizes.members as f64, "");
    Ok(())
}

/// One room of twenty thousand: also what it takes of memory.
pub(super) async fn big(program: &Path, sizes: Sizes, sheet: &mut Sheet) -> Result<()> {
    let mut servers = Servers::start(program).await?;
    let probes = [Node::probe(&[&servers.first]), Node::probe(&[&servers.second])];
    let both = Node::probe(&[&servers.first, &servers.second]);
    let before = probes[1].memory();
    let window = Window::over(&both, &servers.second.target);
    let (from_script, between) = servers.join(sizes.big_members).await?;
    let usage = window.close_over(&both, &servers.second.target);
    sheet.figure("once", between.as_secs_f64() * 1e3, "ms");
    sheet.figure("from_script", from_script.as_secs_f64() * 1e3, "ms");
    if let [Some(first), Some(second)] = probes.map(|it| it.memory()) {
        sheet.figure("peak", second.peak as f64 / MIB, "MiB");
        sheet.figure("peak_of_first", first.peak as f64 / MIB, "MiB");
    }
    if let Some(before) = before {
        sheet.figure("peak_before", before.peak as f64 / MIB, "MiB");
    }
    sheet.figure("members", sizes.big_members as f64, "");
    sheet.usage(usage);
    Ok(())
}
