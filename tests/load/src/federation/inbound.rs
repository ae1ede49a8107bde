//! Transactions of a scripted server, prepared and signed beforehand, one after the other over one
//! connection.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};
use skerry_tests::{
    peer::{Draft, Peer, PeerRoom},
    remote::Remote,
};
use tokio::time::Instant;

use super::{Sizes, node::Node, rooms};
use crate::{
    api,
    error::{Error, Result},
    http::{Connection, Request},
    report::Sheet,
    stats::Latencies,
    window::Window,
};

/// The most that a transaction has.
const PDUS: usize = 50;
/// Rooms that every transaction has events of, where it is not of one.
pub(super) const ROOMS: usize = 5;
/// Transactions that come before those that are measured.
const WARM_UP: usize = 2;

/// A transaction that stands ready.
struct Ready {
    path: String,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Answer {
    pdus: BTreeMap<String, Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    error: Option<String>,
}

/// Chained messages of this many rooms, as many of each in every transaction.
pub(super) async fn inbound(
    program: &Path,
    sizes: Sizes,
    rooms: usize,
    sheet: &mut Sheet,
) -> Result<()> {
    let script = Remote::start();
    let mut node = Node::start(program).await?;
    let mut known = Vec::new();
    for _ in 0..rooms {
        known.push(joined_room(&script, &mut node).await?);
    }
    let (mut ready, mut last) = (Vec::new(), Vec::new());
    for number in 0..sizes.transactions + WARM_UP {
        let pdus = chained(&script.peer, &mut known, &mut last);
        ready.push(prepare(&script.peer, &node, number, &pdus));
    }
    let mut connection = Connection::new(&node.target);
    let (warm_up, measured) = ready.split_at(WARM_UP);
    for transaction in warm_up {
        send(&mut connection, transaction).await?;
    }
    let probe = Node::probe(&[&node]);
    let window = Window::over(&probe, &node.target);
    let mut latencies = Latencies::default();
    for transaction in measured {
        let asked = Instant::now();
        send(&mut connection, transaction).await?;
        latencies.push(asked.elapsed());
    }
    let usage = window.close_over(&probe, &node.target);
    for (room, event) in known.iter().zip(&last) {
        let path = api::room_path(&room.id, &format!("event/{}", api::encode(event)));
        node.connection.call(Request::get(&path, &node.user.token)).await?;
    }
    let count = latencies.count() * PDUS;
    sheet.rate(count, &usage);
    sheet.figure("transaction_p50", latencies.percentile_ms(50), "ms");
    sheet.figure("transaction_p99", latencies.percentile_ms(99), "ms");
    if let Some(seconds) = usage.server_cpu_seconds {
        sheet.figure("server_cpu", seconds * 1e3 / count as f64, "ms/PDU");
    }
    sheet.usage(usage);
    Ok(())
}

/// A room of the scripted server's that the user has joined, as it is then.
async fn joined_room(script: &Remote, node: &mut Node) -> Result<PeerRoom> {
    let mut room = rooms::open_small(script);
    node.join(&room.id, &script.peer.name).await?;
    let joins = script.sent("join");
    let join = joins.last().ok_or_else(|| Error::Wrong("the join never came".to_owned()))?;
    room.follow(join);
    Ok(room)
}

/// The next messages of these rooms. `last` has the ID of the last one of each.
fn chained(peer: &Peer, rooms: &mut [PeerRoom], last: &mut Vec<String>) -> Vec<Value> {
    let (sender, each) = (peer.user("carol"), PDUS / rooms.len());
    last.clear();
    let mut pdus = Vec::with_capacity(PDUS);
    for room in rooms {
        let events: Vec<_> = (0..each)
            .map(|_| room.add(Draft::message(&sender, "Ahoy from another skerry")))
            .collect();
        last.extend(events.last().map(|it| it.id.clone()));
        pdus.extend(events.into_iter().map(|it| it.pdu));
    }
    pdus
}

fn prepare(peer: &Peer, node: &Node, number: usize, pdus: &[Value]) -> Ready {
    let path = format!("/_matrix/federation/v1/send/load{number}");
    let body = json!({ "origin": peer.name, "origin_server_ts": 1, "pdus": pdus });
    let authorization = peer.authorization_for(&node.name(), "PUT", &path, Some(&body));
    let body = body.to_string();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        node.name(),
        body.len()
    );
    Ready { path, bytes: (head + &body).into_bytes() }
}

/// Sends a transaction of which every event must be accepted.
async fn send(connection: &mut Connection, ready: &Ready) -> Result<()> {
    let request = Request { method: "PUT", path: &ready.path, token: None, body: None };
    let status = connection.send_ready(request, &ready.bytes).await?;
    if status != 200 {
        return Err(connection.refusal(request, status));
    }
    let answer: Answer = connection.json()?;
    if let Some(error) = answer.pdus.values().find_map(|it| it.error.as_ref()) {
        return Err(Error::Wrong(format!("an event was not accepted: {error}")));
    }
    match answer.pdus.len() {
        PDUS => Ok(()),
        count => Err(Error::Wrong(format!("outcomes of {count} events instead of {PDUS}"))),
    }
}
