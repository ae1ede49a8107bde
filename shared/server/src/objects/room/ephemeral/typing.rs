//! Who is typing.

use std::{sync::Arc, time::Duration};

use ruma::events::room::member::MembershipState;
use serde_json::{json, value::to_raw_value};
use skerry_core::gather::Gather as _;

use crate::{
    Result,
    messages::{
        RawJson,
        room::{Position, SetTyping},
    },
    objects::room::{
        Room, limits,
        loaded::{Loaded, deliveries::EphemeralNews},
    },
};

impl Room {
    /// Sets or clears that a user is typing.
    pub(crate) async fn set_typing(self: &Arc<Self>, command: SetTyping) -> Result<()> {
        let SetTyping { user_id, typing_for_ms } = command;
        {
            let room = self.read().await?;
            self.check_joined(&room, &user_id).await?;
        }
        let now_ms = self.now_ms();
        let typing = [(user_id.clone(), typing_for_ms.is_some())].into_iter().gather();
        let (is_change, is_repeated) = {
            let mut memory = self.typing();
            match typing_for_ms {
                Some(ms) => {
                    let until_ms = now_ms + ms.min(limits::TYPING_MS);
                    let is_change = memory.set(user_id.clone(), until_ms, now_ms);
                    (is_change, memory.is_to_be_repeated(&user_id, now_ms))
                }
                None => (memory.clear(&user_id, now_ms), false),
            }
        };
        self.time_typing();
        // Going on typing changes nothing that anybody here sees.
        if is_change {
            self.announce(EphemeralNews { typing, ..EphemeralNews::default() });
        } else if is_repeated {
            let room = Arc::clone(self);
            self.host.defer(Box::pin(async move { room.tell_servers_of_typing(&typing).await }));
        }
        Ok(())
    }

    /// Sees to it that typing expires.
    pub(super) fn time_typing(self: &Arc<Self>) {
        {
            let mut typing = self.typing();
            if typing.is_timed || typing.next_ms().is_none() {
                return;
            }
            typing.is_timed = true;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.expire_typing().await }));
    }

    async fn expire_typing(self: &Arc<Self>) {
        loop {
            let next_ms = {
                let mut typing = self.typing();
                let next_ms = typing.next_ms();
                typing.is_timed = next_ms.is_some();
                next_ms
            };
            let Some(next_ms) = next_ms else { return };
            let left_ms = next_ms.saturating_sub(self.now_ms());
            self.host.sleep(Duration::from_millis(left_ms)).await;
            let ended = self.typing().expire(self.now_ms());
            if !ended.is_empty() {
                let local = ended.into_iter().filter(|it| it.server_name() == self.server.name);
                let typing = local.map(|user_id| (user_id, false)).gather();
                self.announce(EphemeralNews { typing, ..EphemeralNews::default() });
            }
        }
    }

    /// The `m.typing` event, for a client that has read the room up to a position and may not
    /// know who is typing. A user of another server may have left without their server's having
    /// said that they stopped.
    pub(crate) async fn typing_since(
        &self,
        room: &Loaded,
        after: Position,
    ) -> Result<Option<RawJson>> {
        let now_ms = self.now_ms();
        let Some(typing) = self.typing().shown(after == 0, now_ms) else { return Ok(None) };
        let mut users = Vec::with_capacity(typing.len());
        for user_id in typing {
            let is_local = user_id.server_name() == self.server.name;
            if is_local || self.membership(room, &user_id).await? == MembershipState::Join {
                users.push(user_id);
            }
        }
        let event = json!({ "type": "m.typing", "content": { "user_ids": users } });
        Ok(Some(to_raw_value(&event)?))
    }
}
