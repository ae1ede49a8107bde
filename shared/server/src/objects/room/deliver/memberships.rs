//! Telling users of their memberships.

use std::sync::Arc;

use ruma::{UserId, events::room::member::MembershipState};
use skerry_core::{Pdu, client_event, shown_state};

use crate::{
    Result,
    messages::{RawJson, room::Position, user},
    objects::room::{Room, limits, loaded::plan::Changed},
    store::room::{events, members},
};

impl Room {
    /// Tells users of their new membership, before the request is answered.
    pub(crate) async fn tell_memberships(self: &Arc<Self>, memberships: Vec<Changed>) {
        for (user_id, membership, position, pdu) in memberships {
            let pdu = pdu.as_deref();
            if let Err(error) = self.tell_membership(&user_id, membership, position, pdu).await {
                // The alarm will tell them again.
                tracing::warn!(%error, %user_id, "a user could not be told of a membership");
            }
        }
    }

    /// Tells one user of their new membership.
    async fn tell_membership(
        self: &Arc<Self>,
        user_id: &UserId,
        membership: MembershipState,
        position: Position,
        pdu: Option<&Pdu>,
    ) -> Result<()> {
        let stripped_state = match (&membership, pdu) {
            (MembershipState::Invite | MembershipState::Knock, Some(pdu)) => {
                self.stripped_state(pdu).await?
            }
            _ => Vec::new(),
        };
        let message = user::Membership {
            room_id: self.id.clone(),
            membership,
            position,
            sender: pdu.map_or_else(|| user_id.to_owned(), |it| it.sender.clone()),
            stripped_state,
        };
        self.host.objects().ask(user_id, message).await?;
        self.watch().told.push((user_id.to_owned(), position));
        Ok(())
    }

    /// What an invitation or a knock shows of the room.
    async fn stripped_state(self: &Arc<Self>, pdu: &Pdu) -> Result<Vec<RawJson>> {
        let room = self.read().await?;
        let mut keys: Vec<_> =
            shown_state::stripped().map(|it| (it.to_owned(), String::new())).collect();
        keys.push(("m.room.member".to_owned(), pdu.sender.to_string()));
        let mut stripped = Vec::new();
        for (_, (_, event)) in self.state_events(&room, &keys).await? {
            if event.event_id != pdu.event_id {
                stripped.push(client_event::strip(&event.json)?);
            }
        }
        stripped.push(client_event::strip(&pdu.json)?);
        Ok(stripped)
    }

    /// Tells members whom a crash or a failure kept from being told of their membership.
    pub(crate) async fn tell_untold(self: &Arc<Self>) -> Result<()> {
        let (sql, scope) = (self.sql(), self.scope());
        let untold = members::list_untold(sql, scope, limits::TOLD_MEMBERS).await?;
        if untold.is_empty() {
            return Ok(());
        }
        let nums: Vec<_> = untold.iter().filter_map(|it| it.event).collect();
        let stored = events::list(sql, scope, &nums).await?;
        for member in untold {
            let event = stored.iter().find(|it| Some(it.num) == member.event);
            let pdu = match event {
                Some(event) => Some(self.to_pdu(event.event_id.clone(), event.json.clone())?),
                None => None,
            };
            let (user_id, position) = (&member.user_id, member.position);
            self.tell_membership(user_id, member.membership, position, pdu.as_deref()).await?;
        }
        self.commit_and_settle(Vec::new()).await
    }
}
