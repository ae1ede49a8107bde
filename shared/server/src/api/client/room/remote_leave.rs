//! Turning down an invitation to a room that is not here, and retracting a knock on one ([spec]).
//!
//! The user is rid of it first, whatever other servers say to that: a server that is gone, or that
//! sends nothing but invitations, would keep it for ever. It is their object that tells those.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{CanonicalJsonObject, EventId, RoomId, UserId};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::by_way;
use crate::{
    Error, Result,
    api::Cx,
    messages::{
        room::ChangeMembership,
        user::{Ending, TurnDown},
    },
};

/// Random bytes of the ID of an event that only the user's clients get: as many as a hash has.
const ID_BYTES: usize = 32;

/// Leaves a room that is not here. Whether there was anything to leave.
pub(super) async fn leave(cx: &Cx, room_id: &RoomId, change: &ChangeMembership) -> Result<bool> {
    let user_id = &*change.target;
    let content = by_way::content(change)?;
    let ending = ending(cx, user_id, &content)?;
    let turned_down = TurnDown { room_id: room_id.to_owned(), ending };
    Ok(cx.ports.objects.ask(user_id, turned_down).await?.is_some())
}

/// What the user's clients are shown: whether another server takes the leave, they have left.
fn ending(cx: &Cx, user_id: &UserId, content: &CanonicalJsonObject) -> Result<Ending> {
    #[derive(Serialize)]
    struct Event<'a> {
        content: &'a CanonicalJsonObject,
        origin_server_ts: u64,
        sender: &'a UserId,
        state_key: &'a UserId,
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let mut bytes = [0; ID_BYTES];
    cx.ports.random.fill(&mut bytes)?;
    let event_id = EventId::parse(format!("${}", URL_SAFE_NO_PAD.encode(bytes)));
    let event = to_raw_value(&Event {
        content,
        origin_server_ts: cx.ports.clock.now_ms(),
        sender: user_id,
        state_key: user_id,
        kind: "m.room.member",
    })?;
    Ok(Ending { event_id: event_id.map_err(Error::internal)?, event })
}
