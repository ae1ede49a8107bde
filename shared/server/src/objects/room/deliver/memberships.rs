//! Delivering memberships to their users.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, Either},
    stream,
};
use ruma::{UserId, events::room::member::MembershipState};
use serde::Deserialize;
use skerry_core::{Pdu, client_event, delivery::ANSWER_TIMEOUT_MS, shown_state};

use crate::{
    Error, Result,
    messages::{RawJson, room::Position, user},
    objects::room::{Room, limits, loaded::state_event::Changed},
    store::room::{
        events,
        members::{self, Member},
    },
};

impl Room {
    /// Delivers to users their new membership, before the request is answered: side by side, so
    /// that one who cannot be reached delays nobody. The alarm delivers those that are left.
    pub(crate) async fn deliver_memberships(self: &Arc<Self>, memberships: Vec<Changed>) {
        if memberships.is_empty() {
            return;
        }
        let round: Vec<_> = memberships
            .iter()
            .map(|(user_id, _, position, _)| (user_id.clone(), *position))
            .collect();
        let deliveries = stream::iter(memberships)
            .for_each_concurrent(limits::DELIVERIES_AT_ONCE, |it| self.deliver_membership(it));
        let timeout = self.host.sleep(Duration::from_millis(ANSWER_TIMEOUT_MS));
        if let Either::Right(_) = future::select(pin!(deliveries), timeout).await {
            tracing::warn!(room_id = %self.id, "users did not answer in time");
        }
        self.deliveries().memberships.ended(&round, self.now_ms());
    }

    /// Delivers to one user their new membership.
    async fn deliver_membership(self: &Arc<Self>, changed: Changed) {
        let (user_id, membership, position, pdu) = changed;
        if !self.deliveries().memberships.begin(&user_id, position) {
            return;
        }
        match self.tell_membership(&user_id, membership, position, pdu.as_deref()).await {
            Ok(()) => self.deliveries().memberships.delivered(&user_id, position),
            Err(error) => self.membership_failed(&user_id, position, &error),
        }
    }

    /// Asks the user's object to take their new membership.
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
        let shown = match membership {
            MembershipState::Join => pdu.and_then(shown_profile),
            _ => None,
        };
        let message = user::Membership {
            room_id: self.id.clone(),
            membership,
            position,
            sender: pdu.map_or_else(|| user_id.to_owned(), |it| it.sender.clone()),
            stripped_state,
            shown,
        };
        self.host.objects().ask(user_id, message).await
    }

    /// What an invitation or a knock shows of the room, as clients get it.
    async fn stripped_state(self: &Arc<Self>, pdu: &Pdu) -> Result<Vec<RawJson>> {
        let shown = self.shown_state(pdu).await?;
        let mut stripped = Vec::with_capacity(shown.len() + 1);
        for event in &shown {
            stripped.push(client_event::strip(&event.json)?);
        }
        stripped.push(client_event::strip(&pdu.json)?);
        Ok(stripped)
    }

    /// What an invitation or a knock shows of the room besides itself.
    pub(crate) async fn shown_state(self: &Arc<Self>, pdu: &Pdu) -> Result<Vec<Arc<Pdu>>> {
        let room = self.read().await?;
        let mut keys: Vec<_> =
            shown_state::stripped().map(|it| (it.to_owned(), String::new())).collect();
        keys.push(("m.room.member".to_owned(), pdu.sender.to_string()));
        let found = self.state_events(&room, &keys).await?;
        let found = found.into_iter().map(|(_, (_, event))| event);
        Ok(found.filter(|it| it.event_id != pdu.event_id).collect())
    }

    /// Delivers to a user the membership that they have, unless it was: what they do next may build
    /// on it.
    pub(crate) async fn deliver_again(self: &Arc<Self>, user_id: &UserId) -> Result<()> {
        let found = members::find_undelivered(self.sql(), self.scope(), user_id).await?;
        let Some(member) = found else { return Ok(()) };
        let (user_id, position, now_ms) = (user_id.to_owned(), member.position, self.now_ms());
        if !self.deliveries().memberships.wanted(&user_id, position, now_ms) {
            return Ok(());
        }
        self.deliver_overdue_memberships(vec![member]).await
    }

    /// Delivers memberships that a crash or a failure kept from being delivered.
    pub(crate) async fn deliver_overdue_memberships(
        self: &Arc<Self>,
        part: Vec<Member>,
    ) -> Result<()> {
        let nums: Vec<_> = part.iter().filter_map(|it| it.event).collect();
        let stored = events::list(self.sql(), self.scope(), &nums).await?;
        let mut memberships = Vec::with_capacity(part.len());
        for member in part {
            let Member { user_id, membership, position, event } = member;
            let event = stored.iter().find(|it| Some(it.num) == event);
            let pdu = event.map(|it| self.to_pdu(it.event_id.clone(), it.json.clone()));
            match pdu.transpose() {
                Ok(pdu) => memberships.push((user_id, membership, position, pdu)),
                Err(error) => self.membership_failed(&user_id, position, &error),
            }
        }
        self.deliver_memberships(memberships).await;
        Ok(())
    }

    fn membership_failed(&self, user_id: &UserId, position: Position, error: &Error) {
        tracing::warn!(%error, %user_id, "a membership could not be delivered to its user");
        let now_ms = self.now_ms();
        self.deliveries().memberships.failed(&user_id.to_owned(), position, now_ms);
    }
}

/// What a membership event repeats of the profile.
fn shown_profile(pdu: &Pdu) -> Option<user::ShownProfile> {
    #[derive(Deserialize)]
    struct Content {
        displayname: Option<String>,
        avatar_url: Option<String>,
    }
    let Content { displayname, avatar_url } = serde_json::from_str(pdu.content.get()).ok()?;
    Some(user::ShownProfile { displayname, avatar_url })
}
