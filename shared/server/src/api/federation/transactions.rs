//! `PUT /_matrix/federation/v1/send/{txnId}` ([spec])
//!
//! Rooms receive their events side by side, and one event's failure is no other's. A transaction
//! that comes again does what it did the first time, and is answered alike: a room knows what it
//! has received, whatever became of it. What is no event comes to a room after its events, which
//! it may be about, and fails nothing. Messages to devices come before all of it, since events may
//! need the keys that they bring; and changes of devices before these, since the device that has
//! sent one is to be known. Both are stored when the transaction is answered.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#transactions

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, future::join3, stream};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName,
    api::federation::transactions::send_transaction_message,
};
use serde::Deserialize;
use skerry_core::{
    destination::{MAX_EDUS, MAX_PDUS},
    device_keys::changes::{self, UserChange},
    edu::{self, Edus, RoomEdus},
    faults::Faults,
    gather::Gather as _,
    presence::Status,
    to_device::{self, Message},
};

use super::rescissions;
use crate::{
    Error, Result,
    api::{
        Cx,
        many_users::ask_each,
        mount::Routes,
        origin::Origin,
        signers::{Signers, find_keys},
    },
    messages::{
        RawJson, ServerKey,
        destination::{ChangeDevices, CountFaults, ReceiveStatuses, SignOfLife},
        room::{Kind, Outcome, Receive, ReceiveEdus, Received},
        user::DeliverToDevice,
    },
    server::Presence,
};

/// Rooms that receive of one transaction at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// Users to whose devices messages are delivered at the same time.
const USERS_AT_ONCE: usize = 32;

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
    let edus = || request.edus.iter().map(|it| it.json().get());
    let noted = note_changed_devices(&cx, &server, changes::read(&server, edus())).await;
    let messages = to_device::read(&server, &cx.server.name, edus());
    let delivered = deliver(&cx, messages).await;
    let Edus { rooms: edus, statuses } = edu::read(&server, edus(), cx.ports.clock.now_ms());
    let receive = |(room_id, said)| receive(&cx, &server, room_id, said);
    let rooms = stream::iter(by_room(request.pdus, edus)).map(receive);
    let received = rooms.buffer_unordered(ROOMS_AT_ONCE).collect::<Vec<_>>();
    let told = cx.ports.objects.ask(&*server, SignOfLife {});
    let statuses = receive_statuses(&cx, &server, statuses);
    let (received, told, ()) = join3(received, told, statuses).await;
    if let Err(error) = told {
        tracing::warn!(%server, %error, "it was not noted that a server is there");
    }
    let received: Vec<_> = received.into_iter().flatten().collect();
    count_faults(&cx, &server, &received).await;
    // Who is told that it failed sends it again: what was taken is known by then.
    noted.and(delivered)?;
    let results = results(received);
    Ok(send_transaction_message::v1::Response::new(results))
}

/// Delivers messages to devices of local users: to all that can be reached.
async fn deliver(cx: &Cx, messages: BTreeMap<OwnedUserId, Vec<Message>>) -> Result<()> {
    let question = |messages| DeliverToDevice { messages };
    let each = messages.into_iter().map(|(user_id, messages)| (user_id, question(messages)));
    let results = ask_each(cx, each.collect(), USERS_AT_ONCE).await;
    results.into_iter().try_for_each(|it| it.map(drop))
}

/// Notes whose devices have changed. What is noted reaches the rooms; where it is not, the
/// transaction has failed and comes again.
async fn note_changed_devices(
    cx: &Cx,
    server: &OwnedServerName,
    changes: Vec<UserChange>,
) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let user_ids: BTreeSet<_> = changes.iter().map(|it| it.user_id.clone()).gather();
    let question = ChangeDevices { user_ids: user_ids.into_iter().collect(), changes };
    cx.ports.objects.ask(&**server, question).await
}

/// What a server says of one room.
#[derive(Default)]
struct Said {
    pdus: Vec<RawJson>,
    edus: RoomEdus,
}

