//! Delivering memberships to their users.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, Either},
    stream,
};
use ruma::{UserId, events::room::member::MembershipState};
use skerry_core::{Pdu, client_event, delivery::ANSWER_TIMEOUT_MS, shown_state};

use crate::{
    Result,
    messages::{RawJson, room::Position, user},
    objects::room::{Room, limits, loaded::plan::Changed},
    store::room::{events, members},
};

impl Room {
    /// Delivers to users their new membership, before the request is answered: side by side, so
    /// that one who cannot be reached delays nobody. Whether some are left for the alarm.
    pub(crate) async fn deliver_memberships(self: &Arc<Self>, memberships: Vec<Changed>) -> bool {
        if memberships.is_empty() {
            return false;
        }
        let deliver = async |(user_id, membership, position, pdu): Changed| {
            let delivered = self.deliver_membership(&user_id, membership, position, pdu.as_deref());
            let failure = delivered.await.err();
            if let Some(error) = &failure {
                tracing::warn!(%error, %user_id, "a membership could not be delivered to its user");
            }
            failure.is_some()
        };
        let deliveries: Vec<_> = memberships.into_iter().map(deliver).collect();
        let failed = stream::iter(deliveries).buffer_unordered(limits::DELIVERIES_AT_ONCE);
        // All of them are waited for: whoever stops at the first failure drops the others.
        let failed = failed.fold(false, async |some, this| some || this);
        let timeout = self.host.sleep(Duration::from_millis(ANSWER_TIMEOUT_MS));
        match future::select(pin!(failed), timeout).await {
            Either::Left((failed, _)) => failed,
            Either::Right(_) => {
                tracing::warn!(room_id = %self.id, "users did not answer in time");
                true
            }
        }
    }

    /// Delivers to one user their new membership.
    async fn deliver_membership(
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
        self.deliveries().memberships.push((user_id.to_owned(), position));
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

    /// Delivers a part of the memberships that a crash or a failure kept from being delivered.
    pub(crate) async fn deliver_overdue_memberships(self: &Arc<Self>) -> Result<Overdue> {
        let (sql, scope) = (self.sql(), self.scope());
        let limit = limits::OVERDUE_MEMBERSHIPS;
        let after = self.deliveries().overdue_after;
        let overdue = members::list_undelivered(sql, scope, after, limit).await?;
        let is_full = overdue.len() as u64 >= limit;
        let last = overdue.last().filter(|_| is_full);
        self.deliveries().overdue_after = last.map_or(0, |it| it.position);
        let nums: Vec<_> = overdue.iter().filter_map(|it| it.event).collect();
        let stored = events::list(sql, scope, &nums).await?;
        let mut memberships = Vec::with_capacity(overdue.len());
        for member in overdue {
            let event = stored.iter().find(|it| Some(it.num) == member.event);
            let pdu = match event {
                Some(event) => Some(self.to_pdu(event.event_id.clone(), event.json.clone())?),
                None => None,
            };
            memberships.push((member.user_id, member.membership, member.position, pdu));
        }
        let failed = self.deliver_memberships(memberships).await;
        Ok(match is_full {
            true => Overdue::NextPart,
            // Of the parts before this one nobody knows: the next alarm begins anew.
            false if failed || after > 0 => Overdue::Again,
            false => Overdue::None,
        })
    }
}

/// What is left of memberships that are to be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Nothing.
    None,
    /// Those who come after the ones that were tried.
    NextPart,
    /// All have been tried; some may not have been reached.
    Again,
}
