//! Exchanging an invitation of a third-party identifier for one of the user who has shown that the
//! identifier is theirs ([spec]).
//!
//! **Invariant:** a token invites once. What its user has left by it, or was removed from, they do
//! not come back to by it.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#third-party-invites

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, UserId,
    events::room::{member::MembershipState, third_party_invite::PublicKey},
};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json, value::RawValue as RawJsonValue};
use skerry_core::{
    Pdu,
    third_party_invite::{self, InviteError, Signed},
};

use super::invite::Made;
use crate::{
    Error, Result,
    messages::room::{Exchange, InviteKey, MakeExchange},
    objects::room::{
        Room, limits,
        loaded::{Loaded, draft::Draft},
    },
    store::room::state,
};

const INVITATION: &str = "m.room.third_party_invite";

/// Where a membership says by which token it came about.
const TOKEN_PATH: &str = "$.content.third_party_invite.signed.token";

impl Room {
    /// Makes the event that invites whoever has shown that they are meant. Nothing is written.
    pub(crate) async fn make_exchange(
        self: &Arc<Self>,
        question: MakeExchange,
    ) -> Result<Box<Exchange>> {
        let MakeExchange { server, sender, target, signed: json } = question;
        let signed = third_party_invite::read_signed(json.get()).map_err(refused)?;
        if signed.mxid != target {
            return Err(Error::forbidden("this was signed for another user"));
        }
        let (made, keys) = {
            let room = self.read().await?;
            let asked_by = server.as_deref().unwrap_or(&self.server.name);
            self.check_asked_by(&room, asked_by).await?;
            if !self.server.is_local(&sender) {
                return Err(Error::forbidden("no user of this server has invited so"));
            }
            let invitation = self.state_event(&room, INVITATION, &signed.token).await?;
            let invitation = invitation.filter(|(_, it)| it.sender == sender);
            let (_, invitation) =
                invitation.ok_or_else(|| Error::forbidden("there is no such invitation"))?;
            let content = invitation.content.get();
            let keys = third_party_invite::signed_by(&signed, content).map_err(refused)?;
            if self.is_exchanged(&room, &target, &signed).await? {
                return Ok(Box::new(Exchange { invitation: None, keys: Vec::new() }));
            }
            let content = content_of(&invitation, &json)?;
            let draft = Draft::state(&sender, "m.room.member", target.as_str(), content);
            let pdu = self.template(&room, draft).await?;
            let before = self.membership(&room, &target).await?;
            self.count_membership(&before, &MembershipState::Invite)?;
            (Made::new(&room, pdu, self.policy_server(&room).await?), keys)
        };
        let invitation = Some(self.invitation(made).await?);
        Ok(Box::new(Exchange { invitation, keys: keys.into_iter().map(invite_key).collect() }))
    }

    /// Whether the user is invited by this token already, or has joined by it.
    ///
    /// # Errors
    ///
    /// `M_FORBIDDEN`, where they were invited by it and are not any more, or are in the room
    /// without it.
    async fn is_exchanged(&self, room: &Loaded, target: &UserId, signed: &Signed) -> Result<bool> {
        let membership = self.membership(room, target).await?;
        let key = ("m.room.member", target.as_str());
        let limit = limits::TIMELINE_CHANGES as u64;
        let tokens = state::list_newest(self.sql(), self.scope(), key, TOKEN_PATH, limit).await?;
        let is_by_token = |it: &(_, Option<String>)| it.1.as_deref() == Some(&*signed.token);
        let is_newest = tokens.first().is_some_and(is_by_token);
        match (membership, tokens.iter().any(is_by_token)) {
            (MembershipState::Join, true) => Ok(true),
            (MembershipState::Join, false) => {
                Err(Error::forbidden("this user is in the room already"))
            }
            (MembershipState::Invite, true) if is_newest => Ok(true),
            (_, true) => Err(Error::forbidden("this invitation was used before")),
            (_, false) => Ok(false),
        }
    }
}

/// What the event says: the name is the one that the room has for whoever is invited.
fn content_of(invitation: &Pdu, signed: &RawJsonValue) -> Result<CanonicalJsonObject> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(default)]
        display_name: String,
    }
    let content: Content = serde_json::from_str(invitation.content.get())?;
    let signed: JsonValue = serde_json::from_str(signed.get())?;
    let third_party = json!({ "display_name": content.display_name, "signed": signed });
    let membership = MembershipState::Invite.to_string();
    let content = json!({ "membership": membership, "third_party_invite": third_party });
    serde_json::from_value(content).map_err(|_| refused(InviteError::Signed))
}

fn invite_key(key: PublicKey) -> InviteKey {
    InviteKey { public_key: key.public_key.0, validity_url: key.key_validity_url }
}

fn refused(error: InviteError) -> Error {
    Error::forbidden(error.to_string())
}
