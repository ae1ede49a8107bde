//! `POST /_matrix/client/*/createRoom` ([spec])
//!
//! `skerry_core::create_room` plans the room; here is what the plan needs of the world: who is
//! invited, a room ID, the alias.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, future::try_join_all, stream};
use ruma::{
    CanonicalJsonObject, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId,
    api::{
        client::room::{
            Visibility,
            create_room::v3::{Request, Response},
        },
        error::ErrorKind,
    },
};
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};
use skerry_core::{
    canonical_alias::AliasError,
    create_room::{self, CreateRoomError, Plan, Profile, StateItem},
    gather::Gather as _,
    pdu::{self, BuildError},
    rate_limits::Bucket,
};

use super::{ask, invite_user, member_profile, remote_invite, reservation};
use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{
        Caller, RawJson,
        room::{Create, NewState},
    },
};

/// Random bytes in a room ID, where it is not a hash.
const ROOM_ID_BYTES: usize = 18;

/// How often a room is begun anew because its ID is taken. Where the ID is a hash, two rooms that
/// one user makes in the same millisecond with the same options would have the same.
const MAX_ATTEMPTS: u64 = 16;

/// Users of other servers who are invited at the same time. Each may take a while, and each that
/// comes beside others is one more forward extremity for a moment.
const INVITES_AT_ONCE: usize = 8;

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(create_room)
}

async fn create_room(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let alias = create_room::alias(&request, &cx.server.name).map_err(|it| refused(&it))?;
    let invitees = create_room::invitees(&request, &caller.user_id).map_err(|it| refused(&it))?;
    let invited = invitees.len() + request.invite_3pid.len();
    let invited = u32::try_from(invited).unwrap_or(u32::MAX);
    cx.ports.limiter.take(Bucket::Invites, caller.user_id.as_str(), invited).await?;
    let profiles = profiles(&cx, &caller.user_id, &invitees).await?;
    let mut plan =
        create_room::plan(&request, &caller.user_id, &profiles).map_err(|it| refused(&it))?;
    let encrypted = cx.server.config.encryption_by_default;
    create_room::encrypt_by_default(&mut plan, &request, encrypted);
    let is_elsewhere = |(user_id, _): &mut (OwnedUserId, _)| !cx.server.is_local(user_id);
    let elsewhere: Vec<_> = plan.invites.extract_if(.., is_elsewhere).collect();
    let listed = request.visibility == Visibility::Public;
    let room_id = begin(&cx, &caller, &plan, alias.as_deref(), listed).await?;
    invite_elsewhere(&cx, &caller, &room_id, elsewhere).await;
    for invite in request.invite_3pid {
        let invited = invite_user::by_third_party(&cx, caller.clone(), &room_id, invite).await;
        log_uninvited(&room_id, invited);
    }
    Ok(Response::new(room_id))
}

/// Invites users of other servers, whose servers have to sign that. The room is there by then: that
/// somebody was not invited is to be seen in it, and a client that was told of an error would make
/// another one.
async fn invite_elsewhere(
    cx: &Cx,
    caller: &Caller,
    room_id: &RoomId,
    invites: Vec<(OwnedUserId, CanonicalJsonObject)>,
) {
    let invites = invites.into_iter().map(|(user_id, content)| async move {
        let content = to_raw_value(&content)?;
        remote_invite::invite(cx, caller.clone(), room_id, &user_id, content).await
    });
    let invited: Vec<_> = stream::iter(invites).buffer_unordered(INVITES_AT_ONCE).collect().await;
    for it in invited {
        log_uninvited(room_id, it.map(drop));
    }
}

/// That somebody was not invited, who is not of this server.
fn log_uninvited(room_id: &RoomId, invited: Result<()>) {
    match invited {
        Ok(()) => {}
        Err(Error::Internal(source)) => {
            tracing::warn!(%room_id, error = %source, "somebody elsewhere was not invited");
        }
        // Its words may be another server's.
        Err(error) => {
            let status = error.status().as_u16();
            tracing::debug!(%room_id, status, "somebody elsewhere was not invited");
        }
    }
}

