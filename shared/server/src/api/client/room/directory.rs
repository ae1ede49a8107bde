//! `GET /_matrix/client/*/directory/list/room/{roomId}` ([spec][get]),
//! `PUT /_matrix/client/*/directory/list/room/{roomId}` ([spec][set])
//!
//! Whether it is listed is for the room to know, and its entry for the room to keep.
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

use super::ask_by_name;
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::{authenticated, open},
    },
    messages::{
        Caller,
        room::{GetPublicInfo, PublicInfo, SetListed},
    },
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
    let visibility = match find_info(&cx, &request.room_id).await?.listed {
        true => Visibility::Public,
        false => Visibility::Private,
    };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

async fn set_room_visibility(
    cx: Cx,
    caller: Caller,
    SetRoomVisibility(request): SetRoomVisibility,
) -> Result<set_room_visibility::v3::Response> {
    let set_room_visibility::v3::Request { room_id, visibility, .. } = request;
    let listed = match visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        _ => return Err(Error::bad_json("the visibility is neither `public` nor `private`")),
    };
    ask_by_name(&cx, &room_id, SetListed { user_id: caller.user_id, listed }).await?;
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

/// What a room shows to everybody.
///
/// # Errors
///
/// `M_NOT_FOUND` when there is no such room.
pub(super) async fn find_info(cx: &Cx, room_id: &RoomId) -> Result<PublicInfo> {
    ask_by_name(cx, room_id, GetPublicInfo {}).await.map(|it| *it)
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
