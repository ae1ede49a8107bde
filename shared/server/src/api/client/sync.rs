//! `GET /_matrix/client/*/sync` ([spec]).
//!
//! The user's object says which rooms have something new; the rooms are read side by side; then
//! the user's object records how far they were read, and gives the token that says so. Nothing is
//! held while a client waits.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

mod read_rooms;
mod response;
mod wanted;

use std::time::Duration;

use axum::Router;
use ruma::api::client::sync::sync_events;
use skerry_core::sync_token::SyncToken;

use self::{read_rooms::read_rooms, response::Builder, wanted::Wanted};
use super::super::{Cx, mount};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{Changes, GetChanges, Read, ReadRoom},
    },
};

/// The longest a request may wait, whatever it asks for.
pub const MAX_WAIT: Duration = Duration::from_secs(90);

/// Rooms that are read at once for one request.
pub const ROOMS_AT_ONCE: usize = 32;

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    mount::authenticated(router, sync_events)
}

/// `GET /_matrix/client/*/sync`
pub async fn sync_events(
    cx: Cx,
    caller: Caller,
    request: sync_events::v3::Request,
) -> Result<sync_events::v3::Response> {
    let mut since = request.since.as_deref().map(parse_token).transpose()?;
    let wanted = Wanted::resolve(&cx, &caller, &request).await?;
    let wait = request.timeout.unwrap_or_default().min(MAX_WAIT);
    let deadline_ms = now_ms(&cx).saturating_add(millis(wait));
    let mut waited_after = None;
    loop {
        let changes = ask_changes(&cx, &caller, &wanted, since).await?;
        let position = changes.position;
        // A wait that ended without news is not begun again: the host is going down.
        let is_news = waited_after.is_none_or(|it| it < position);
        // Another server's token, or one from before a backup was restored: the client begins.
        since = since.filter(|it| it.newest() <= position);
        let (builder, token) = assemble(&cx, &caller, &wanted, since, changes).await?;
        let left_ms = deadline_ms.saturating_sub(now_ms(&cx));
        let may_wait = since.is_some() && !request.full_state && is_news;
        if !may_wait || left_ms == 0 || !builder.is_empty() {
            return Ok(builder.finish(token));
        }
        // What changed is nothing this client wants to see: it need not be looked at again.
        since = Some(token);
        let left = Duration::from_millis(left_ms);
        cx.ports.objects.wait(&caller.user_id, position, left).await?;
        waited_after = Some(position);
    }
}

async fn ask_changes(
    cx: &Cx,
    caller: &Caller,
    wanted: &Wanted,
    since: Option<SyncToken>,
) -> Result<Changes> {
    let question = GetChanges {
        since,
        include_leave: wanted.filter.room.include_leave,
        full_state: wanted.full_state,
        lazy_loads: wanted.remembers_members().then(|| caller.device_id.clone()),
    };
    Ok(*cx.ports.objects.ask(&*caller.user_id, question).await?)
}

/// Reads what changed and puts it together.
async fn assemble(
    cx: &Cx,
    caller: &Caller,
    wanted: &Wanted,
    since: Option<SyncToken>,
    mut changes: Changes,
) -> Result<(Builder, SyncToken)> {
    changes.joined.retain(|it| wanted.passes_room(&it.room_id));
    changes.left.retain(|it| wanted.passes_room(&it.room_id));
    let mut builder = Builder::new();
    let account_data = std::mem::take(&mut changes.account_data);
    builder.add_account_data(wanted, caller, since.is_none(), account_data)?;
    for (room_id, stripped_state) in std::mem::take(&mut changes.invited) {
        if wanted.passes_room(&room_id) {
            builder.add_invited(room_id, stripped_state);
        }
    }
    for (room_id, stripped_state) in std::mem::take(&mut changes.knocked) {
        if wanted.passes_room(&room_id) {
            builder.add_knocked(room_id, stripped_state);
        }
    }
    let position = changes.position;
    let mut read = Vec::new();
    for mut room in read_rooms(cx, caller, wanted, changes).await? {
        if let Some(sync) = &mut room.sync {
            read.push(ReadRoom {
                room_id: room.change.room_id.clone(),
                to: sync.to,
                members: std::mem::take(&mut sync.members_sent),
            });
        }
        builder.add_room(wanted, room)?;
    }
    Ok((builder, record(cx, caller, position, read).await?))
}

/// Records that the rooms were read.
async fn record(
    cx: &Cx,
    caller: &Caller,
    position: u64,
    rooms: Vec<ReadRoom>,
) -> Result<SyncToken> {
    if rooms.is_empty() {
        return Ok(SyncToken::at(position));
    }
    let read = Read { position, device_id: caller.device_id.clone(), rooms };
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
