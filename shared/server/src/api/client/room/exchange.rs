//! A user has shown to an identity server that they are who was invited by a third-party
//! identifier: they are invited instead ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#third-party-invites

use std::time::Duration;

use ruma::{OwnedServerName, OwnedUserId, RoomId, api::federation::thirdparty::exchange_invite};
use serde_json::json;

use super::{member_profile, remote_invite, whole_request::WholeRequest};
use crate::{
    Error, Result,
    api::{
        Cx,
        remote::{not_reached, refused},
    },
    messages::{
        RawJson,
        room::{Exchange, InviteKey, MakeExchange},
    },
    peers::Limits,
};

/// What the answer of the server of whoever has invited may take.
const LIMITS: Limits = Limits { max_answer_bytes: 64 * 1024, timeout: Duration::from_secs(15) };

/// An invitation that is to be exchanged.
pub(in crate::api) struct Exchanging {
    /// Who has invited.
    pub(in crate::api) sender: OwnedUserId,
    /// Who is invited.
    pub(in crate::api) target: OwnedUserId,
    /// What the identity server has signed.
    pub(in crate::api) signed: RawJson,
}

/// Invites a user for whom an identity server has signed. `server`: the server that asks; none:
/// this one.
///
/// # Errors
///
/// `M_FORBIDDEN`, where it has not, or its key is not valid any more; `M_UNKNOWN` (502) where that
/// could not be found out.
pub(in crate::api) async fn exchange(
    cx: &Cx,
    room_id: &RoomId,
    server: Option<OwnedServerName>,
    exchanging: Exchanging,
) -> Result<()> {
    let Exchanging { sender, target, signed } = exchanging;
    member_profile::find_invitee(cx, &target).await?;
    let make = MakeExchange { server, sender, target: target.clone(), signed };
    let Exchange { invitation, keys } = *cx.ports.objects.ask(room_id, make).await?;
    let Some(invitation) = invitation else { return Ok(()) };
    check_valid(cx, &keys).await?;
    remote_invite::complete(cx, room_id, &target, invitation).await.map(drop)
}

/// Has a user of this server be invited for whom an identity server has signed, by the server of
/// whoever has invited.
///
/// # Errors
///
/// As [`exchange`], by that server too.
pub(in crate::api) async fn exchange_anywhere(
    cx: &Cx,
    room_id: &RoomId,
    exchanging: Exchanging,
) -> Result<()> {
    if cx.server.is_local(&exchanging.sender) {
        return exchange(cx, room_id, None, exchanging).await;
    }
    let Exchanging { sender, target, signed } = exchanging;
    // By which name the room knows them is not known here, and for the room to say.
    let third_party = json!({ "display_name": "", "signed": signed });
    let content = json!({ "membership": "invite", "third_party_invite": third_party });
    // ruma leaves out of the event in which room.
    let event = json!({ "type": "m.room.member", "room_id": room_id, "sender": sender,
        "state_key": target, "content": content });
    let request =
        WholeRequest::<exchange_invite::v1::Request>::new(vec![room_id.to_string()], &event)?;
    cx.peers().ask(sender.server_name(), request, LIMITS).await.map_err(refused).map(drop)
}

/// Refuses an invitation of whose keys none is valid.
async fn check_valid(cx: &Cx, keys: &[InviteKey]) -> Result<()> {
    let mut unknown = None;
    for key in keys {
        let Some(url) = &key.validity_url else { return Ok(()) };
        match cx.peers().is_key_valid(url, &key.public_key).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => unknown = Some(not_reached(&error)),
        }
    }
    let refused = || Error::forbidden("the key that signed this invitation is not valid any more");
    Err(unknown.unwrap_or_else(refused))
}
