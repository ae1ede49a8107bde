//! Invitations of users of other servers ([spec]).
//!
//! Their server has to sign the event too, and is asked under no lock: the event is made first, as
//! the current state allows it, and received as any other when it comes back.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room

use std::sync::Arc;

use ruma::{
    CanonicalJsonValue, RoomVersionId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    Pdu,
    membership::{self, Answer, Asker},
    pdu,
    policy::PolicyServer,
};

use crate::{
    Error, Result,
    messages::room::{Invitation, MakeInvite, MembershipAction},
    objects::room::{
        Room,
        author::{check_reason, not_built},
        loaded::{Loaded, draft::Draft},
    },
};

impl Room {
    /// Makes the event by which a member invites a user of another server. Nothing is written.
    pub(crate) async fn make_invite(
        self: &Arc<Self>,
        question: MakeInvite,
    ) -> Result<Box<Invitation>> {
        let MakeInvite { caller, target, content } = question;
        let mut content = pdu::parse_content(&content).map_err(not_built)?;
        content.remove("join_authorised_via_users_server");
        if let Some(CanonicalJsonValue::String(reason)) = content.get("reason") {
            check_reason(reason)?;
        }
        let invite = MembershipState::Invite;
        content.insert("membership".to_owned(), invite.to_string().into());
        let made = {
            let room = self.read().await?;
            let before = self.membership(&room, &target).await?;
            let asker = Asker {
                membership: self.membership(&room, &caller.user_id).await?,
                is_target: false,
                has_power: self
                    .power_levels(&room)
                    .await
                    .is_ok_and(|power| power.user_can_invite(&caller.user_id)),
            };
            match membership::answer(MembershipAction::Invite, &asker, &before) {
                Answer::Authorize => {}
                Answer::Refuse(refusal) => return Err(Self::refused_change(refusal)),
                Answer::Done => return Err(Error::internal("an invitation is always made")),
            }
            let draft = Draft::state(&caller.user_id, "m.room.member", target.as_str(), content);
            self.check_content(&room, &draft, target.as_str()).await?;
            let pdu = self.template(&room, draft).await?;
            self.count_membership(&before, &invite)?;
            Made::new(&room, pdu, self.policy_server(&room).await?)
        };
        self.invitation(made).await.map(Box::new)
    }

    /// What another server is asked to sign.
    pub(super) async fn invitation(self: &Arc<Self>, made: Made) -> Result<Invitation> {
        let Made { mut pdu, policy, room_version, rules } = made;
        if let Some(policy) = policy {
            // Before any other server sees it.
            pdu.json = self.sign_by_policy(&policy, &pdu.json, &rules).await?.into_boxed_str();
        }
        let raw = |json: &str| RawJsonValue::from_string(json.to_owned());
        let shown = self.shown_state(&pdu).await?;
        let shown_state = shown.iter().map(|it| raw(&it.json)).collect::<Result<_, _>>()?;
        let event = raw(&pdu.json)?;
        Ok(Invitation { room_version, event_id: pdu.event_id, event, shown_state })
    }
}

/// An invitation as the room allows it.
pub(super) struct Made {
    pdu: Pdu,
    policy: Option<PolicyServer>,
    room_version: RoomVersionId,
    rules: RoomVersionRules,
}

impl Made {
    pub(super) fn new(room: &Loaded, pdu: Pdu, policy: Option<PolicyServer>) -> Self {
        Self { pdu, policy, room_version: room.version.clone(), rules: room.rules.clone() }
    }
}
