//! Aliases and the rooms they lead to are in two stores. An alias is *reserved* first, then the
//! room begins or is asked, then the alias is confirmed. What is only reserved leads to its room if
//! that was created with it, whoever did not come to confirm it; to a room that exists but was
//! created by another request it leads once it is confirmed. (Where room IDs are hashes, two
//! requests may make the same room: one of them has it, the other tries another ID.)
//!
//! **Invariant:** no room that has an alias begins after the time of its reservation. So a
//! reservation that is over, of a room that was not created with it, is nobody's: whoever meets it
//! removes it. One of a room that was is confirmed by whoever meets it.

use ruma::{RoomAliasId, RoomId, UserId};

use super::ask;
use crate::{
    Error, Result,
    api::Cx,
    messages::room::WasCreatedWith,
    ports::Stmt,
    store::global::aliases::{self, Alias},
};

/// How long a room may take to begin with the alias that is reserved for it, in milliseconds.
const BEGIN_WITHIN_MS: u64 = 15_000;

/// How long an alias is reserved, in milliseconds. What it is longer than [`BEGIN_WITHIN_MS`] is
/// for clocks that differ, and for what a process remembers of a room that was not there.
const RESERVATION_MS: u64 = 30_000;

/// Where an alias leads.
pub(super) async fn find(cx: &Cx, alias: &RoomAliasId) -> Result<Option<Alias>> {
    let Some(found) = aliases::find(&*cx.ports.global, alias).await? else { return Ok(None) };
    let Some(until_ms) = found.reserved_until_ms else { return Ok(Some(found)) };
    let is_its_own = was_created_with(cx, &found.room_id, alias).await?;
    if until_ms <= cx.ports.clock.now_ms() {
        cx.ports.global.batch(vec![ended(alias, &found.room_id, is_its_own)]).await?;
    }
    Ok(is_its_own.then_some(found))
}

/// Reserves an alias for a room. The answer is until when the room may begin; none: the alias is
/// another's.
pub(super) async fn reserve(
    cx: &Cx,
    alias: &RoomAliasId,
    room_id: &RoomId,
    creator: &UserId,
) -> Result<Option<u64>> {
    let now_ms = cx.ports.clock.now_ms();
    let reserve = aliases::reserve(alias, room_id, creator, now_ms + RESERVATION_MS);
    let mut is_reserved = write(cx, reserve.clone()).await?;
    // A reservation that is over may be in the way: then looking removes it.
    if !is_reserved && find(cx, alias).await?.is_none() {
        is_reserved = write(cx, reserve).await?;
    }
    Ok(is_reserved.then_some(now_ms + BEGIN_WITHIN_MS))
}

/// Whether the alias is reserved for this room by this user: one of their requests came to no end,
/// or is under way.
pub(super) async fn is_reserved(
    cx: &Cx,
    alias: &RoomAliasId,
    room_id: &RoomId,
    creator: &UserId,
) -> Result<bool> {
    let found = aliases::find(&*cx.ports.global, alias).await?;
    Ok(found.is_some_and(|it| {
        it.reserved_until_ms.is_some() && it.room_id == room_id && it.creator == creator
    }))
}

/// Gives back the alias of a room that was refused, or that does not exist.
pub(super) async fn release(cx: &Cx, alias: &RoomAliasId, room_id: &RoomId) {
    if let Err(error) = cx.ports.global.batch(vec![aliases::remove_pending(alias, room_id)]).await {
        tracing::warn!(%error, %alias, "the alias of a room that is not there stays reserved");
    }
}

/// What becomes of a reservation that is over.
fn ended(alias: &RoomAliasId, room_id: &RoomId, is_its_own: bool) -> Stmt {
    match is_its_own {
        true => aliases::update_confirmed(alias, room_id),
        false => aliases::remove_pending(alias, room_id),
    }
}

/// Whether a row was written.
async fn write(cx: &Cx, stmt: Stmt) -> Result<bool> {
    Ok(!cx.ports.global.batch(vec![stmt]).await?.concat().is_empty())
}

async fn was_created_with(cx: &Cx, room_id: &RoomId, alias: &RoomAliasId) -> Result<bool> {
    match ask(cx, room_id, WasCreatedWith { alias: alias.to_owned() }).await {
        Err(Error::UnknownRoom) => Ok(false),
        answer => answer,
    }
}
