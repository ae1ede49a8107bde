//! Who is typing.

use std::{sync::Arc, time::Duration};

use serde_json::{json, value::to_raw_value};

use crate::{
    Result,
    messages::{
        RawJson,
        room::{Position, SetTyping},
    },
    objects::room::{Room, limits, loaded::deliveries::EphemeralNews},
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
        let is_change = match typing_for_ms {
            Some(ms) => self.typing().set(user_id, now_ms + ms.min(limits::TYPING_MS), now_ms),
            None => self.typing().clear(&user_id, now_ms),
        };
        self.time_typing();
        // Going on typing changes nothing that anybody sees.
        if is_change {
            self.announce(EphemeralNews::default());
        }
        Ok(())
    }

    /// Sees to it that typing expires.
    fn time_typing(self: &Arc<Self>) {
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
            let has_ended = self.typing().expire(self.now_ms());
            if has_ended {
                self.announce(EphemeralNews::default());
            }
        }
    }

    /// The `m.typing` event, for a client that has read the room up to a position and may not
    /// know who is typing.
    pub(crate) fn typing_since(&self, after: Position) -> Result<Option<RawJson>> {
        let now_ms = self.now_ms();
        let typing = self.typing();
        let Some(users) = typing.shown(after == 0, now_ms) else { return Ok(None) };
        let event = json!({ "type": "m.typing", "content": { "user_ids": users } });
        Ok(Some(to_raw_value(&event)?))
    }
}
