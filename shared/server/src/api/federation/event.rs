//! `GET /_matrix/federation/v1/event/{eventId}` ([spec])
//!
//! The request does not say of which room the event is, and no index does: it would be a row of
//! the global store for every event. So rooms are asked, of those alone that the asking server has
//! to do with: first those that it has read lately, since whoever asks for an event has met its ID
//! in one of them; then those in which its `Destination` hands it events.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1eventeventid

use futures_util::{StreamExt as _, stream};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedRoomId, ServerName, UInt,
    api::federation::event::get_event,
};

use crate::{
    Error, Result,
    api::{Cx, counted::charge_server, mount::Routes, origin::Origin},
    messages::{RawJson, destination::ListRooms, room::GetPdu},
};

/// Rooms that are asked for one event.
const MAX_ROOMS: u64 = 100;

/// Those that are asked at the same time.
const ASKED_AT_ONCE: usize = 10;

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_event)
}

async fn get_event(
    cx: Cx,
    Origin(server): Origin,
    request: get_event::v1::Request,
) -> Result<get_event::v1::Response> {
    let recent = cx.peers.recent_rooms.list(&server);
    let mut found = find(&cx, &server, &request.event_id, recent.clone()).await?;
    if found.is_none() {
        let mut shared = cx.ports.objects.ask(&*server, ListRooms { limit: MAX_ROOMS }).await?;
        shared.retain(|it| !recent.contains(it));
        // Each is as good as an answer.
        charge_server(&cx, &server, u32::try_from(shared.len()).unwrap_or(u32::MAX));
        found = find(&cx, &server, &request.event_id, shared).await?;
    }
    let pdu = found.ok_or_else(|| Error::not_found("there is no such event that you may see"))?;
    let now = MilliSecondsSinceUnixEpoch(UInt::new_saturating(cx.ports.clock.now_ms()));
    Ok(get_event::v1::Response::new(cx.server.name.clone(), now, pdu))
}

/// The event, if one of these rooms has it and shows it to the server.
async fn find(
    cx: &Cx,
    server: &ServerName,
    event_id: &EventId,
    rooms: Vec<OwnedRoomId>,
) -> Result<Option<RawJson>> {
    let ask = |room_id: OwnedRoomId| async move {
        let question = GetPdu { server: server.to_owned(), event_id: event_id.to_owned() };
        cx.ports.objects.ask(&*room_id, question).await.map(|pdu| (room_id, pdu))
    };
    let mut answers = stream::iter(rooms).map(ask).buffer_unordered(ASKED_AT_ONCE);
    let mut failure = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok((room_id, pdu)) => {
                cx.peers.recent_rooms.note(server, &room_id);
                return Ok(Some(pdu));
            }
            Err(error) if error.is_refusal() => {}
            // It may be the one that has the event: whoever asks is not told that there is none.
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(None), Err)
}
