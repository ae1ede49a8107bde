//! Events of rooms, for servers that are in them ([spec][events], [spec][backfill]).
//!
//! [events]: https://spec.matrix.org/v1.19/server-server-api/#retrieving-events
//! [backfill]: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, ServerName, UInt,
    api::federation::{
        authorization::get_event_authorization,
        backfill::get_backfill,
        event::{get_missing_events, get_room_state, get_room_state_ids},
    },
};

use super::state_answer::{NUMBERS, StateAnswer, state_pdus};
use crate::{
    Result,
    api::{Cx, answer::Pieces, mount::Routes, origin::Origin},
    messages::{
        RawJson,
        room::{GetAncestors, GetAuthChain, GetStateBefore, GetStateIds, StateBefore},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .mount_streaming(get_room_state)
        .mount(get_room_state_ids)
        .mount(get_event_authorization)
        .mount(get_backfill)
        .mount(get_missing_events)
}

async fn get_room_state(
    cx: Cx,
    Origin(server): Origin,
    request: get_room_state::v1::Request,
) -> Result<Pieces> {
    let get_room_state::v1::Request { room_id, event_id, .. } = request;
    let question = GetStateBefore { server: server.clone(), event_id };
    let before = *cx.ports.objects.ask(&*room_id, question).await?;
    cx.peers.recent_rooms.note(&server, &room_id);
    Ok(StateAnswer::new(cx, room_id, server, "pdus", before).pieces())
}

async fn get_room_state_ids(
    cx: Cx,
    Origin(server): Origin,
    request: get_room_state_ids::v1::Request,
) -> Result<get_room_state_ids::v1::Response> {
    let get_room_state_ids::v1::Request { room_id, event_id, .. } = request;
    let question = GetStateBefore { server: server.clone(), event_id };
    let StateBefore { state, auth_chain } = *cx.ports.objects.ask(&*room_id, question).await?;
    cx.peers.recent_rooms.note(&server, &room_id);
    let state = list_ids(&cx, &room_id, &server, &state).await?;
    let auth_chain = list_ids(&cx, &room_id, &server, &auth_chain).await?;
    Ok(get_room_state_ids::v1::Response::new(auth_chain, state))
}

async fn get_event_authorization(
    cx: Cx,
    Origin(server): Origin,
    request: get_event_authorization::v1::Request,
) -> Result<get_event_authorization::v1::Response> {
    let get_event_authorization::v1::Request { room_id, event_id, .. } = request;
    let question = GetAuthChain { server: server.clone(), event_id };
    let chain = cx.ports.objects.ask(&*room_id, question).await?;
    cx.peers.recent_rooms.note(&server, &room_id);
    let chain = list_pdus(&cx, &room_id, &server, chain).await?;
    Ok(get_event_authorization::v1::Response::new(chain))
}

async fn get_backfill(
    cx: Cx,
    Origin(server): Origin,
    request: get_backfill::v1::Request,
) -> Result<get_backfill::v1::Response> {
    let get_backfill::v1::Request { room_id, v, limit, .. } = request;
    let question = GetAncestors {
        server: server.clone(),
        from: v,
        with_first: true,
        known: Vec::new(),
        min_depth: 0,
        limit: limit.into(),
    };
    let pdus = cx.ports.objects.ask(&*room_id, question).await?;
    cx.peers.recent_rooms.note(&server, &room_id);
    let now = UInt::new_saturating(cx.ports.clock.now_ms());
    let now = MilliSecondsSinceUnixEpoch(now);
    Ok(get_backfill::v1::Response::new(cx.server.name.clone(), now, pdus))
}

async fn get_missing_events(
    cx: Cx,
    Origin(server): Origin,
    request: get_missing_events::v1::Request,
) -> Result<get_missing_events::v1::Response> {
    let get_missing_events::v1::Request {
        room_id,
        limit,
        min_depth,
        earliest_events,
        latest_events,
        ..
    } = request;
    let question = GetAncestors {
        server: server.clone(),
        from: latest_events,
        with_first: false,
        known: earliest_events,
        min_depth: min_depth.into(),
        limit: limit.into(),
    };
    let mut pdus = cx.ports.objects.ask(&*room_id, question).await?;
    cx.peers.recent_rooms.note(&server, &room_id);
    // In the order in which they happened.
    pdus.reverse();
    Ok(get_missing_events::v1::Response::new(pdus))
}

/// The IDs of state events of a room.
async fn list_ids(
    cx: &Cx,
    room_id: &RoomId,
    server: &ServerName,
    numbers: &[u64],
) -> Result<Vec<OwnedEventId>> {
    let mut ids = Vec::with_capacity(numbers.len());
    for some in numbers.chunks(NUMBERS) {
        let question = GetStateIds { server: server.to_owned(), numbers: some.to_vec() };
        ids.append(&mut cx.ports.objects.ask(room_id, question).await?);
    }
    Ok(ids)
}

/// State events of a room, a part at a time.
async fn list_pdus(
    cx: &Cx,
    room_id: &RoomId,
    server: &ServerName,
    numbers: Vec<u64>,
) -> Result<Vec<RawJson>> {
    let mut pdus = Vec::with_capacity(numbers.len());
    while let Some(left) = numbers.get(pdus.len()..).filter(|it| !it.is_empty()) {
        let mut part = state_pdus(cx, room_id, server, left).await?;
        if part.is_empty() {
            break;
        }
        pdus.append(&mut part);
    }
    Ok(pdus)
}
