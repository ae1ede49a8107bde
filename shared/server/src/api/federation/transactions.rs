//! `PUT /_matrix/federation/v1/send/{txnId}` ([spec])
//!
//! Rooms receive their events side by side, and one event's failure is no other's. A transaction
//! that comes again does what it did the first time, and is answered alike: a room knows what it
//! has received, whatever became of it.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#transactions

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, future::join, stream};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName,
    api::federation::transactions::send_transaction_message,
};
use serde::Deserialize;

use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        origin::Origin,
        signers::{Signers, find_keys},
    },
    messages::{
        RawJson, ServerKey,
        destination::SignOfLife,
        room::{Kind, Outcome, Receive, Received},
    },
};

/// Events of a transaction.
const MAX_PDUS: usize = 50;

/// What is no event, of a transaction.
const MAX_EDUS: usize = 100;

/// Rooms that receive events of one transaction at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// What is answered of each event.
type Results = BTreeMap<OwnedEventId, Result<(), String>>;

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(send_transaction_message)
}

async fn send_transaction_message(
    cx: Cx,
    Origin(server): Origin,
    request: send_transaction_message::v1::Request,
) -> Result<send_transaction_message::v1::Response> {
    if request.pdus.len() > MAX_PDUS || request.edus.len() > MAX_EDUS {
        let message = format!("a transaction has at most {MAX_PDUS} PDUs and {MAX_EDUS} EDUs");
        return Err(Error::invalid_param(message));
    }
    let receive = |(room_id, events)| receive(&cx, &server, room_id, events);
    let rooms = stream::iter(by_room(request.pdus)).map(receive);
    let received = rooms.buffer_unordered(ROOMS_AT_ONCE).collect::<Vec<Results>>();
    let (results, told) = join(received, cx.ports.objects.ask(&*server, SignOfLife {})).await;
    if let Err(error) = told {
        tracing::warn!(%server, %error, "it was not noted that a server is there");
    }
    let results = results.into_iter().flatten().collect();
    Ok(send_transaction_message::v1::Response::new(results))
}

/// Events by their rooms. What names no room is no event: without a room it has no ID by which it
/// could be answered.
fn by_room(pdus: Vec<RawJson>) -> BTreeMap<OwnedRoomId, Vec<RawJson>> {
    #[derive(Deserialize)]
    struct Event {
        room_id: OwnedRoomId,
    }
    let mut rooms = BTreeMap::<_, Vec<_>>::new();
    for pdu in pdus {
        match serde_json::from_str::<Event>(pdu.get()) {
            Ok(event) => rooms.entry(event.room_id).or_default().push(pdu),
            Err(_) => tracing::debug!("an event that names no room is dropped"),
        }
    }
    rooms
}

/// Has a room receive events. Where it fails, nothing is said of them, and they are a gap in the
/// room from then on: a room that fails must not keep back what the server says in all others.
async fn receive(
    cx: &Cx,
    server: &OwnedServerName,
    room_id: OwnedRoomId,
    events: Vec<RawJson>,
) -> Results {
    match try_receive(cx, server, &room_id, events).await {
        Ok(received) => results(received),
        Err(error) => {
            if !error.is_refusal() {
                tracing::warn!(%error, %room_id, "events of another server were not received");
            }
            Results::new()
        }
    }
}

async fn try_receive(
    cx: &Cx,
    server: &OwnedServerName,
    room_id: &RoomId,
    events: Vec<RawJson>,
) -> Result<Vec<Received>> {
    // Most events are by users of the server that sends them.
    let keys = find_keys(cx, Signers::from([(server.clone(), Vec::new())])).await;
    let first = ask(cx, server, room_id, events.clone(), keys.clone()).await?;
    let missing = missing_keys(&first);
    if missing.is_empty() {
        return Ok(first);
    }
    let keys = [keys, find_keys(cx, missing).await].concat();
    let left: Vec<_> = first
        .iter()
        .zip(events)
        .filter(|(received, _)| needs_keys(received))
        .map(|(_, event)| event)
        .collect();
    let second = ask(cx, server, room_id, left, keys).await?;
    let done = first.into_iter().filter(|it| !needs_keys(it));
    Ok(done.chain(second).collect())
}

async fn ask(
    cx: &Cx,
    origin: &ServerName,
    room_id: &RoomId,
    events: Vec<RawJson>,
    keys: Vec<ServerKey>,
) -> Result<Vec<Received>> {
    let origin = Some(origin.to_owned());
    let question =
        Receive { origin, hand_on: false, events, keys, kind: Kind::Live, states: Vec::new() };
    cx.ports.objects.ask(room_id, question).await
}

fn needs_keys(received: &Received) -> bool {
    matches!(received.outcome, Outcome::NeedsKeys { .. })
}

/// The keys that are missing to know who events are by.
fn missing_keys(received: &[Received]) -> Signers {
    let mut missing = Signers::new();
    for it in received {
        let Outcome::NeedsKeys { keys } = &it.outcome else { continue };
        for (server, key_id) in keys {
            let of_server = missing.entry(server.clone()).or_default();
            if !of_server.contains(key_id) {
                of_server.push(key_id.clone());
            }
        }
    }
    missing
}

/// What is said of events. That one was rejected or hidden is no failure of whoever sent it on.
fn results(received: Vec<Received>) -> Results {
    let result = |outcome| match outcome {
        Outcome::Dropped { reason } => Err(reason),
        Outcome::NeedsKeys { .. } => {
            Err("the keys that signed the event are not to be had".to_owned())
        }
        _ => Ok(()),
    };
    let received = received.into_iter();
    received.filter_map(|it| Some((it.event_id?, result(it.outcome)))).collect()
}
