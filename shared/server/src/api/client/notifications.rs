//! The list of notifications ([spec]): what the user's rooms have that notifies, looked for when
//! somebody asks.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#listing-notifications

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, UInt, api::client::push::get_notifications,
    events::room::member::MembershipState, serde::Raw,
};
use skerry_core::{
    integer,
    notifications::{self, DEFAULT_LIMIT, MAX_LIMIT, RoomPage},
};

use super::{
    super::{Cx, counted::charge_search, mount::Routes},
    room::joined_rooms,
    sync::ROOMS_AT_ONCE,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        room::{ListNotifications, Notifications},
        user::{GetPushRules, ListIgnored},
    },
};

/// Rooms that are asked for one page. Somebody who is in more is not told of the others.
pub const MAX_ROOMS: usize = 1_000;

/// Mounts the endpoint.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(get_notifications)
}

/// `GET /_matrix/client/*/notifications`
pub async fn get_notifications(
    cx: Cx,
    caller: Caller,
    request: get_notifications::v3::Request,
) -> Result<get_notifications::v3::Response> {
    let get_notifications::v3::Request { from, limit, only, .. } = request;
    let no_token = || Error::invalid_param("`from` is no token of this endpoint");
    let before_us = from.map(|it| integer::parse(&it).ok_or_else(no_token)).transpose()?;
    let limit = limit.map_or(DEFAULT_LIMIT, u64::from).clamp(1, MAX_LIMIT);
    let rules = cx.ports.objects.ask(&*caller.user_id, GetPushRules {}).await?.whole();
    let ignored_users = cx.ports.objects.ask(&*caller.user_id, ListIgnored {}).await?;
    let mut rooms = joined_rooms::list(&cx, &caller.user_id, MembershipState::Join).await?;
    rooms.truncate(MAX_ROOMS);
    let asked = rooms.into_iter().map(|room_id| {
        let ask = ListNotifications {
            caller: caller.clone(),
            ignored_users: ignored_users.clone(),
            push_rules: rules.in_room(&room_id),
            before_us,
            limit,
            highlights_only: only.as_deref() == Some("highlight"),
        };
        ask_room(&cx, room_id, ask)
    });
    let asked: Vec<_> = asked.collect();
    let rooms: Vec<_> = stream::iter(asked).buffered(ROOMS_AT_ONCE).try_collect().await?;
    let mut searched_kib = 0_u32;
    let mut pages = Vec::with_capacity(rooms.len());
    for (room_id, found) in rooms {
        searched_kib = searched_kib.saturating_add(found.searched_kib);
        let notifications = found.notifications.into_iter();
        let notifications = notifications.map(|it| (it.stored_us, (room_id.clone(), it)));
        let looked_back_to_us = found.looked_back_to_us;
        pages.push(RoomPage { notifications: notifications.collect(), looked_back_to_us });
    }
    charge_search(&cx, &caller, searched_kib);
    let page = notifications::page(pages, limit);
    let listed = page.notifications.into_iter().map(|(at_us, (room_id, it))| {
        let ts = MilliSecondsSinceUnixEpoch(UInt::new_saturating(at_us / 1_000));
        let event = Raw::from_json(it.event);
        get_notifications::v3::Notification::new(it.actions, event, it.is_read, room_id, ts)
    });
    let mut response = get_notifications::v3::Response::new(listed.collect());
    response.next_token = page.next_before_us.map(|it| it.to_string());
    Ok(response)
}

/// What a room has. One that refuses has nothing: the user has left it meanwhile.
async fn ask_room(
    cx: &Cx,
    room_id: OwnedRoomId,
    ask: ListNotifications,
) -> Result<(OwnedRoomId, Notifications)> {
    match cx.ports.objects.ask(&*room_id, ask).await {
        Ok(found) => Ok((room_id, *found)),
        Err(error) if error.is_refusal() => {
            let nothing = Notifications {
                notifications: Vec::new(),
                looked_back_to_us: None,
                searched_kib: 0,
            };
            Ok((room_id, nothing))
        }
        Err(error) => Err(error),
    }
}
