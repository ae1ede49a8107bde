//! `GET /_matrix/client/*/sync` ([spec]).
//!
//! The user's object says which rooms have something new; the rooms are read side by side; then
//! the user's object records how far they were read, and gives the token that says so. Messages to
//! the device are looked for after that, so that no event comes before its key. Nothing is held
//! while a client waits.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

mod complete;
mod devices;
mod options;
mod read_rooms;
mod response;

use std::time::Duration;

use ruma::api::client::sync::sync_events::v3::Request;
use skerry_core::{
    presence::rank,
    sync_token::{Made, SyncToken},
};

pub(super) use self::devices::Devices;
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
        room::{DeviceChanges, RoomSync},
        user::{AskedAs, Changes, GetChanges, Inbox, Read, ReadRoom, Recorded, StreamPosition},
    },
    server::Presence,
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
        let wait_ms = if may_wait { left_ms } else { 0 };
        let presence = asked_as(&cx, &request, wait_ms);
        let question = question(&token, &options, since, (looked_at, presence));
        let objects = &cx.ports.objects;
        let waits_since = since.filter(|_| may_wait);
        let changes = match waits_since {
            Some(_) => {
                let left = Duration::from_millis(left_ms);
                objects.wait_for_changes(&token.user_id, question, left).await
            }
            None => objects.ask(&*token.user_id, question).await,
        };
        let changes = token.answered(&cx, changes).await?;
        if let Some(since) = waits_since
            && changes.is_empty()
            && !changes.is_from_beginning
        {
            let again = since.given_again(cx.ports.clock.instant_us());
            return Ok(Builder::new(changes.key_counts).finish(again));
        }
        let (position, is_initial) = (changes.position, since.is_none());
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
    (looked_at, presence): (Option<StreamPosition>, Option<AskedAs>),
) -> GetChanges {
    GetChanges {
        since,
        include_leave: options.filter.room.include_leave,
        full_state: options.full_state,
        access_hash: token.access_hash.clone(),
        lazy_loads: options.remembers_members(),
        looked_at,
        limit: ROOMS_PER_RESPONSE,
        presence,
    }
}

/// What the request says of its user, where anybody is told.
fn asked_as(cx: &Cx, request: &Request, wait_ms: u64) -> Option<AskedAs> {
    let presence = request.set_presence.clone();
    let is_told = cx.server.config.presence != Presence::Off && rank(&presence).is_some();
    is_told.then_some(AskedAs { presence, wait_ms })
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
    let mut builder = Builder::new(std::mem::take(&mut changes.key_counts));
    let mut devices = Devices::new(std::mem::take(&mut changes.key_changes));
    let account_data = std::mem::take(&mut changes.account_data);
    let inbox = std::mem::take(&mut changes.inbox);
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
    let (mut read, mut searched_kib, mut active_ms) = (Vec::new(), 0_u32, None);
    let mut statuses = std::mem::take(&mut changes.statuses);
    let ReadRooms { rooms, rest } = read_rooms(cx, caller, options, since, changes).await?;
    for mut room in rooms {
        if let Some(sync) = &mut room.sync {
            searched_kib = searched_kib.saturating_add(sync.searched_kib);
            statuses.append(&mut sync.statuses);
            active_ms = active_ms.max(sync.active_ms);
            if !room.change.is_ephemeral || is_more_than_ephemeral(sync) {
                read.push(ReadRoom {
                    room_id: room.change.room_id.clone(),
                    to: sync.to,
                    members: std::mem::take(&mut sync.members_sent),
                });
            }
            devices.add(std::mem::take(&mut sync.devices));
        }
        builder.add_room(options, room)?;
    }
    builder.add_statuses(options, statuses, now_ms(cx))?;
    charge_search(cx, caller, searched_kib);
    builder.add_devices(devices.resolve(cx, caller).await?);
    let device_id = caller.device_id.clone();
    // The newest events of a room that is new to the client are of any time.
    let is_told = since.is_some() && cx.server.config.presence != Presence::Off;
    let active_ms = active_ms.filter(|_| is_told);
    let read = Read { position, instance, device_id, rooms: read, active_ms };
    let Recorded { token, inbox } = record(cx, caller, read, inbox).await?;
    let token = token.with_rest(rest).with_ephemeral(ephemeral).with_to_device(inbox.upto);
    builder.add_to_device(inbox.events);
    Ok((builder, token.with_made(made)))
}

/// Whether a room that was read for receipts or typing alone had something else too.
fn is_more_than_ephemeral(sync: &RoomSync) -> bool {
    !sync.timeline.is_empty()
        || !sync.state.is_empty()
        || sync.limited
        || sync.devices != DeviceChanges::default()
}

/// Records that the rooms were read. `inbox`: what waited before.
async fn record(cx: &Cx, caller: &Caller, read: Read, inbox: Inbox) -> Result<Recorded> {
    if read.rooms.is_empty() {
        return Ok(Recorded { token: SyncToken::at(read.position), inbox });
    }
    cx.ports.objects.ask(&*caller.user_id, read).await
}

/// The token of a client.
pub(super) fn parse_token(text: &str) -> Result<SyncToken> {
    text.parse().map_err(|_| Error::invalid_param("this is not a token of this server's sync"))
}

fn now_ms(cx: &Cx) -> u64 {
    cx.ports.clock.now_ms()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
