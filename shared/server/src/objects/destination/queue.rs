//! What is no event and must not get lost: it waits in rows, in order, until the server has taken
//! it. What waits too long, or is too much, goes: the oldest first.

use std::sync::Arc;

use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    destination::{
        MAX_QUEUED_EDUS, QUEUE_BYTES, QUEUE_EDUS, QUEUED_FOR_MS, QUEUED_TRANSACTION_BYTES,
    },
    to_device::{Size, cut, fitting},
};

use super::{
    Destination,
    rooms::{SEND_GRACE_MS, State},
};
use crate::{
    Result,
    messages::{RawJson, destination::SendEdus},
    ports::Stmt,
    store::destination::edus::{self, Queue},
};

/// EDUs that are dropped in one batch, where too many wait.
const DROPPED_AT_ONCE: usize = 500;

impl Destination {
    /// Keeps what is no event until the server has it.
    pub(super) async fn queue_edus(self: &Arc<Self>, it: SendEdus) -> Result<()> {
        let (now_ms, scope) = (self.host.clock().now_ms(), self.host.scope());
        let mut state = self.lock().await?;
        let mut queue = state.queue;
        let mut stmts = Vec::with_capacity(it.edus.len());
        if queue.size == Size::default() {
            queue.since_ms = now_ms;
        }
        for edu in &it.edus {
            queue.last += 1;
            queue.size += Size::of(edu.get().len());
            stmts.push(edus::insert(scope, queue.last, now_ms, edu.get()));
        }
        stmts.extend(self.drop_excess(&mut queue).await?);
        // Who does not answer is not asked before its time.
        let next_ms = state.failures.map_or(0, |it| it.next_ms).max(now_ms + SEND_GRACE_MS);
        state.is_in_doubt = true;
        self.commit(stmts, Some(next_ms)).await?;
        state.is_in_doubt = false;
        state.queue = queue;
        drop(state);
        self.send_later();
        Ok(())
    }

    async fn drop_excess(&self, queue: &mut Queue) -> Result<Option<Stmt>> {
        let excess = Size {
            messages: queue.size.messages.saturating_sub(QUEUE_EDUS),
            bytes: queue.size.bytes.saturating_sub(QUEUE_BYTES),
        };
        if excess == Size::default() {
            return Ok(None);
        }
        let (sql, scope) = (self.host.sql(), self.host.scope());
        let first = edus::list_first_sizes(sql, scope, DROPPED_AT_ONCE).await?;
        let (count, size) = cut(first.iter().map(|(_, bytes)| *bytes), excess);
        let last = count.checked_sub(1).and_then(|last| first.get(last));
        queue.size -= size;
        let (messages, bytes) = (size.messages, size.bytes);
        tracing::warn!(server = %self.name, messages, bytes, "EDUs were dropped");
        Ok(last.map(|(number, _)| edus::remove_until(scope, *number)))
    }

    /// The first that wait, as many as one transaction has, and the number of the last of them.
    pub(super) async fn queued_edus(&self) -> Result<(Vec<RawJson>, Option<u64>)> {
        let (sql, scope) = (self.host.sql(), self.host.scope());
        if self.lock().await?.queue.size == Size::default() {
            return Ok((Vec::new(), None));
        }
        let mut first = edus::list_first(sql, scope, MAX_QUEUED_EDUS).await?;
        let sizes = first.iter().map(|(_, edu)| edu.len());
        first.truncate(fitting(sizes, MAX_QUEUED_EDUS, QUEUED_TRANSACTION_BYTES));
        let last = first.last().map(|(number, _)| *number);
        let edus = first.into_iter().map(|(_, edu)| RawJsonValue::from_string(edu));
        Ok((edus.collect::<Result<_, _>>()?, last))
    }

    /// The statement that drops what has waited for too long, if anything has.
    pub(super) fn drop_stale(&self, queue: &mut Queue, now_ms: u64) -> Option<Stmt> {
        let before_ms = now_ms.saturating_sub(QUEUED_FOR_MS);
        let is_stale = queue.size != Size::default() && queue.since_ms < before_ms;
        queue.since_ms = queue.since_ms.max(before_ms);
        is_stale.then(|| edus::remove_older(self.host.scope(), before_ms))
    }

    /// Writes a batch that may begin with a statement that removes some of what waits.
    pub(super) async fn commit_and_remove(
        &self,
        state: &mut State,
        removal: Option<Stmt>,
        stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<()> {
        let removes = removal.is_some();
        let stmts: Vec<_> = removal.into_iter().chain(stmts).collect();
        if stmts.is_empty() {
            return Ok(());
        }
        state.is_in_doubt = removes;
        let rows = self.host.commit(stmts, alarm_by_ms).await?;
        state.is_in_doubt = false;
        if removes {
            state.queue.size -= edus::removed(rows.into_iter().next().unwrap_or_default())?;
        }
        Ok(())
    }
}