/// What is known of the creator and the invitees, who must exist.
async fn profiles(
    cx: &Cx,
    creator: &UserId,
    invitees: &[OwnedUserId],
) -> Result<BTreeMap<OwnedUserId, Profile>> {
    let invited = invitees.iter().map(async |user_id| {
        let profile = member_profile::find_invitee(cx, user_id).await?;
        Ok::<_, Error>((user_id.clone(), profile))
    });
    let mut profiles: BTreeMap<_, _> = try_join_all(invited).await?.into_iter().gather();
    profiles.insert(creator.to_owned(), member_profile::find(cx, creator).await?);
    Ok(profiles)
}

/// Begins the room under an ID that is free.
async fn begin(
    cx: &Cx,
    caller: &Caller,
    plan: &Plan,
    alias: Option<&RoomAliasId>,
    listed: bool,
) -> Result<OwnedRoomId> {
    let now_ms = cx.ports.clock.now_ms();
    for attempt in 0..MAX_ATTEMPTS {
        let (room_id, create_event) = create_event(cx, caller, plan, now_ms + attempt)?;
        let until_ms = match alias {
            Some(alias) => Some(reserve(cx, alias, &room_id, caller).await?),
            None => None,
        };
        let create = Create {
            listed,
            alias: alias.map(ToOwned::to_owned),
            until_ms,
            ..to_command(caller, plan, create_event)?
        };
        let Err(error) = ask(cx, &room_id, create).await else {
            return Ok(room_id);
        };
        let is_taken = is_kind(&error, &ErrorKind::RoomInUse);
        // Of a failure nobody knows whether the room came to be: then the reservation stays.
        if let Some(alias) = alias.filter(|_| error.is_refusal()) {
            reservation::release(cx, alias, &room_id).await;
        }
        if is_kind(&error, &ErrorKind::Forbidden) {
            return Err(Error::api(ErrorKind::InvalidRoomState, error.to_string()));
        }
        if !is_taken {
            return Err(error);
        }
    }
    Err(Error::internal("no free room ID was found"))
}

/// The signed create event, and the room ID that it has or makes.
fn create_event(
    cx: &Cx,
    caller: &Caller,
    plan: &Plan,
    now_ms: u64,
) -> Result<(OwnedRoomId, RawJson)> {
    let is_hash = plan.rules.authorization.room_create_event_id_as_room_id;
    let room_id = if is_hash { None } else { Some(random_room_id(cx)?) };
    let name = &cx.server.name;
    let event_id = match &room_id {
        Some(room_id) if plan.rules.event_format.require_event_id => {
            Some(pdu::opaque_event_id(room_id, 0, now_ms, name).map_err(|it| not_built(&it))?)
        }
        _ => None,
    };
    let pdu = pdu::create_event(
        plan.create_content.clone(),
        &caller.user_id,
        event_id.as_deref(),
        room_id.as_deref(),
        &plan.rules,
        now_ms,
        &cx.server.keys().current,
    )
    .map_err(|it| not_built(&it))?;
    Ok((pdu.room_id, RawJsonValue::from_string(pdu.json.into_string())?))
}

fn random_room_id(cx: &Cx) -> Result<OwnedRoomId> {
    let mut bytes = [0; ROOM_ID_BYTES];
    cx.ports.random.fill(&mut bytes)?;
    let name = URL_SAFE_NO_PAD.encode(bytes);
    RoomId::parse(format!("!{name}:{}", cx.server.name)).map_err(Error::internal)
}

