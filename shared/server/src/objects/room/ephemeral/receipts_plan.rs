//! A plan of receipts that are set in one batch. A receipt never goes backward.

use std::collections::BTreeMap;

use skerry_core::edu;

use crate::{
    messages::room::Position,
    objects::room::{limits, loaded::Loaded},
    ports::Stmt,
    store::room::receipts::{self, Receipt},
};

/// What is written, and what will be known of those whose receipts they are.
pub(super) struct ReceiptsPlan {
    scope: i64,
    known: BTreeMap<String, Vec<Receipt>>,
    stmts: Vec<Stmt>,
    position: Position,
}

impl ReceiptsPlan {
    /// Nothing yet.
    pub(super) fn new(room: &Loaded, scope: i64) -> Self {
        Self { scope, known: BTreeMap::new(), stmts: Vec::new(), position: room.head }
    }

    /// Whether the receipts of a user were read.
    pub(super) fn knows(&self, user_id: &str) -> bool {
        self.known.contains_key(user_id)
    }

    /// The receipts of a user are these.
    pub(super) fn learn(&mut self, user_id: &str, known: Vec<Receipt>) {
        self.known.insert(user_id.to_owned(), known);
    }

    /// Sets a receipt, unless its user has read further. Where; none: it is not set.
    /// `event_position`: where its event stands; none: it is not here.
    pub(super) fn put(
        &mut self,
        mut receipt: Receipt,
        event_position: Option<Position>,
    ) -> Option<Position> {
        let known = self.known.entry(receipt.user_id.clone()).or_default();
        let is_same = |it: &Receipt| it.kind == receipt.kind && it.thread == receipt.thread;
        let before = known.iter().find(|it| is_same(it));
        let before = before.map(|it| (it.event_id.as_str(), it.event_position));
        if !edu::replaces(before, &receipt.event_id, event_position) {
            return None;
        }
        known.retain(|it| !is_same(it));
        self.position += 1;
        receipt.position = self.position;
        receipt.event_position = event_position.unwrap_or(0);
        self.stmts.push(receipts::upsert(self.scope, &receipt));
        known.push(receipt);
        Some(self.position)
    }

    /// What is written, and the newest position; none: nothing is.
    pub(super) fn finish(self) -> Option<(Vec<Stmt>, Position)> {
        let Self { scope, known, mut stmts, position } = self;
        if stmts.is_empty() {
            return None;
        }
        let excess = known.into_values().flat_map(excess);
        stmts.extend(excess.map(|it| receipts::remove(scope, &it)));
        Some((stmts, position))
    }
}

/// Of the receipts of one user, those in threads beyond [`limits::RECEIPT_THREADS`]: the ones that
/// were set the longest ago. Receipts for the room and for its main timeline are kept.
fn excess(mut known: Vec<Receipt>) -> Vec<Receipt> {
    known.retain(|it| !matches!(it.thread.as_str(), "" | "main"));
    known.sort_by_key(|it| std::cmp::Reverse(it.position));
    known.split_off(known.len().min(limits::RECEIPT_THREADS))
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
