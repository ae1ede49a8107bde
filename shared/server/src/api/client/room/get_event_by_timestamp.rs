//! `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event` ([spec])
//!
//! Where history is missing here, other servers in the room may know a nearer event. What they say
//! is passed on: an event and a time, of which nothing is believed or kept. Reading it, the client
//! finds out whether it is there.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event

use std::time::Duration;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName, UInt,
    api::{
        Direction,
        client::room::get_event_by_timestamp::v1::{Request, Response},
        federation::event::get_event_by_timestamp::v1::Request as Elsewhere,
    },
};
use skerry_core::{near::Wanted, rate_limits::Bucket};

use super::{ask, ignored_users};
use crate::{
    Error, Result,
    api::{Cx, counted::charge_search, mount::Routes},
    messages::{
        Caller, Requester,
        room::{self, EventNear, GetEventNear},
    },
    peers::Limits,
};

/// Servers that are asked, one after the other.
const MAX_SERVERS: usize = 3;

/// What the answer of one may take.
const LIMITS: Limits = Limits { max_answer_bytes: 64 * 1024, timeout: Duration::from_secs(10) };

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_event_by_timestamp)
}

async fn get_event_by_timestamp(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let question = GetEventNear {
        requester: Requester::User(caller.clone()),
        timestamp_ms: request.ts.get().into(),
        direction: direction(request.dir),
        ignored_users: ignored_users(&cx, &caller).await?,
    };
    let near = ask(&cx, &request.room_id, question).await?;
    let EventNear { event, elsewhere, searched_kib } = *near;
    charge_search(&cx, &caller, searched_kib);
    let may_ask = cx.ports.limiter.take(Bucket::Directory, caller.user_id.as_str(), 1);
    let elsewhere = match elsewhere.is_empty() || may_ask.await.is_err() {
        true => Vec::new(),
        false => elsewhere,
    };
    let here = event.as_ref().map(|(_, timestamp_ms)| *timestamp_ms);
    let event = match find_elsewhere(&cx, &request, elsewhere, here).await {
        Some(nearer) => Some(nearer),
        None => event,
    };
    let (event_id, timestamp_ms) = event.ok_or_else(not_found)?;
    Ok(Response::new(event_id, timestamp(timestamp_ms)))
}

/// What the first server says that knows a nearer event.
async fn find_elsewhere(
    cx: &Cx,
    request: &Request,
    servers: Vec<OwnedServerName>,
    here_ms: Option<u64>,
) -> Option<(OwnedEventId, u64)> {
    let is_forward = request.dir == Direction::Forward;
    let wanted = Wanted { timestamp_ms: request.ts.get().into(), is_forward };
    for server in servers.into_iter().take(MAX_SERVERS) {
        let question = Elsewhere::new(request.room_id.clone(), request.ts, request.dir);
        match cx.peers().ask(&server, question, LIMITS).await {
            Ok(found) => {
                let timestamp_ms = found.origin_server_ts.get().into();
                if wanted.is_nearer(timestamp_ms, here_ms) {
                    return Some((found.event_id, timestamp_ms));
                }
            }
            Err(error) => tracing::debug!(%server, %error, "it knows no event of that time"),
        }
    }
    None
}

/// The direction, as rooms are asked for it.
pub(in crate::api) fn direction(direction: Direction) -> room::Direction {
    match direction {
        Direction::Backward => room::Direction::Backward,
        Direction::Forward => room::Direction::Forward,
    }
}

/// A time, as it is answered.
pub(in crate::api) fn timestamp(timestamp_ms: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::new_saturating(timestamp_ms))
}

/// There is no such event.
pub(in crate::api) fn not_found() -> Error {
    Error::not_found("there is no event in that direction that you may see")
}
