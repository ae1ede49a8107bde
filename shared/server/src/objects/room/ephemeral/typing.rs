//! Who is typing.

use std::sync::Arc;

use serde_json::{json, value::to_raw_value};

use crate::{
    Result,
    messages::{
        RawJson,
        room::{Position, SetTyping},
    },
    objects::room::{
        Room, limits,
        loaded::{Loaded, in_memory},
    },
    store::room::typing,
};

impl Room {
    /// Sets or clears that a user is typing.
    pub(crate) async fn set_typing(self: &Arc<Self>, command: SetTyping) -> Result<()> {
        let SetTyping { user_id, typing_for_ms } = command;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &user_id).await?;
        let (scope, now) = (self.scope(), self.now_ms());
        let typing = typing::list(self.sql(), scope).await?;
        let was_typing =
            typing.iter().any(|(it, expires)| it == user_id.as_str() && *expires > now);
        if typing_for_ms.is_none() && !was_typing {
            return Ok(());
        }
        let mut alarm = None;
        let mut stmts = Vec::new();
        match typing_for_ms {
            Some(ms) => {
                let expires_ms = now + ms.min(limits::TYPING_MS);
                stmts.push(typing::upsert(scope, &user_id, expires_ms));
                alarm = Some(expires_ms);
            }
            None => stmts.push(typing::remove(scope, user_id.as_str())),
        }
        // Going on typing changes nothing that anybody sees.
        let is_change = typing_for_ms.is_some() != was_typing;
        let position = room.head + u64::from(is_change);
        if is_change {
            stmts.push(typing::upsert_changed(scope, position));
        }
        self.commit_before(stmts, alarm).await?;
        if !is_change {
            return Ok(());
        }
        room.head = position;
        room.typing_head = position;
        let watchers = self.watch().take_watchers();
        drop(guard);
        self.tell_activity_later(watchers, position);
        Ok(())
    }

    /// The `m.typing` event, when who is typing has changed after a position.
    pub(crate) async fn typing_since(
        &self,
        room: &Loaded,
        after: Position,
    ) -> Result<Option<RawJson>> {
        if room.typing_head <= after {
            return Ok(None);
        }
        let now = self.now_ms();
        let typing = typing::list(self.sql(), self.scope()).await?;
        let typing: Vec<_> =
            typing.into_iter().filter(|(_, at)| *at > now).map(|(user, _)| user).collect();
        // A client that begins anew need not be told that nobody types.
        if after == 0 && typing.is_empty() {
            return Ok(None);
        }
        let event = json!({ "type": "m.typing", "content": { "user_ids": typing } });
        Ok(Some(to_raw_value(&event)?))
    }

    /// Removes typing that has expired; whether there was any.
    pub(crate) async fn end_expired_typing(&self, room: &mut Loaded) -> Result<bool> {
        let (scope, now) = (self.scope(), self.now_ms());
        let typing = typing::list(self.sql(), scope).await?;
        let mut stmts: Vec<_> = typing
            .iter()
            .filter(|(_, expires_ms)| *expires_ms <= now)
            .map(|(user_id, _)| typing::remove(scope, user_id))
            .collect();
        if stmts.is_empty() {
            return Ok(false);
        }
        stmts.push(typing::upsert_changed(scope, room.head + 1));
        self.host.commit(stmts, None).await?;
        room.head += 1;
        room.typing_head = room.head;
        Ok(true)
    }
}
