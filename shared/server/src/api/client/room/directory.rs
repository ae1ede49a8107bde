//! `GET /_matrix/client/*/directory/list/room/{roomId}` ([spec][get]),
//! `PUT /_matrix/client/*/directory/list/room/{roomId}` ([spec][set])
//!
//! Whether it is listed is for the room to know, and its entry for the room to keep.
//!
//! [get]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
//! [set]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid

use ruma::{
    RoomId,
    api::{
        client::{
            directory::{get_room_visibility, set_room_visibility},
            room::Visibility,
        },
        error::DeserializationError,
    },
};

use super::ask_by_name;
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        patched::{Body, Patch, Patched},
    },
    messages::{
        Caller,
        room::{GetPublicInfo, PublicInfo, SetListed},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_room_visibility).mount(set_room_visibility)
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
    request: Patched<set_room_visibility::v3::Request, DefaultVisibility>,
) -> Result<set_room_visibility::v3::Response> {
    let set_room_visibility::v3::Request { room_id, visibility, .. } = request.request;
    let listed = match visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        _ => return Err(Error::bad_json("the visibility is neither `public` nor `private`")),
    };
    ask_by_name(&cx, &room_id, SetListed { user_id: caller.user_id, listed }).await?;
    Ok(set_room_visibility::v3::Response::new())
}

/// The default that the specification gives: to publish the room.
struct DefaultVisibility;

impl Patch<set_room_visibility::v3::Request> for DefaultVisibility {
    type Response = set_room_visibility::v3::Response;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        body.set_default("visibility", Visibility::Public)?;
        Ok(Self)
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
    use crate::api::patched;

    #[test]
    fn a_room_is_published_unless_said_otherwise() {
        type Request = Patched<set_room_visibility::v3::Request, DefaultVisibility>;
        let visibility =
            |body| patched::read::<Request>(body, &["!a:x.y"]).unwrap().request.visibility;
        assert_eq!(visibility(b"{}"), Visibility::Public);
        assert_eq!(visibility(br#"{"visibility":"private"}"#), Visibility::Private);
        assert_eq!(visibility(br#"{"visibility":"public"}"#), Visibility::Public);
    }
}
