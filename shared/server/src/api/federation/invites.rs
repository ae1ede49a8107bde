//! Invitations by other servers ([spec]).
//!
//! An invitation is signed by this server too, and told to its user. Where users of this server are
//! in the room, the room receives it as any other event, and tells them; else they are told here,
//! with what the other server shows of the room.
//!
//! **Invariant:** this server signs what [`skerry_core::invite::read`] lets pass and the sender's
//! server has signed, and nothing else.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room

use http::StatusCode;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId,
    api::{
        error::{DeserializationError, ErrorKind, IncompatibleRoomVersionErrorData},
        federation::membership::create_invite::{v1, v2},
    },
    events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use serde::Serialize;
use skerry_core::{
    Pdu,
    invite::{self, Sent, shown::Faults},
    rate_limits::Bucket,
    receipt::{self, Verified},
    room_version,
};

use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        origin::Origin,
        patched::{Body, Json, Patch, Patched},
        shown,
        verify::verify,
    },
    messages::{
        RawJson, ServerKey,
        room::{IsJoined, Kind, Outcome, Receive},
        user::{GetProfile, RemoteMembership, RemoteRoom},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(create_invite).mount(create_invite_v1)
}

/// An invitation as it came.
struct Invitation {
    origin: OwnedServerName,
    room_id: OwnedRoomId,
    event_id: OwnedEventId,
    room_version: RoomVersionId,
    event: RawJson,
    shown_state: Vec<RawJson>,
}

/// A request that may leave out what is shown of the room, as older servers do.
struct MayShowNothing;

impl Patch<v2::Request> for MayShowNothing {
    type Response = v2::Response;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        body.set_default("invite_room_state", [(); 0])?;
        Ok(Self)
    }
}

async fn create_invite(
    cx: Cx,
    Origin(origin): Origin,
    Patched { request, .. }: Patched<v2::Request, MayShowNothing>,
) -> Result<v2::Response> {
    let v2::Request { room_id, event_id, room_version, event, invite_room_state, .. } = request;
    let shown_state = shown::events(&invite_room_state)?;
    let it = Invitation { origin, room_id, event_id, room_version, event, shown_state };
    accept(&cx, it).await.map(v2::Response::new)
}

/// The whole body of a request, which is an event: ruma reads a part of it.
struct Whole(RawJson);

impl Patch<v1::Request> for Whole {
    type Response = Json;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        Ok(Self(body.read()?))
    }
}

/// Only rooms of version 1 or 2 are spoken of so, between which nothing differs here. ruma would
/// leave out what the event stands in.
async fn create_invite_v1(
    cx: Cx,
    Origin(origin): Origin,
    Patched { request, patch: Whole(event) }: Patched<v1::Request, Whole>,
) -> Result<Json> {
    #[derive(Serialize)]
    struct Signed {
        event: RawJson,
    }
    let v1::Request { room_id, event_id, unsigned, .. } = request;
    let shown_state = shown::events(&unsigned.invite_room_state)?;
    let room_version = RoomVersionId::V1;
    let it = Invitation { origin, room_id, event_id, room_version, event, shown_state };
    let event = accept(&cx, it).await?;
    Ok(Json::of(&(StatusCode::OK.as_u16(), Signed { event }))?)
}

/// Takes an invitation, and gives it with this server's signature.
async fn accept(cx: &Cx, it: Invitation) -> Result<RawJson> {
    let rules = room_version::rules(&it.room_version).ok_or_else(|| incompatible(&it))?;
    let sent =
        Sent { event: &it.event, origin: &it.origin, event_id: &it.event_id, room_id: &it.room_id };
    let (received, target) =
        invite::read(sent, &cx.server.name, &rules).map_err(|error| invalid(&error))?;
    let verified = verify(cx, received, &rules).await.map_err(|error| invalid(&error))?;
    let (Verified { pdu, .. }, keys) = verified;
    cx.ports.limiter.take(Bucket::Invited, target.as_str(), 1).await?;
    if cx.ports.objects.ask(&*target, GetProfile {}).await?.is_none() {
        return Err(Error::not_found("there is no such user on this server"));
    }
    let is_joined = IsJoined { user_id: target.clone() };
    let is_joined = match cx.ports.objects.ask(&*it.room_id, is_joined).await {
        Ok(Some(true)) => return Err(Error::forbidden("this user is in the room already")),
        Err(Error::UnknownRoom) => None,
        is_joined => is_joined?,
    };
    let own = (&*cx.server.name, &cx.server.keys().current);
    let signed = receipt::countersigned(&it.event, &it.room_id, &rules, own);
    let (_, signed) = signed.map_err(|error| invalid(&error))?;
    if is_joined.is_none() || !is_received(cx, &it, &signed, keys).await? {
        tell(cx, it, &pdu, target, &rules).await?;
    }
    Ok(signed)
}

/// Has a room receive the event in which users of this server are. Whether it has it then: it may
/// have to wait for others.
async fn is_received(
    cx: &Cx,
    it: &Invitation,
    signed: &RawJson,
    keys: Vec<ServerKey>,
) -> Result<bool> {
    let receive = Receive {
        origin: Some(it.origin.clone()),
        hand_on: false,
        events: vec![signed.clone()],
        keys,
        kind: Kind::Live,
        states: Vec::new(),
    };
    let received = cx.ports.objects.ask(&*it.room_id, receive).await?.pop();
    match received.map(|it| it.outcome) {
        Some(Outcome::Accepted { .. } | Outcome::Known) => Ok(true),
        Some(Outcome::Waits { .. }) => Ok(false),
        Some(
            Outcome::SoftFailed { reason }
            | Outcome::Rejected { reason }
            | Outcome::Dropped { reason },
        ) => Err(Error::forbidden(reason)),
        Some(Outcome::NeedsKeys { .. }) | None => Err(Error::internal("it was verified before")),
    }
}

/// Tells the user of an invitation to a room that is not here.
async fn tell(
    cx: &Cx,
    it: Invitation,
    pdu: &Pdu,
    target: OwnedUserId,
    rules: &RoomVersionRules,
) -> Result<()> {
    let stripped_state = shown::stripped(cx, &it.shown_state, pdu, rules, Faults::Refused).await?;
    let remote = RemoteRoom {
        membership: MembershipState::Invite,
        sender: pdu.sender.clone(),
        event_id: it.event_id,
        room_version: it.room_version,
        servers: vec![it.origin],
    };
    let room_id = it.room_id;
    let told = RemoteMembership { room_id, remote, stripped_state, ending: None };
    cx.ports.objects.ask(&*target, told).await
}

fn invalid(error: &dyn std::fmt::Display) -> Error {
    Error::invalid_param(error.to_string())
}

fn incompatible(it: &Invitation) -> Error {
    let data = IncompatibleRoomVersionErrorData::new(it.room_version.clone());
    let message = format!("this server does not know room version {}", it.room_version);
    Error::api(ErrorKind::IncompatibleRoomVersion(data), message)
}
