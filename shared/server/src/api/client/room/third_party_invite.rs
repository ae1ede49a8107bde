//! Inviting a user of whom a third-party identifier alone is known ([spec]): the identity server
//! that the client names is asked who that is. Where it does not know, it keeps the invitation, and
//! the room has by which keys it will say so.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#third-party-invites

use ruma::{
    OwnedMxcUri, OwnedUserId, RoomId, ServerName,
    api::{
        client::membership::Invite3pid,
        identity_service::{
            invitation::store_invitation::v2::Request as StoreInvite,
            lookup::{
                IdentifierHashingAlgorithm, get_hash_parameters::v2::Request as GetHashParameters,
                lookup_3pid::v2::Request as Lookup,
            },
        },
    },
    thirdparty::Medium,
};
use serde_json::value::to_raw_value;
use skerry_core::third_party_invite::{self, MAX_ADDRESS_BYTES};

use super::{ask, member_profile, send_state};
use crate::{
    Error, Result,
    api::{
        Cx,
        remote::{bad_answer, identity_server_refused},
    },
    messages::{
        Caller,
        room::{Action, CheckMay, GetPublicInfo},
        secret::Secret,
    },
    peers::PeerError,
};

/// What a client says of whom it invites.
struct Invitee {
    medium: Medium,
    address: String,
    server: ruma::OwnedServerName,
    token: Secret,
}

/// Invites whoever has a third-party identifier. Where it is known who that is, nothing is done,
/// and that is the answer: users are invited otherwise.
///
/// # Errors
///
/// `M_FORBIDDEN`, where the caller may not; what the identity server says that is about the
/// invitation; `M_UNKNOWN` (502), where it does not answer.
pub(super) async fn invite(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    invite: Invite3pid,
) -> Result<Option<OwnedUserId>> {
    let invitee = read(invite)?;
    // Nobody is told of the room, nor asked, for who may not.
    let action = Action::InviteByThirdParty;
    ask(cx, room_id, CheckMay { user_id: caller.user_id.clone(), action }).await?;
    match look_up(cx, &invitee).await? {
        Some(user_id) => Ok(Some(user_id)),
        None => store(cx, caller, room_id, invitee).await.map(|()| None),
    }
}

fn read(invite: Invite3pid) -> Result<Invitee> {
    let Invite3pid { id_server, id_access_token, medium, address, .. } = invite;
    let server = ServerName::parse(&*id_server)
        .map_err(|_| Error::invalid_param("id_server is not the name of a server"))?;
    if medium != Medium::Email {
        let message = "invitations by this kind of identifier are not known to identity servers";
        return Err(Error::invalid_param(message));
    }
    // Identity servers know them so.
    let address = address.trim().to_lowercase();
    if !address.contains('@') || address.len() > MAX_ADDRESS_BYTES {
        return Err(Error::invalid_param("this is no email address"));
    }
    Ok(Invitee { medium, address, server, token: Secret::new(id_access_token) })
}

/// Who has the identifier, if the identity server knows. It learns the identifier only if it does.
async fn look_up(cx: &Cx, invitee: &Invitee) -> Result<Option<OwnedUserId>> {
    match look_up_once(cx, invitee).await? {
        // The pepper was changed meanwhile.
        Err(error) if is_kind(&error, "M_INVALID_PEPPER") => {
            look_up_once(cx, invitee).await?.map_err(identity_server_refused)
        }
        found => found.map_err(identity_server_refused),
    }
}

async fn look_up_once(
    cx: &Cx,
    invitee: &Invitee,
) -> Result<std::result::Result<Option<OwnedUserId>, PeerError>> {
    let Invitee { medium, address, server, token } = invitee;
    let peers = cx.peers();
    let parameters = peers.ask_identity_server(server, token, GetHashParameters::new()).await;
    let parameters = parameters.map_err(identity_server_refused)?;
    let sha256 = IdentifierHashingAlgorithm::Sha256;
    if !parameters.algorithms.contains(&sha256) {
        return Err(bad_answer(&"it would learn the addresses of whom it does not know"));
    }
    let pepper = parameters.lookup_pepper;
    let hash = third_party_invite::lookup_hash(address, medium.as_str(), &pepper);
    let lookup = Lookup::new(sha256, pepper, vec![hash.clone()]);
    let found = peers.ask_identity_server(server, token, lookup).await;
    Ok(found.map(|mut found| found.mappings.remove(&hash)))
}

/// Has the identity server keep the invitation, and the room.
async fn store(cx: &Cx, caller: Caller, room_id: &RoomId, invitee: Invitee) -> Result<()> {
    let Invitee { medium, address, server, token } = invitee;
    let room = *ask(cx, room_id, GetPublicInfo {}).await?;
    let profile = member_profile::find(cx, &caller.user_id).await?;
    let mut store = StoreInvite::new(medium, address, room_id.to_owned(), caller.user_id.clone());
    store.room_alias = room.canonical_alias;
    store.room_avatar_url = room.avatar_url.map(OwnedMxcUri::from);
    store.room_join_rules = Some(room.join_rule);
    store.room_name = room.name;
    store.room_type = room.room_type.map(Into::into);
    store.sender_display_name = profile.displayname;
    store.sender_avatar_url = profile.avatar_url.map(OwnedMxcUri::from);
    let stored = cx.peers().ask_identity_server(&server, &token, store).await;
    let stored = stored.map_err(identity_server_refused)?;
    let (token, content) =
        third_party_invite::to_state(stored).map_err(|error| bad_answer(&error))?;
    let content = to_raw_value(&content)?;
    send_state(cx, caller, room_id, "m.room.third_party_invite", token, content).await.map(drop)
}

fn is_kind(error: &PeerError, errcode: &str) -> bool {
    matches!(error, PeerError::Refused(refusal)
        if refusal.error_kind().is_some_and(|it| it.errcode().as_str() == errcode))
}
