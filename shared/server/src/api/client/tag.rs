//! Tags of rooms ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-tagging

use ruma::{
    OwnedRoomId,
    api::{
        client::tag::{create_tag, delete_tag, get_tags},
        error::DeserializationError,
    },
    events::tag::{TagEventContent, Tags},
};

use super::{
    super::{
        Cx,
        mount::Routes,
        patched::{Body, Patch, Patched},
    },
    account_data::check_own,
};
use crate::{
    Result,
    messages::{
        Caller, RawJson,
        user::{GetAccountData, SetTag},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(create_tag).mount(delete_tag).mount(get_tags)
}

/// `PUT /_matrix/client/*/user/{userId}/rooms/{roomId}/tags/{tag}`
pub async fn create_tag(
    cx: Cx,
    caller: Caller,
    Patched { request, patch: Info(info) }: Patched<create_tag::v3::Request, Info>,
) -> Result<create_tag::v3::Response> {
    let create_tag::v3::Request { user_id, room_id, tag, .. } = request;
    check_own(&caller, &user_id)?;
    set(&cx, &caller, room_id, tag, Some(info)).await?;
    Ok(create_tag::v3::Response::new())
}

/// `DELETE /_matrix/client/*/user/{userId}/rooms/{roomId}/tags/{tag}`
pub async fn delete_tag(
    cx: Cx,
    caller: Caller,
    request: delete_tag::v3::Request,
) -> Result<delete_tag::v3::Response> {
    check_own(&caller, &request.user_id)?;
    set(&cx, &caller, request.room_id, request.tag, None).await?;
    Ok(delete_tag::v3::Response::new())
}

/// `GET /_matrix/client/*/user/{userId}/rooms/{roomId}/tags`
pub async fn get_tags(
    cx: Cx,
    caller: Caller,
    request: get_tags::v3::Request,
) -> Result<get_tags::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let question =
        GetAccountData { room_id: Some(request.room_id), event_type: "m.tag".to_owned() };
    let content = cx.ports.objects.ask(&*caller.user_id, question).await?;
    // A client may have written anything as account data of that type.
    let content = content.and_then(|it| serde_json::from_str::<TagEventContent>(it.get()).ok());
    let tags = content.map_or_else(Tags::new, |it| it.tags);
    Ok(get_tags::v3::Response::new(tags))
}

async fn set(
    cx: &Cx,
    caller: &Caller,
    room_id: OwnedRoomId,
    tag: String,
    info: Option<RawJson>,
) -> Result<()> {
    cx.ports.objects.ask(&*caller.user_id, SetTag { room_id, tag, info }).await
}

/// What the client says of the tag, as it says it: there may be more in it than ruma knows of.
pub struct Info(RawJson);

impl Patch<create_tag::v3::Request> for Info {
    type Response = create_tag::v3::Response;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        Ok(Self(body.read()?))
    }
}
