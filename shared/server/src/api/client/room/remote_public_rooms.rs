//! The room directory of another server, asked for a client. Its tokens are passed on as they are.

use std::time::Duration;

use ruma::{
    OwnedServerName, UInt,
    api::federation::directory::{get_public_rooms, get_public_rooms_filtered},
};

use crate::{
    Result,
    api::{
        Cx,
        patched::Json,
        public_rooms::{Found, Wanted, limit},
        remote::{bad_answer, not_found},
    },
    peers::Limits,
};

/// What an answer may take: each of a hundred rooms has some KiB.
const LIMITS: Limits = Limits { max_answer_bytes: 1 << 20, timeout: Duration::from_secs(30) };

/// Bytes of a token, which the client hands back in a URL.
const MAX_TOKEN_BYTES: usize = 1024;

/// A page of all rooms that another server shows.
pub(super) async fn list(cx: &Cx, server: &OwnedServerName, wanted: Wanted) -> Result<Json> {
    let rooms = limit(wanted.limit);
    let mut request = get_public_rooms::v1::Request::new();
    request.limit = Some(UInt::new_saturating(rooms));
    request.since = wanted.since;
    let answer = cx.peers().ask(server, request, LIMITS).await.map_err(not_found)?;
    answered(rooms, answer)
}

/// The same, of rooms of a kind.
pub(super) async fn search(cx: &Cx, server: &OwnedServerName, wanted: Wanted) -> Result<Json> {
    let rooms = limit(wanted.limit);
    let mut request = get_public_rooms_filtered::v1::Request::new();
    request.limit = Some(UInt::new_saturating(rooms));
    request.since = wanted.since;
    request.filter = wanted.filter;
    request.room_network = wanted.network;
    let answer = cx.peers().ask(server, request, LIMITS).await.map_err(not_found)?;
    let mut same = get_public_rooms::v1::Response::new();
    same.chunk = answer.chunk;
    same.next_batch = answer.next_batch;
    same.prev_batch = answer.prev_batch;
    same.total_room_count_estimate = answer.total_room_count_estimate;
    answered(rooms, same)
}

/// What the client is told.
fn answered(rooms: u64, answer: get_public_rooms::v1::Response) -> Result<Json> {
    let get_public_rooms::v1::Response { chunk, next_batch, prev_batch, .. } = answer;
    let is_long = |it: &Option<String>| it.as_ref().is_some_and(|it| it.len() > MAX_TOKEN_BYTES);
    if u64::try_from(chunk.len()).is_ok_and(|it| it > rooms) {
        return Err(bad_answer(&"there are more rooms than were asked for"));
    }
    if is_long(&next_batch) || is_long(&prev_batch) {
        return Err(bad_answer(&"a token is too long"));
    }
    let total = answer.total_room_count_estimate.map(u64::from);
    Ok(Json::of(&Found::elsewhere(chunk, (next_batch, prev_batch), total))?)
}
