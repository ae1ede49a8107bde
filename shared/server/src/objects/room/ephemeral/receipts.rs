//! Receipts.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{UserId, events::receipt::ReceiptThread};
use serde_json::{Value as JsonValue, json, value::to_raw_value};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{Position, ReceiptKind, SetReceipt},
    },
    objects::room::{
        Room, limits,
        loaded::{Loaded, deliveries::EphemeralNews, in_memory},
    },
    store::room::receipts::{self, Receipt},
};

impl Room {
    /// Sets a receipt. A receipt never goes backward.
    pub(crate) async fn set_receipt(self: &Arc<Self>, command: SetReceipt) -> Result<()> {
        let SetReceipt { user_id, kind, event_id, thread } = command;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
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
        self.commit_batch(vec![receipts::upsert(self.scope(), &receipt)], None).await?;
        room.head = position;
        room.receipts_head = position;
        room.memory.forget_tally(&user_id);
        drop(guard);
        self.announce_own_receipt(user_id.clone(), position);
        // A private one concerns nobody else.
        if kind == ReceiptKind::Read {
            self.announce(EphemeralNews { receipt: Some(position), own: [user_id].into() });
        }
        Ok(())
    }

    /// The `m.receipt` event of receipts that are new after a position, when there are any.
    pub(crate) async fn receipts_since(
        &self,
        room: &Loaded,
        after: Position,
        user_id: &UserId,
    ) -> Result<Option<RawJson>> {
        if room.receipts_head <= after {
            return Ok(None);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let receipts = receipts::list_after(sql, scope, after, user_id, limits::RECEIPTS).await?;
        match receipts.is_empty() {
            true => Ok(None),
            false => receipt_event(&receipts).map(Some),
        }
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
