//! `GET /_matrix/client/*/sync` ([spec]).
//!
//! The user's object says which rooms have something new; the rooms are read side by side; then
//! the user's object records how far they were read, and gives the token that says so. Nothing is
//! held while a client waits.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

mod complete;
mod options;
mod read_rooms;
mod response;

use std::time::Duration;

use ruma::api::client::sync::sync_events::v3::Request;
use skerry_core::sync_token::{Made, SyncToken};

use self::{
    complete::{AnsweredCompletely, Complete},
    options::SyncOptions,
    read_rooms::{ReadRooms, read_rooms},
    response::Builder,
};
use super::super::{
    Cx, access::UncheckedToken, counted::charge_search, mount::Routes, patched::Patched,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        room::RoomSync,
        user::{Changes, GetChanges, Read, ReadRoom, StreamPosition},
    },
};

/// The longest a request may wait, whatever it asks for.
pub const MAX_WAIT: Duration = Duration::from_secs(90);

/// Rooms that are read at once for one request.
pub const ROOMS_AT_ONCE: usize = 32;

/// Rooms that are read for one response, about. A client that has more to read asks again: the
/// token says so. Within what Cloudflare allows of requests to objects for one request. Few where
/// tests are to meet more than one page.
pub const ROOMS_PER_RESPONSE: usize = if cfg!(feature = "test-routes") { 4 } else { 200 };

/// Bytes of the events of rooms in one response, about: the room with which it is full is the last
/// one, and the token says which are left. Two hundred rooms of 20 KiB.
pub const RESPONSE_BYTES: usize = 4 << 20;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(sync_events)
}

/// `GET /_matrix/client/*/sync`
pub async fn sync_events(
    cx: Cx,
    token: UncheckedToken,
    Patched { request, .. }: Patched<Request, AnsweredCompletely>,
) -> Result<Complete> {
    let options = match SyncOptions::from_memory(&cx, &token.user_id, &request) {
        Some(options) => options,
        None => {
            let caller = token.check(&cx).await?.caller;
            SyncOptions::resolve(&cx, &caller, &request).await?
        }
    };
    let mut since = match request.since.as_deref().map(parse_token).transpose() {
        Ok(since) => since,
        Err(error) => {
            token.check(&cx).await?;
            return Err(error);
        }
    };
    let wait = request.timeout.unwrap_or_default().min(MAX_WAIT);
    let deadline_ms = now_ms(&cx).saturating_add(millis(wait));
    let mut looked_at = None;
    loop {
        let left_ms = deadline_ms.saturating_sub(now_ms(&cx));
        let may_wait = !request.full_state && left_ms > 0;
        let question = question(&token, &options, since, looked_at);
        let objects = &cx.ports.objects;
        let changes = match since {
            Some(_) if may_wait => {
                let left = Duration::from_millis(left_ms);
                objects.wait_for_changes(&token.user_id, question, left).await
            }
            _ => objects.ask(&*token.user_id, question).await.map(Some),
        };
        let changes = token.answered(&cx, changes).await?;
        let (Some(changes), is_initial) = (changes, since.is_none()) else {
            let now_us = cx.ports.clock.instant_us();
            let token = since.unwrap_or(SyncToken::at(0)).given_again(now_us);
            return Ok(Builder::new().finish(token));
        };
        let position = changes.position;
        // Another server's token, or one from before a backup was restored: the client begins.
        since = since.filter(|_| !changes.is_from_beginning);
        let device_id = changes.device_id.clone();
        let caller = Caller { user_id: token.user_id.clone(), device_id };
        let (builder, next) = assemble(&cx, &caller, &options, since, *changes).await?;
        if is_initial || since.is_none() || !may_wait || !builder.is_empty() {
            return Ok(builder.finish(next));
        }
        // What changed is nothing this client wants to see: it need not be looked at again.
        since = Some(next);
        looked_at = Some(position);
    }
}

fn question(
    token: &UncheckedToken,
    options: &SyncOptions,
    since: Option<SyncToken>,
    looked_at: Option<StreamPosition>,
) -> GetChanges {
    GetChanges {
        since,
        include_leave: options.filter.room.include_leave,
        full_state: options.full_state,
        access_hash: token.access_hash.clone(),
        lazy_loads: options.remembers_members(),
        looked_at,
        limit: ROOMS_PER_RESPONSE,
    }
}

/// Reads what changed and puts it together.
async fn assemble(
    cx: &Cx,
    caller: &Caller,
    options: &SyncOptions,
    since: Option<SyncToken>,
    mut changes: Changes,
) -> Result<(Builder, SyncToken)> {
    changes.joined.retain(|it| options.passes_room(&it.room_id));
    changes.left.retain(|it| options.passes_room(&it.room_id));
    let mut builder = Builder::new();
    let account_data = std::mem::take(&mut changes.account_data);
    builder.add_account_data(options, caller, since.is_none(), account_data)?;
    for (room_id, stripped_state) in std::mem::take(&mut changes.invited) {
        if options.passes_room(&room_id) {
            builder.add_invited(room_id, stripped_state);
        }
    }
    for (room_id, stripped_state) in std::mem::take(&mut changes.knocked) {
        if options.passes_room(&room_id) {
            builder.add_knocked(room_id, stripped_state);
        }
    }
    let Changes { position, instance, ephemeral, looked_up_us, .. } = changes;
    let made = Made { us: looked_up_us, is_partial: options.keeps_out_rooms() };
    let (mut read, mut searched_kib) = (Vec::new(), 0_u32);
    let ReadRooms { rooms, rest } = read_rooms(cx, caller, options, since, changes).await?;
    for mut room in rooms {
        if let Some(sync) = &mut room.sync {
            searched_kib = searched_kib.saturating_add(sync.searched_kib);
            if !room.change.is_ephemeral || is_more_than_ephemeral(sync) {
                read.push(ReadRoom {
                    room_id: room.change.room_id.clone(),
                    to: sync.to,
                    members: std::mem::take(&mut sync.members_sent),
                });
            }
        }
        builder.add_room(options, room)?;
    }
    charge_search(cx, caller, searched_kib);
    let device_id = caller.device_id.clone();
    let token = record(cx, caller, Read { position, instance, device_id, rooms: read }).await?;
    Ok((builder, token.with_rest(rest).with_ephemeral(ephemeral).with_made(made)))
}

/// Whether a room that was read for receipts or typing alone had something else too.
fn is_more_than_ephemeral(sync: &RoomSync) -> bool {
    !sync.timeline.is_empty() || !sync.state.is_empty() || sync.limited
}

/// Records that the rooms were read.
async fn record(cx: &Cx, caller: &Caller, read: Read) -> Result<SyncToken> {
    if read.rooms.is_empty() {
        return Ok(SyncToken::at(read.position));
    }
    cx.ports.objects.ask(&*caller.user_id, read).await
}

fn parse_token(text: &str) -> Result<SyncToken> {
    text.parse().map_err(|_| Error::invalid_param("`since` is not a token of this server's sync"))
}

fn now_ms(cx: &Cx) -> u64 {
    cx.ports.clock.now_ms()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