/// What is said, by rooms. What names no room is no event: without a room it has no ID by which it
/// could be answered.
fn by_room(
    pdus: Vec<RawJson>,
    edus: BTreeMap<OwnedRoomId, RoomEdus>,
) -> BTreeMap<OwnedRoomId, Said> {
    #[derive(Deserialize)]
    struct Event {
        room_id: OwnedRoomId,
    }
    let edus = edus.into_iter().map(|(room_id, edus)| (room_id, Said { pdus: Vec::new(), edus }));
    let mut rooms = edus.gather::<BTreeMap<_, Said>>();
    for pdu in pdus {
        match serde_json::from_str::<Event>(pdu.get()) {
            Ok(event) => rooms.entry(event.room_id).or_default().pdus.push(pdu),
            Err(_) => tracing::debug!("an event that names no room is dropped"),
        }
    }
    rooms
}

/// Has a room receive what is said of it: events first.
async fn receive(
    cx: &Cx,
    server: &OwnedServerName,
    room_id: OwnedRoomId,
    said: Said,
) -> Vec<Received> {
    let Said { pdus, edus } = said;
    let received = match pdus.is_empty() {
        true => Vec::new(),
        false => receive_pdus(cx, server, &room_id, pdus).await,
    };
    if !edus.is_empty() {
        receive_edus(cx, server, &room_id, edus).await;
    }
    received
}

/// Has a room receive what is no event. Nobody is told where it fails: it is forgotten soon, or
/// said again.
async fn receive_edus(cx: &Cx, server: &OwnedServerName, room_id: &RoomId, edus: RoomEdus) {
    let RoomEdus { typing, receipts } = edus;
    let question = ReceiveEdus { server: server.clone(), typing, receipts };
    if let Err(error) = cx.ports.objects.ask(room_id, question).await
        && !error.is_refusal()
    {
        tracing::warn!(%error, %room_id, "EDUs of another server were not received");
    }
}

/// Has those told who is there who share rooms with users of the server, if that is wanted.
async fn receive_statuses(
    cx: &Cx,
    server: &OwnedServerName,
    statuses: BTreeMap<OwnedUserId, Status>,
) {
    if statuses.is_empty() || cx.server.config.presence != Presence::On {
        return;
    }
    let question = ReceiveStatuses { statuses: statuses.into_values().collect() };
    if let Err(error) = cx.ports.objects.ask(&**server, question).await {
        tracing::warn!(%error, %server, "who is there on another server was not received");
    }
}

/// Has a room receive events. Where it fails, nothing is said of them, and they are a gap in the
/// room from then on: a room that fails must not keep back what the server says in all others.
async fn receive_pdus(
    cx: &Cx,
    server: &OwnedServerName,
    room_id: &RoomId,
    events: Vec<RawJson>,
) -> Vec<Received> {
    let ends = rescissions::candidates(cx, &events);
    let received = try_receive(cx, server, room_id, events).await;
    for (user_id, event) in ends {
        rescissions::take(cx, room_id, user_id, &event).await;
    }
    received.unwrap_or_else(|error| {
        if !error.is_refusal() {
            tracing::warn!(%error, %room_id, "events of another server were not received");
        }
        Vec::new()
    })
}

/// Counts what was wrong with the events of a server, if anything was.
async fn count_faults(cx: &Cx, server: &OwnedServerName, received: &[Received]) {
    let faults: Faults = received.iter().map(fault).sum();
    if faults.is_empty() {
        return;
    }
    if let Err(error) = cx.ports.objects.ask(&**server, CountFaults { faults }).await {
        tracing::warn!(%server, %error, "the faults of a server were not counted");
    }
}

fn fault(received: &Received) -> Faults {
    let none = Faults::default();
    match received.outcome {
        Outcome::Dropped { .. } | Outcome::NeedsKeys { .. } => Faults { dropped: 1, ..none },
        Outcome::Rejected { .. } => Faults { rejected: 1, ..none },
        Outcome::SoftFailed { .. } => Faults { soft_failed: 1, ..none },
        Outcome::Accepted { .. } | Outcome::Known | Outcome::Waits { .. } => none,
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
    received.filter_map(|it| Some((it.event_id?, result(it.outcome)))).gather()
}