fn to_command(caller: &Caller, plan: &Plan, create_event: RawJson) -> Result<Create> {
    let raw = |content: &CanonicalJsonObject| to_raw_value(content).map_err(Error::from);
    let state = plan.state.iter().map(|StateItem { event_type, state_key, content }| {
        let (event_type, state_key) = (event_type.clone(), state_key.clone());
        Ok(NewState { event_type, state_key, content: raw(content)? })
    });
    let invites = plan.invites.iter().map(|(user, content)| Ok((user.clone(), raw(content)?)));
    Ok(Create {
        creator: caller.clone(),
        room_version: plan.version.clone(),
        create_event,
        state: state.collect::<Result<_>>()?,
        invites: invites.collect::<Result<_>>()?,
        listed: false,
        alias: None,
        until_ms: None,
    })
}

/// Reserves the alias before the room exists, so that two rooms made at once cannot both have it.
/// The room makes it its own; it begins before the time that is the answer, or not at all.
async fn reserve(cx: &Cx, alias: &RoomAliasId, room_id: &RoomId, caller: &Caller) -> Result<u64> {
    let reserved = reservation::reserve(cx, alias, room_id, &caller.user_id).await?;
    reserved.ok_or_else(|| Error::api(ErrorKind::RoomInUse, "this room alias is taken"))
}

fn is_kind(error: &Error, wanted: &ErrorKind) -> bool {
    matches!(error, Error::Api { kind, .. } if kind.errcode() == wanted.errcode())
}

/// The code of the specification for a room that cannot be as asked.
fn refused(error: &CreateRoomError) -> Error {
    use CreateRoomError as Refusal;
    let kind = match error {
        Refusal::UnsupportedVersion(_) => ErrorKind::UnsupportedRoomVersion,
        Refusal::UnknownPreset(_)
        | Refusal::UnknownVisibility(_)
        | Refusal::CreationContent(_)
        | Refusal::InitialState(_)
        | Refusal::PowerLevels
        | Refusal::Malformed(..)
        | Refusal::TooManyInitialState
        | Refusal::TooManyInvites
        | Refusal::TooManyThirdPartyInvites
        | Refusal::TooManyCreators => ErrorKind::BadJson,
        Refusal::ManagedState(_)
        | Refusal::CreatorInPowerLevels(_)
        | Refusal::CreatorNotInPowerLevels => ErrorKind::InvalidRoomState,
        Refusal::AliasName | Refusal::Aliases(AliasError::Syntax(_) | AliasError::TooMany) => {
            ErrorKind::InvalidParam
        }
        Refusal::ForeignAlias(_) => ErrorKind::BadAlias,
    };
    Error::api(kind, error.to_string())
}

/// Why the create event could not be made.
fn not_built(error: &BuildError) -> Error {
    let kind = match error {
        BuildError::Content(_) => ErrorKind::BadJson,
        BuildError::TooLarge => ErrorKind::TooLarge,
        BuildError::Format(_) => ErrorKind::InvalidParam,
    };
    Error::api(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_codes_of_the_specification() {
        let alias = || RoomAliasId::parse("#a:x.y").unwrap();
        let cases = [
            (
                CreateRoomError::UnsupportedVersion("99".try_into().unwrap()),
                "M_UNSUPPORTED_ROOM_VERSION",
            ),
            (CreateRoomError::UnknownPreset("x".to_owned()), "M_BAD_JSON"),
            (CreateRoomError::InitialState(0), "M_BAD_JSON"),
            (CreateRoomError::TooManyInvites, "M_BAD_JSON"),
            (CreateRoomError::ManagedState("m.room.create".to_owned()), "M_INVALID_ROOM_STATE"),
            (CreateRoomError::CreatorNotInPowerLevels, "M_INVALID_ROOM_STATE"),
            (CreateRoomError::AliasName, "M_INVALID_PARAM"),
            (CreateRoomError::Aliases(AliasError::TooMany), "M_INVALID_PARAM"),
            (CreateRoomError::ForeignAlias(alias()), "M_BAD_ALIAS"),
        ];
        for (refusal, code) in cases {
            let error = refused(&refusal);
            assert_eq!(error.status(), 400, "{refusal}");
            assert_eq!(error.to_json()["errcode"], code, "{refusal}");
        }
    }
}
