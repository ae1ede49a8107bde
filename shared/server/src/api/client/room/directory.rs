//! `GET /_matrix/client/*/directory/list/room/{roomId}` ([spec][get]),
//! `PUT /_matrix/client/*/directory/list/room/{roomId}` ([spec][set]), and how the directory
//! follows its rooms.
//!
//! A room cannot write the global store, so the handler that changed something brings the room's
//! entry up to date before it answers. If the server dies in between, the entry is stale until
//! the next change of the room.
//!
//! [get]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
//! [set]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid

use axum::Router;
use http::Method;
use ruma::{
    RoomId,
    api::{
        IncomingRequest, Metadata,
        client::{
            directory::{get_room_visibility, set_room_visibility},
            room::Visibility,
        },
        error::DeserializationError,
    },
};
use serde_json::{Map as JsonMap, Value as JsonValue};

use super::ask;
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::{authenticated, open},
    },
    messages::{
        Caller,
        room::{Action, CheckMay, GetPublicInfo, PublicInfo},
    },
    store::global::directory,
};

/// Mounts the endpoints.
pub(super) fn routes(router: Router) -> Router {
    let router = open(router, get_room_visibility);
    authenticated(router, set_room_visibility)
}

async fn get_room_visibility(
    cx: Cx,
    request: get_room_visibility::v3::Request,
) -> Result<get_room_visibility::v3::Response> {
    let room_id = &request.room_id;
    let visibility = if directory::is_listed(&*cx.ports.global, room_id).await? {
        Visibility::Public
    } else {
        find_info(&cx, room_id).await.map(|_| Visibility::Private)?
    };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

async fn set_room_visibility(
    cx: Cx,
    caller: Caller,
    SetRoomVisibility(request): SetRoomVisibility,
) -> Result<set_room_visibility::v3::Response> {
    let set_room_visibility::v3::Request { room_id, visibility, .. } = request;
    find_info(&cx, &room_id).await?;
    let action = Action::ChangeDirectory;
    ask(&cx, &room_id, CheckMay { user_id: caller.user_id, action }).await?;
    match visibility {
        Visibility::Public => list(&cx, &room_id).await?,
        Visibility::Private => {
            let stmt = directory::update_listed(&room_id, false);
            cx.ports.global.batch(vec![stmt]).await?;
        }
        _ => return Err(Error::bad_json("the visibility is neither `public` nor `private`")),
    }
    Ok(set_room_visibility::v3::Response::new())
}

/// ruma's request, but with the default that the specification gives: to publish the room.
struct SetRoomVisibility(set_room_visibility::v3::Request);

impl Metadata for SetRoomVisibility {
    const METHOD: Method = set_room_visibility::v3::Request::METHOD;
    const RATE_LIMITED: bool = set_room_visibility::v3::Request::RATE_LIMITED;
    type Authentication = <set_room_visibility::v3::Request as Metadata>::Authentication;
    type PathBuilder = <set_room_visibility::v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = set_room_visibility::v3::Request::PATH_BUILDER;
}

impl IncomingRequest for SetRoomVisibility {
    type EndpointError = <set_room_visibility::v3::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = set_room_visibility::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let mut fields: JsonMap<String, JsonValue> = serde_json::from_slice(request.body())?;
        fields.entry("visibility").or_insert_with(|| Visibility::Public.as_str().into());
        let body = serde_json::to_vec(&fields)?;
        let request = request.map(|_| &*body);
        set_room_visibility::v3::Request::try_from_http_request_inner(request, path_args).map(Self)
    }
}

/// Lists a room in the directory.
pub(super) async fn list(cx: &Cx, room_id: &RoomId) -> Result<()> {
    let info = find_info(cx, room_id).await?;
    let upsert = directory::upsert(room_id, &info, info.position);
    cx.ports.global.batch(vec![upsert, directory::update_listed(room_id, true)]).await?;
    Ok(())
}

/// Brings the entry of a listed room up to date. What was asked for has been done whether or not
/// this succeeds, so a failure is only logged.
pub(in crate::api) async fn refresh(cx: &Cx, room_id: &RoomId) {
    if let Err(error) = try_refresh(cx, room_id).await {
        tracing::warn!(%error, %room_id, "the room's directory entry could not be refreshed");
    }
}

async fn try_refresh(cx: &Cx, room_id: &RoomId) -> Result<()> {
    if !directory::is_listed(&*cx.ports.global, room_id).await? {
        return Ok(());
    }
    let info = find_info(cx, room_id).await?;
    cx.ports.global.batch(vec![directory::upsert(room_id, &info, info.position)]).await?;
    Ok(())
}

/// What a room shows to everybody.
///
/// # Errors
///
/// `M_NOT_FOUND` when there is no such room.
pub(super) async fn find_info(cx: &Cx, room_id: &RoomId) -> Result<PublicInfo> {
    match ask(cx, room_id, GetPublicInfo {}).await {
        Ok(info) => Ok(*info),
        Err(Error::Api { .. }) => Err(Error::not_found("no room of this ID is known here")),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_published_unless_said_otherwise() {
        let visibility = |body: &'static [u8]| {
            let request = http::Request::put("/").body(body).unwrap();
            let request = SetRoomVisibility::try_from_http_request_inner(request, &["!a:x.y"]);
            request.unwrap().0.visibility
        };
        assert_eq!(visibility(b"{}"), Visibility::Public);
        assert_eq!(visibility(br#"{"visibility":"private"}"#), Visibility::Private);
        assert_eq!(visibility(br#"{"visibility":"public"}"#), Visibility::Public);
    }
}
