//! Receipts.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{EventId, UserId, events::receipt::ReceiptThread};
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry_core::relation::{self, Relation};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{NewReceipt, Position, ReceiptKind, SetReceipts},
    },
    objects::room::{
        Room, limits,
        loaded::{Loaded, deliveries::EphemeralNews, in_memory},
    },
    store::room::{
        events::StoredEvent,
        receipts::{self, Receipt},
    },
};

impl Room {
    /// Sets receipts of one user in one batch. A receipt never goes backward.
    pub(crate) async fn set_receipts(self: &Arc<Self>, command: SetReceipts) -> Result<()> {
        let SetReceipts { user_id, receipts } = command;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &user_id).await?;
        let (sql, scope) = (self.sql(), self.scope());
        let mut known = receipts::list_by_user(sql, scope, &user_id).await?;
        let mut stmts = Vec::new();
        let mut position = room.head;
        let mut public = None;
        let unseen = || Error::not_found("there is no such event that you may see");
        for NewReceipt { kind, event_id, thread } in receipts {
            let event = self.stored_event(&event_id).await?;
            let event = event.ok_or_else(unseen)?;
            if !self.may_user_see(room, &user_id, &event).await? {
                return Err(unseen());
            }
            if !self.is_in_thread(&event, &thread).await? {
                return Err(Error::invalid_param("the event is not in this thread"));
            }
            let (kind_text, thread) = (text_of(kind), thread_of(&thread));
            let is_same = |it: &Receipt| it.kind == kind_text && it.thread == thread;
            if known.iter().any(|it| is_same(it) && it.event_position >= event.position) {
                continue;
            }
            position += 1;
            let receipt = Receipt {
                user_id: user_id.to_string(),
                kind: kind_text.to_owned(),
                thread: thread.clone(),
                event_id: event_id.to_string(),
                event_position: event.position,
                ts: self.now_ms(),
                position,
            };
            if kind == ReceiptKind::Read {
                public = Some(position);
            }
            stmts.push(receipts::upsert(scope, &receipt));
            known.retain(|it| !is_same(it));
            known.push(receipt);
        }
        if stmts.is_empty() {
            return Ok(());
        }
        stmts.extend(excess(known).iter().map(|it| receipts::remove(scope, it)));
        self.commit_batch(stmts, None).await?;
        room.head = position;
        room.receipts_head = position;
        room.memory.forget_tally(&user_id);
        drop(guard);
        self.announce_own_receipt(user_id.clone(), position);
        // A private one concerns nobody else.
        if public.is_some() {
            self.announce(EphemeralNews { receipt: public, own: [user_id].into() });
        }
        Ok(())
    }

    /// Whether a receipt of a thread may be at an event: it is in that thread, or it is what the
    /// thread began with, or it relates to such an event over a few others. Whether anything but
    /// the root is in the thread is not asked: it may have been read before the rest came.
    async fn is_in_thread(&self, event: &StoredEvent, thread: &ReceiptThread) -> Result<bool> {
        let root = match thread {
            ReceiptThread::Unthreaded => return Ok(true),
            ReceiptThread::Thread(root) => Some(&**root),
            _ => None,
        };
        let is_root = |event_id: &EventId| Some(event_id) == root;
        if is_root(&event.event_id) {
            return Ok(true);
        }
        let mut relation = Relation::of(&event.json);
        for _ in 0..relation::MAX_HOPS {
            if let Some(thread_root) = relation.thread_root() {
                return Ok(root.is_some_and(|it| it == thread_root));
            }
            let Some(parent) = relation.parent() else { break };
            if is_root(parent) {
                return Ok(true);
            }
            let Some(parent) = self.stored_event(parent).await? else { break };
            relation = Relation::of(&parent.json);
        }
        Ok(root.is_none())
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

/// A receipt's type, as the specification calls it.
fn text_of(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Read => "m.read",
        ReceiptKind::ReadPrivate => "m.read.private",
    }
}

/// A receipt's thread, as it is stored.
fn thread_of(thread: &ReceiptThread) -> String {
    match thread {
        ReceiptThread::Unthreaded => String::new(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// Of the receipts of one user, those in threads beyond [`limits::RECEIPT_THREADS`]: the ones that
/// were set the longest ago. Receipts for the room and for its main timeline are kept.
fn excess(mut known: Vec<Receipt>) -> Vec<Receipt> {
    known.retain(|it| !matches!(it.thread.as_str(), "" | "main"));
    known.sort_by_key(|it| std::cmp::Reverse(it.position));
    known.split_off(known.len().min(limits::RECEIPT_THREADS))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(thread: &str, position: Position) -> Receipt {
        Receipt {
            user_id: "@a:b".to_owned(),
            kind: "m.read".to_owned(),
            thread: thread.to_owned(),
            event_id: "$event".to_owned(),
            event_position: position,
            ts: 0,
            position,
        }
    }

    #[test]
    fn the_receipts_of_the_newest_threads_are_kept_and_those_of_the_room() {
        let mut known = vec![receipt("", 1), receipt("main", 2)];
        let threads = limits::RECEIPT_THREADS as u64;
        known.extend((0..threads).map(|it| receipt(&format!("$thread{it}"), 10 + it)));
        assert!(excess(known.clone()).is_empty());
        known.push(receipt("$one-more", 5));
        let oldest = excess(known);
        assert_eq!(oldest.len(), 1);
        assert_eq!(oldest[0].thread, "$one-more", "it was set before the others");
    }
}
