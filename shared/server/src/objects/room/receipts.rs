//! Receipts, typing, and the unread counts that receipts decide.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{UserId, events::receipt::ReceiptThread};
use serde_json::{Value as JsonValue, json, value::to_raw_value};

use super::{Room, limits, load::Loaded, loaded, tell::Watchers};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{Position, ReceiptKind, SetReceipt, SetTyping},
    },
    ports::Sql,
    store::room::{
        receipts::{self, Receipt},
        typing,
    },
};

impl Room {
    /// Sets a receipt. A receipt never goes backward.
    pub(super) async fn set_receipt(self: &Arc<Self>, command: SetReceipt) -> Result<()> {
        let SetReceipt { user_id, kind, event_id, thread } = command;
        let mut guard = self.write().await?;
        let room = loaded(&mut guard)?;
        self.check_joined(room, &user_id).await?;
        let event = self
            .stored_event(&event_id)
            .await?
            .ok_or_else(|| Error::not_found("this event is not in the room"))?;
        let thread = match &thread {
            ReceiptThread::Unthreaded => String::new(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        let kind_text = match kind {
            ReceiptKind::Read => "m.read",
            ReceiptKind::ReadPrivate => "m.read.private",
        };
        let before = receipts::list_by_user(self.sql(), self.scope(), &user_id).await?;
        let is_newer = before
            .iter()
            .filter(|it| it.kind == kind_text && it.thread == thread)
            .all(|it| it.event_position < event.position);
        if !is_newer {
            return Ok(());
        }
        let position = room.head + 1;
        let receipt = Receipt {
            user_id: user_id.to_string(),
            kind: kind_text.to_owned(),
            thread,
            event_id: event_id.to_string(),
            event_position: event.position,
            ts: self.now_ms(),
            position,
        };
        self.commit_and_settle(vec![receipts::upsert(self.scope(), &receipt)]).await?;
        room.head = position;
        room.receipts_head = position;
        room.memory.forget_tally(&user_id);
        let watchers = match kind {
            ReceiptKind::Read => self.watch().take_watchers(),
            // Nobody else has anything to read.
            ReceiptKind::ReadPrivate => self.watchers_of(&user_id),
        };
        drop(guard);
        self.tell_activity_later(watchers, position);
        Ok(())
    }

    fn watchers_of(&self, user_id: &UserId) -> Watchers {
        let watches = self.watch().take_watcher(user_id);
        Watchers::These(watches.then(|| user_id.to_owned()).into_iter().collect())
    }

    /// Sets or clears that a user is typing.
    pub(super) async fn set_typing(self: &Arc<Self>, command: SetTyping) -> Result<()> {
        let SetTyping { user_id, typing_for_ms } = command;
        let mut guard = self.write().await?;
        let room = loaded(&mut guard)?;
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

    /// Ephemeral events that are new after a position: receipts and who is typing.
    pub(super) async fn ephemeral_since(
        &self,
        room: &Loaded,
        after: Position,
        user_id: &UserId,
    ) -> Result<Vec<RawJson>> {
        let (sql, scope) = (self.sql(), self.scope());
        let mut events = Vec::new();
        if room.receipts_head > after {
            let receipts =
                receipts::list_after(sql, scope, after, user_id, limits::RECEIPTS).await?;
            if !receipts.is_empty() {
                events.push(receipt_event(&receipts)?);
            }
        }
        if room.typing_head > after {
            let typing = self.typing(sql, scope).await?;
            // A client that begins anew need not be told that nobody types.
            if after > 0 || !typing.is_empty() {
                let event = json!({ "type": "m.typing", "content": { "user_ids": typing } });
                events.push(to_raw_value(&event)?);
            }
        }
        Ok(events)
    }

    async fn typing(&self, sql: &dyn Sql, scope: i64) -> Result<Vec<String>> {
        let now = self.now_ms();
        let typing = typing::list(sql, scope).await?;
        Ok(typing.into_iter().filter(|(_, at)| *at > now).map(|(user, _)| user).collect())
    }
}

/// One `m.receipt` event.
fn receipt_event(receipts: &[Receipt]) -> Result<RawJson> {
    let mut content: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, JsonValue>>> = BTreeMap::new();
    // Oldest first, so that of two receipts for one event the newer one is seen.
    for it in receipts.iter().rev() {
        let data = if it.thread.is_empty() {
            json!({ "ts": it.ts })
        } else {
            json!({ "ts": it.ts, "thread_id": it.thread })
        };
        content
            .entry(&it.event_id)
            .or_default()
            .entry(&it.kind)
            .or_default()
            .insert(&it.user_id, data);
    }
    Ok(to_raw_value(&json!({ "type": "m.receipt", "content": content }))?)
}
