//! Receipts.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    EventId, ServerName, UserId,
    events::{receipt::ReceiptThread, room::member::MembershipState},
};
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry_core::{
    edu::ReadReceipt,
    relation::{self, Relation},
};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{NewReceipt, Position, ReceiptKind, SetReceipts},
    },
    objects::room::{
        Room,
        ephemeral::receipts_plan::ReceiptsPlan,
        limits,
        loaded::{Loaded, deliveries::EphemeralNews, in_memory},
    },
    store::room::{
        events::StoredEvent,
        receipts::{self, Receipt},
    },
};

impl Room {
    /// Sets receipts of one local user in one batch.
    pub(crate) async fn set_receipts(self: &Arc<Self>, command: SetReceipts) -> Result<()> {
        let SetReceipts { user_id, receipts } = command;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &user_id).await?;
        let mut plan = ReceiptsPlan::new(room, self.scope());
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
            let ts = self.now_ms();
            let receipt = new_receipt(&user_id, text_of(kind), &event_id, &thread, ts);
            self.read_receipts(&mut plan, &user_id).await?;
            let position = plan.put(receipt, Some(event.position));
            if kind == ReceiptKind::Read {
                public = public.max(position);
            }
        }
        let Some(position) = self.commit_receipts(room, plan).await? else { return Ok(()) };
        room.memory.forget_tally(&user_id);
        if let Some(public) = public {
            self.announce_receipt_to_servers(public);
        }
        drop(guard);
        self.announce_own_receipt(user_id.clone(), position);
        // A private one concerns nobody else.
        if let Some(public) = public {
            let (receipt, own) = (Some(public), [user_id].into());
            self.announce(EphemeralNews { receipt, own, ..EphemeralNews::default() });
        }
        Ok(())
    }

    /// Sets receipts of another server's users who are joined, in one batch, as far as they may be
    /// set.
    pub(super) async fn set_remote_receipts(
        self: &Arc<Self>,
        server: &ServerName,
        receipts: Vec<ReadReceipt>,
    ) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        if !self.listens_to(room, server).await? {
            return Ok(());
        }
        let mut plan = ReceiptsPlan::new(room, self.scope());
        for receipt in receipts {
            if self.membership(room, &receipt.user_id).await? == MembershipState::Join {
                self.plan_remote_receipt(&mut plan, receipt).await?;
            }
        }
        let Some(position) = self.commit_receipts(room, plan).await? else { return Ok(()) };
        drop(guard);
        self.announce(EphemeralNews { receipt: Some(position), ..EphemeralNews::default() });
        Ok(())
    }

    /// Plans a receipt of another server's user. What has been read may come here later than that
    /// it has been: such a receipt is set if it is of no thread. Whether the event is in a thread
    /// could not be said.
    async fn plan_remote_receipt(
        &self,
        plan: &mut ReceiptsPlan,
        receipt: ReadReceipt,
    ) -> Result<()> {
        let ReadReceipt { user_id, event_id, thread, ts_ms } = receipt;
        let event = self.stored_event(&event_id).await?.filter(|it| it.states.is_some());
        let may_be = match &event {
            Some(event) => self.is_in_thread(event, &thread).await?,
            None => !matches!(thread, ReceiptThread::Thread(_)),
        };
        if may_be {
            let now_ms = self.now_ms();
            let ts = ts_ms.map_or(now_ms, |it| it.min(now_ms));
            let receipt = new_receipt(&user_id, "m.read", &event_id, &thread, ts);
            self.read_receipts(plan, &user_id).await?;
            plan.put(receipt, event.map(|it| it.position));
        }
        Ok(())
    }

    /// Reads a user's receipts, where that was not done for the plan.
    async fn read_receipts(&self, plan: &mut ReceiptsPlan, user_id: &UserId) -> Result<()> {
        if !plan.knows(user_id.as_str()) {
            let known = receipts::list_by_user(self.sql(), self.scope(), user_id).await?;
            plan.learn(user_id.as_str(), known);
        }
        Ok(())
    }

    /// Writes what is planned. The newest position; none: nothing was planned.
    async fn commit_receipts(
        &self,
        room: &mut Loaded,
        plan: ReceiptsPlan,
    ) -> Result<Option<Position>> {
        let Some((stmts, position)) = plan.finish() else { return Ok(None) };
        self.commit_batch(stmts, None).await?;
        room.head = position;
        room.receipts_head = position;
        Ok(Some(position))
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

/// A receipt that is not stored yet: where it stands is not known.
fn new_receipt(
    user_id: &UserId,
    kind: &str,
    event_id: &EventId,
    thread: &ReceiptThread,
    ts: u64,
) -> Receipt {
    Receipt {
        user_id: user_id.to_string(),
        kind: kind.to_owned(),
        thread: thread_of(thread),
        event_id: event_id.to_string(),
        event_position: 0,
        ts,
        position: 0,
    }
}

/// A receipt's thread, as it is stored.
fn thread_of(thread: &ReceiptThread) -> String {
    match thread {
        ReceiptThread::Unthreaded => String::new(),
        other => other.as_str().unwrap_or_default().to_owned(),
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
