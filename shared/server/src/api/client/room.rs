//! Rooms: making them, being in them, speaking, reading, and finding them.
//!
//! Handlers look up what a room object cannot know (aliases, profiles, accounts), ask the object,
//! and answer. Whether something is allowed is for the room to say, and what follows from it is for
//! the room to bring about.

mod alias;
mod by_way;
mod canonical_alias;
mod create_room;
mod directory;
pub(in crate::api) mod exchange;
mod forget_room;
pub(in crate::api) mod get_event_by_timestamp;
mod get_hierarchy;
mod get_messages;
mod get_room_event;
mod get_state;
mod get_summary;
mod invite_user;
mod join_room;
pub(in crate::api) mod joined_rooms;
mod member_profile;
mod members;
mod page_token;
mod public_rooms;
mod redact_event;
mod remote_invite;
mod remote_join;
mod remote_knock;
mod remote_leave;
mod remote_public_rooms;
mod remove_user;
mod reservation;
mod send_message_event;
mod send_state_event;
mod third_party_invite;
mod whole_request;

use std::time::Duration;

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId, RoomOrAliasId,
    api::federation::query::get_room_information,
};

use crate::{
    Error, Result,
    api::{Cx, mount::Routes, remote::not_found},
    messages::{
        Ask, Caller, RawJson,
        room::{ListServers, Send, ToRoom},
        user::ListIgnored,
    },
    peers::Limits,
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    let groups = [
        alias::routes,
        create_room::routes,
        directory::routes,
        forget_room::routes,
        get_event_by_timestamp::routes,
        get_hierarchy::routes,
        get_messages::routes,
        get_room_event::routes,
        get_state::routes,
        get_summary::routes,
        invite_user::routes,
        join_room::routes,
        joined_rooms::routes,
        members::routes,
        public_rooms::routes,
        redact_event::routes,
        remove_user::routes,
        send_message_event::routes,
        send_state_event::routes,
    ];
    groups.into_iter().fold(routes, |routes, group| group(routes))
}

/// Asks a room.
async fn ask<A: Ask<Recipient = ToRoom>>(
    cx: &Cx,
    room_id: &RoomId,
    question: A,
) -> Result<A::Reply> {
    cx.ports.objects.ask(room_id, question).await
}

/// Asks a room that somebody knows by name alone.
///
/// # Errors
///
/// `M_NOT_FOUND` when there is no such room.
async fn ask_by_name<A: Ask<Recipient = ToRoom>>(
    cx: &Cx,
    room_id: &RoomId,
    question: A,
) -> Result<A::Reply> {
    match ask(cx, room_id, question).await {
        Err(Error::UnknownRoom) => Err(Error::not_found("no room of this ID is known here")),
        other => other,
    }
}

/// Whose events a user does not want to see. Whoever is known to ignore nobody is not asked.
async fn ignored_users(cx: &Cx, caller: &Caller) -> Result<Vec<OwnedUserId>> {
    let (user_id, now_ms) = (&*caller.user_id, cx.ports.clock.now_ms());
    match cx.ports.sessions.ignores_nobody(user_id, now_ms) {
        true => Ok(Vec::new()),
        false => cx.ports.objects.ask(user_id, ListIgnored {}).await,
    }
}

/// Sends a state event as it is.
async fn send_state(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    event_type: &str,
    state_key: String,
    content: RawJson,
) -> Result<OwnedEventId> {
    let send = Send {
        caller,
        event_type: event_type.to_owned(),
        state_key: Some(state_key),
        content,
        transaction_id: None,
        timestamp_ms: None,
    };
    ask(cx, room_id, send).await
}

/// The room that is meant, by its ID or by an alias, and servers that are in it. An alias of
/// another server is asked for there.
pub(in crate::api) async fn locate(
    cx: &Cx,
    room: &RoomOrAliasId,
) -> Result<(OwnedRoomId, Vec<OwnedServerName>)> {
    match <&RoomAliasId>::try_from(room) {
        Err(room_id) => Ok((room_id.to_owned(), Vec::new())),
        Ok(alias) if alias.server_name() != cx.server.name => {
            let request = get_room_information::v1::Request::new(alias.to_owned());
            let limits = Limits { max_answer_bytes: 64 * 1024, timeout: Duration::from_secs(20) };
            let found = cx.peers().ask(alias.server_name(), request, limits).await;
            let found = found.map_err(not_found)?;
            Ok((found.room_id, found.servers))
        }
        Ok(_) => {
            let room_id = resolve(cx, room).await?;
            let servers = servers_in(cx, &room_id).await?;
            Ok((room_id, servers))
        }
    }
}

/// Servers by way of which a room can be joined, this one first.
async fn servers_in(cx: &Cx, room_id: &RoomId) -> Result<Vec<OwnedServerName>> {
    let others = match ask(cx, room_id, ListServers {}).await {
        Err(Error::UnknownRoom) => Vec::new(),
        answer => answer?,
    };
    Ok(std::iter::once(cx.server.name.clone()).chain(others).collect())
}

/// The room that is meant, by its ID or by an alias of this server.
pub(in crate::api) async fn resolve(cx: &Cx, room: &RoomOrAliasId) -> Result<OwnedRoomId> {
    let alias = match <&RoomId>::try_from(room) {
        Ok(room_id) => return Ok(room_id.to_owned()),
        Err(alias) => alias,
    };
    if alias.server_name() != cx.server.name {
        return Err(Error::not_found(
            "this is an alias of another server, and federation is not available",
        ));
    }
    let found = reservation::find(cx, alias).await?;
    found.map(|it| it.room_id).ok_or_else(|| Error::not_found("there is no such room alias"))
}
