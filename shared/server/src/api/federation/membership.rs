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

use serde::Serialize;

use super::state_answer::StateAnswer;
use crate::{
    Result,
    api::{
        Cx,
        answer::Pieces,
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
        .mount_streaming(create_join_event)
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
    origin: Origin,
    request: create_join_event::v2::Request,
) -> Result<Pieces> {
    Ok(join(cx, origin, request).await?.pieces())
}

/// Lets a user of another server join: the answer has what is said of it first, since the state may
/// be long.
pub(super) async fn join(
    cx: Cx,
    Origin(server): Origin,
    request: create_join_event::v2::Request,
) -> Result<StateAnswer> {
    #[derive(Serialize)]
    struct Fields {
        event: RawJson,
        members_omitted: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        servers_in_room: Option<Vec<OwnedServerName>>,
    }
    let create_join_event::v2::Request { room_id, event_id, pdu, omit_members, .. } = request;
    let sending = Sending { event_id, event: pdu, action: MembershipAction::Join, omit_members };
    let Sent { event, before, servers_in_room, .. } =
        *send(&cx, &server, &room_id, sending).await?;
    let members_omitted = servers_in_room.is_some();
    let fields = Fields { event, members_omitted, servers_in_room };
    StateAnswer::new(cx, room_id, server, "state", before).with(&fields)
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

pub(super) async fn create_leave_event(
    cx: Cx,
    Origin(server): Origin,
    request: create_leave_event::v2::Request,
) -> Result<create_leave_event::v2::Response> {
    let create_leave_event::v2::Request { room_id, event_id, pdu, .. } = request;
    send(&cx, &server, &room_id, Sending::new(event_id, pdu, MembershipAction::Leave)).await?;
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
    let sending = Sending::new(event_id, pdu, MembershipAction::Knock);
    let sent = send(&cx, &server, &room_id, sending).await?;
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

/// A membership that a server sends.
struct Sending {
    event_id: OwnedEventId,
    event: RawJson,
    action: MembershipAction,
    omit_members: bool,
}

impl Sending {
    fn new(event_id: OwnedEventId, event: RawJson, action: MembershipAction) -> Self {
        Self { event_id, event, action, omit_members: false }
    }
}

async fn send(
    cx: &Cx,
    server: &OwnedServerName,
    room_id: &OwnedRoomId,
    sending: Sending,
) -> Result<Box<Sent>> {
    let Sending { event_id, event, action, omit_members } = sending;
    let keys = find_keys(cx, signers_of([&event])).await;
    let server_name = server.clone();
    let question =
        SendMembership { server: server_name, event_id, action, event, keys, omit_members };
    let sent = cx.ports.objects.ask(&**room_id, question).await?;
    cx.peers.recent_rooms.note(server, room_id);
    Ok(sent)
}
