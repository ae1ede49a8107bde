//! `PUT /_matrix/client/*/directory/room/{roomAlias}` ([spec][create]),
//! `GET /_matrix/client/*/directory/room/{roomAlias}` ([spec][get]),
//! `DELETE /_matrix/client/*/directory/room/{roomAlias}` ([spec][delete]),
//! `GET /_matrix/client/*/rooms/{roomId}/aliases` ([spec][list])
//!
//! [create]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directoryroomroomalias
//! [get]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directoryroomroomalias
//! [delete]: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias
//! [list]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidaliases

use http::StatusCode;
use ruma::{
    RoomAliasId, RoomId, RoomOrAliasId,
    api::{
        client::{
            alias::{create_alias, delete_alias, get_alias},
            room::aliases,
        },
        error::ErrorKind,
    },
};
use skerry_core::create_room::is_new_alias;

use super::{ask, canonical_alias, locate, reservation};
use crate::{
    Error, Result,
    api::{Cx, admin, mount::Routes},
    messages::{
        Caller,
        room::{Action, CheckMay},
    },
    store::global::aliases as store,
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(create_alias).mount(get_alias).mount(delete_alias).mount(list_aliases)
}

async fn create_alias(
    cx: Cx,
    caller: Caller,
    request: create_alias::v3::Request,
) -> Result<create_alias::v3::Response> {
    let create_alias::v3::Request { room_alias, room_id, .. } = request;
    check_local(&cx, &room_alias)?;
    if !is_new_alias(&room_alias) {
        return Err(Error::invalid_param(
            "the name of an alias has 1 to 255 bytes in all, without space or control characters",
        ));
    }
    check_may(&cx, &caller, &room_id, Action::BeJoined).await?;
    if store::count(&*cx.ports.global, &room_id).await? >= store::MAX_OF_ROOM {
        let message = format!("a room has at most {} aliases: remove one", store::MAX_OF_ROOM);
        return Err(Error::forbidden(message));
    }
    let creator = &caller.user_id;
    if reservation::reserve(&cx, &room_alias, &room_id, creator).await?.is_none()
        && !reservation::is_reserved(&cx, &room_alias, &room_id, creator).await?
    {
        return Err(Error::with_status(
            StatusCode::CONFLICT,
            ErrorKind::Unknown,
            format!("the alias {room_alias} exists already"),
        ));
    }
    // Once more: the removal of the room may have gone by before there was the alias.
    if let Err(error) = check_may(&cx, &caller, &room_id, Action::BeJoined).await {
        if error.is_refusal() {
            reservation::release(&cx, &room_alias, &room_id).await;
        }
        return Err(error);
    }
    cx.ports.global.batch(vec![store::update_confirmed(&room_alias, &room_id)]).await?;
    Ok(create_alias::v3::Response::new())
}

async fn get_alias(cx: Cx, request: get_alias::v3::Request) -> Result<get_alias::v3::Response> {
    let (room_id, servers) = locate(&cx, <&RoomOrAliasId>::from(&*request.room_alias)).await?;
    Ok(get_alias::v3::Response::new(room_id, servers))
}

async fn delete_alias(
    cx: Cx,
    caller: Caller,
    request: delete_alias::v3::Request,
) -> Result<delete_alias::v3::Response> {
    let alias = request.room_alias;
    check_local(&cx, &alias)?;
    let found = reservation::find(&cx, &alias).await?;
    let found = found.ok_or_else(|| Error::not_found("there is no such room alias"))?;
    if found.creator != caller.user_id && !admin::is_admin(&cx, &caller).await? {
        check_may(&cx, &caller, &found.room_id, Action::RemoveAlias).await?;
    }
    // Before the alias is gone: who repeats a request that came to no end finds it, and goes on. It
    // goes whether or not its creator has the power to say so in the room.
    match canonical_alias::drop_alias(&cx, caller, &found.room_id, &alias).await {
        Err(error) if error.is_refusal() => {
            tracing::debug!(%error, %alias, "a removed alias stays listed in its room");
        }
        other => other?,
    }
    cx.ports.global.batch(vec![store::remove(&alias, &found.room_id)]).await?;
    Ok(delete_alias::v3::Response::new())
}

async fn list_aliases(
    cx: Cx,
    caller: Caller,
    request: aliases::v3::Request,
) -> Result<aliases::v3::Response> {
    check_may(&cx, &caller, &request.room_id, Action::ReadAliases).await?;
    let found = store::list(&*cx.ports.global, &request.room_id).await?;
    Ok(aliases::v3::Response::new(found))
}

fn check_local(cx: &Cx, alias: &RoomAliasId) -> Result<()> {
    if alias.server_name() != cx.server.name {
        return Err(Error::invalid_param("this is an alias of another server"));
    }
    Ok(())
}

async fn check_may(cx: &Cx, caller: &Caller, room_id: &RoomId, action: Action) -> Result<()> {
    let user_id = caller.user_id.clone();
    ask(cx, room_id, CheckMay { user_id, action }).await
}
