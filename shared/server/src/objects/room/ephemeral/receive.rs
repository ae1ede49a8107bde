//! What another server says of its users: who types and what they have read ([`skerry_core::edu`]).
//! It is believed of users who are joined, where the room lets their server in. What is not
//! believed is passed over, and nobody is told.

use std::sync::Arc;

use ruma::{OwnedUserId, ServerName, events::room::member::MembershipState};

use crate::{
    Result,
    messages::room::ReceiveEdus,
    objects::room::{
        Room, limits,
        loaded::{Loaded, deliveries::EphemeralNews},
    },
    store::room::{members, readers::Reader},
};

impl Room {
    /// Takes what a server says of its users.
    pub(crate) async fn receive_edus(self: &Arc<Self>, question: ReceiveEdus) -> Result<()> {
        let ReceiveEdus { server, typing, receipts } = question;
        let mut of_joined = Vec::with_capacity(typing.len());
        {
            let room = self.read().await?;
            if !self.listens_to(&room, &server).await? {
                return Ok(());
            }
            for (user_id, is_typing) in typing {
                if self.membership(&room, &user_id).await? == MembershipState::Join {
                    of_joined.push((user_id, is_typing));
                }
            }
        }
        self.take_remote_typing(of_joined);
        match receipts.is_empty() {
            true => Ok(()),
            false => self.set_remote_receipts(&server, receipts).await,
        }
    }

    /// Whether somebody here is in the room, which lets the server in.
    pub(super) async fn listens_to(&self, room: &Loaded, server: &ServerName) -> Result<bool> {
        if !self.is_let_in(room, server).await? {
            return Ok(false);
        }
        let is_user = |it: &Reader| matches!(it, Reader::User(_));
        if self.deliveries().activity.has_reader(is_user) {
            return Ok(true);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let local = members::list_joined_local(sql, scope, &self.local(), 1).await?;
        Ok(!local.is_empty())
    }

    fn take_remote_typing(self: &Arc<Self>, users: Vec<(OwnedUserId, bool)>) {
        let now_ms = self.now_ms();
        let mut is_change = false;
        for (user_id, is_typing) in users {
            let mut typing = self.typing();
            is_change |= match is_typing {
                true => typing.set(user_id, now_ms + limits::REMOTE_TYPING_MS, now_ms),
                false => typing.clear(&user_id, now_ms),
            };
        }
        self.time_typing();
        if is_change {
            self.announce(EphemeralNews::default());
        }
    }
}
