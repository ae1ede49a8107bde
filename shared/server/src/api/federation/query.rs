//! `GET /_matrix/federation/v1/query/directory` ([spec][directory]),
//! `GET /_matrix/federation/v1/query/profile` ([spec][profile])
//!
//! [directory]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1querydirectory
//! [profile]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryprofile

use ruma::{
    RoomOrAliasId,
    api::federation::query::{get_profile_information, get_room_information},
    profile::ProfileFieldName,
};
use skerry_core::gather::Gather as _;

use crate::{
    Error, Result,
    api::{
        Cx,
        client::{profile, room},
        mount::Routes,
        origin::Origin,
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_room_information).mount(get_profile_information)
}

async fn get_room_information(
    cx: Cx,
    _: Origin,
    request: get_room_information::v1::Request,
) -> Result<get_room_information::v1::Response> {
    let alias = request.room_alias;
    // Whoever asks here for aliases of others has lost their way.
    if alias.server_name() != cx.server.name {
        return Err(Error::not_found("this is an alias of another server"));
    }
    let (room_id, servers) = room::locate(&cx, <&RoomOrAliasId>::from(&*alias)).await?;
    Ok(get_room_information::v1::Response::new(room_id, servers))
}

async fn get_profile_information(
    cx: Cx,
    Origin(server): Origin,
    request: get_profile_information::v1::Request,
) -> Result<get_profile_information::v1::Response> {
    profile::check_shown_to_server(&cx, &server, &request.user_id).await?;
    let profile = profile::find(&cx, &request.user_id).await?;
    let profile = profile.ok_or_else(|| Error::not_found("this server has no such user"))?;
    let wanted = request.field.as_ref().map(ProfileFieldName::as_str);
    let fields = profile.into_iter().filter(|(name, _)| wanted.is_none_or(|it| it == name));
    Ok(fields.gather())
}
