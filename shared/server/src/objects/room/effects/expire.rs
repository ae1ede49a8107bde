//! Rows that are kept for a time are removed when it is over.

use std::sync::Arc;

use crate::{
    Result,
    objects::room::{
        Room, limits,
        loaded::{effects::Due, in_memory, plan::Plan},
    },
    store::room::{
        expiry::{self, Ages},
        pending,
    },
};

const AGES: Ages = Ages {
    transactions_ms: limits::TRANSACTION_MS,
    pending_ms: limits::PENDING_EVENT_MS,
    redactions_ms: limits::WAITING_REDACTION_MS,
};

impl Room {
    /// Removes what is too old, some pages of it, and puts the rest on the agenda.
    pub(super) async fn expire(self: &Arc<Self>) -> Result<()> {
        let (scope, now_ms) = (self.scope(), self.now_ms());
        let mut is_left = true;
        for _ in 0..limits::EXPIRED_PAGES {
            let page = expiry::remove_page(scope, &AGES, now_ms, limits::REMOVED_ROWS);
            let removed = self.write_batch(page.into(), None).await?;
            is_left = removed.iter().any(|it| it.len() as u64 >= limits::REMOVED_ROWS);
            if !is_left {
                break;
            }
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.pending = pending::count(self.sql(), scope).await?;
        let mut plan = Plan::new(room);
        let agenda = &mut plan.effects.agenda;
        match expiry::find_next(self.sql(), scope, &AGES).await? {
            Some(_) if is_left => agenda.set(Due::Expire, now_ms + limits::NEXT_PAGES_MS),
            Some(at_ms) => agenda.set(Due::Expire, at_ms.max(now_ms + limits::EXPIRE_EVERY_MS)),
            None => agenda.clear(Due::Expire),
        }
        self.commit_quietly(room, &mut plan).await
    }
}
