//! `GET /_matrix/client/*/keys/changes` ([spec])
//!
//! What changed since `from`, up to now: `to` is not looked at, as the specification has it. A room
//! that is new since then, or of which nobody knows any more how far it was read, is told with all
//! its members.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges

use futures_util::{StreamExt as _, stream};
use ruma::api::client::keys::get_key_changes;

use super::super::sync::{Devices, ROOMS_AT_ONCE, parse_token};
use crate::{
    Result,
    api::{Cx, access::UncheckedToken},
    messages::{
        Caller,
        room::{DeviceChanges, GetDeviceChanges},
        user::{GetChanges, RoomChange},
    },
};

/// `GET /_matrix/client/*/keys/changes`
pub(super) async fn get_key_changes(
    cx: Cx,
    token: UncheckedToken,
    request: get_key_changes::v3::Request,
) -> Result<get_key_changes::v3::Response> {
    let caller = token.check(&cx).await?.caller;
    let since = parse_token(&request.from)?;
    parse_token(&request.to)?;
    let question = GetChanges {
        since: Some(since),
        include_leave: false,
        full_state: false,
        access_hash: token.access_hash.clone(),
        lazy_loads: false,
        looked_at: None,
        limit: usize::MAX,
        presence: None,
    };
    let changes = cx.ports.objects.ask(&*token.user_id, question).await?;
    let mut devices = Devices::new(changes.key_changes);
    let rooms = changes.joined.into_iter().filter(|it| it.has_events).chain(changes.left);
    let asks: Vec<_> = rooms.map(|it| of_room(&cx, &caller, it)).collect();
    let mut answers = stream::iter(asks).buffer_unordered(ROOMS_AT_ONCE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(changes) => devices.add(changes),
            Err(error) if error.is_refusal() => {}
            Err(error) => return Err(error),
        }
    }
    let changes = devices.resolve(&cx, &caller).await?;
    Ok(get_key_changes::v3::Response::new(changes.changed, changes.left))
}

async fn of_room(cx: &Cx, caller: &Caller, room: RoomChange) -> Result<DeviceChanges> {
    let question = GetDeviceChanges { user_id: caller.user_id.clone(), from: room.from };
    cx.ports.objects.ask(&*room.room_id, question).await
}
