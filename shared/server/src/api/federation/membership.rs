//! Users of other servers who join ([spec][join]), leave ([spec][leave]) or knock ([spec][knock])
//! by way of this one.
//!
//! [join]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
//! [leave]: https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites
//! [knock]: https://spec.matrix.org/v1.19/server-server-api/#knocking-upon-a-room

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId,
    api::federation::membership::{
        RawStrippedState, create_join_event, create_knock_event, create_leave_event,
        prepare_join_event, prepare_knock_event, prepare_leave_event,
    },
};

use super::events::list_pdus;
use crate::{
    Result,
    api::{
        Cx,
        mount::Routes,
        origin::Origin,
        signers::{find_keys, signers_of},
    },
    messages::{
        RawJson,
        room::{MakeMembership, MembershipAction, SendMembership, Sent, Template},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .mount(prepare_join_event)
        .mount(create_join_event)
        .mount(prepare_leave_event)
        .mount(create_leave_event)
        .mount(prepare_knock_event)
        .mount(create_knock_event)
}

async fn prepare_join_event(
    cx: Cx,
    Origin(server): Origin,
    request: prepare_join_event::v1::Request,
) -> Result<prepare_join_event::v1::Response> {
    let prepare_join_event::v1::Request { room_id, user_id, ver, .. } = request;
    let made = make(&cx, server, room_id, user_id, MembershipAction::Join, Some(ver)).await?;
    let mut response = prepare_join_event::v1::Response::new(made.event);
    response.room_version = Some(made.room_version);
    Ok(response)
}

async fn create_join_event(
    cx: Cx,
    Origin(server): Origin,
    request: create_join_event::v2::Request,
) -> Result<create_join_event::v2::Response> {
    let create_join_event::v2::Request { room_id, event_id, pdu, .. } = request;
    let join = MembershipAction::Join;
    let Sent { event, before, .. } = *send(&cx, &server, &room_id, (event_id, pdu), join).await?;
    let mut room_state = create_join_event::v2::RoomState::new();
    room_state.state = list_pdus(&cx, &room_id, &server, before.state).await?;
    room_state.auth_chain = list_pdus(&cx, &room_id, &server, before.auth_chain).await?;
    room_state.event = Some(event);
    Ok(create_join_event::v2::Response::new(room_state))
}

async fn prepare_leave_event(
    cx: Cx,
    Origin(server): Origin,
    request: prepare_leave_event::v1::Request,
) -> Result<prepare_leave_event::v1::Response> {
    let prepare_leave_event::v1::Request { room_id, user_id, .. } = request;
    let made = make(&cx, server, room_id, user_id, MembershipAction::Leave, None).await?;
    Ok(prepare_leave_event::v1::Response::new(Some(made.room_version), made.event))
}

async fn create_leave_event(
    cx: Cx,
    Origin(server): Origin,
    request: create_leave_event::v2::Request,
) -> Result<create_leave_event::v2::Response> {
    let create_leave_event::v2::Request { room_id, event_id, pdu, .. } = request;
    send(&cx, &server, &room_id, (event_id, pdu), MembershipAction::Leave).await?;
    Ok(create_leave_event::v2::Response::new())
}

async fn prepare_knock_event(
    cx: Cx,
    Origin(server): Origin,
    request: prepare_knock_event::v1::Request,
) -> Result<prepare_knock_event::v1::Response> {
    let prepare_knock_event::v1::Request { room_id, user_id, ver, .. } = request;
    let made = make(&cx, server, room_id, user_id, MembershipAction::Knock, Some(ver)).await?;
    Ok(prepare_knock_event::v1::Response::new(made.room_version, made.event))
}

async fn create_knock_event(
    cx: Cx,
    Origin(server): Origin,
    request: create_knock_event::v1::Request,
) -> Result<create_knock_event::v1::Response> {
    let create_knock_event::v1::Request { room_id, event_id, pdu, .. } = request;
    let knock = MembershipAction::Knock;
    let sent = send(&cx, &server, &room_id, (event_id, pdu), knock).await?;
    let shown = sent.shown_state.into_iter().map(RawStrippedState::Pdu);
    Ok(create_knock_event::v1::Response::new(shown.collect()))
}

async fn make(
    cx: &Cx,
    server: OwnedServerName,
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    action: MembershipAction,
    versions: Option<Vec<RoomVersionId>>,
) -> Result<Template> {
    let question = MakeMembership { server, user_id, action, versions };
    cx.ports.objects.ask(&*room_id, question).await.map(|it| *it)
}

async fn send(
    cx: &Cx,
    server: &OwnedServerName,
    room_id: &OwnedRoomId,
    (event_id, event): (OwnedEventId, RawJson),
    action: MembershipAction,
) -> Result<Box<Sent>> {
    let keys = find_keys(cx, signers_of([&event])).await;
    let question = SendMembership { server: server.clone(), event_id, action, event, keys };
    cx.ports.objects.ask(&**room_id, question).await
}
