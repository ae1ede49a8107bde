//! A view in which the event that is being decided is known already, with its verdict.

use std::{borrow::Cow, sync::Arc};

use ruma::EventId;

use super::{Edges, Event, KeyId, Num, StateAt, Verdict, View, Withdrawal};

/// A [`View`] and one more event. One that is rejected is not among those that cite others, and one
/// that is withdrawn is part of no state.
pub(super) struct ViewWith<'a, V> {
    view: &'a V,
    event: Arc<Event>,
    withdrawal: Option<Withdrawal>,
}

impl<'a, V: View> ViewWith<'a, V> {
    /// What a room will know once it knows this event.
    pub(super) fn new(view: &'a V, event: Arc<Event>, withdrawal: Option<Withdrawal>) -> Self {
        Self { view, event, withdrawal }
    }

    fn is_rejected(&self) -> bool {
        self.event.verdict == Verdict::Rejected
    }
}

impl<V: View> View for ViewWith<'_, V> {
    fn find(&self, event_id: &EventId) -> Option<Option<Num>> {
        if self.event.pdu.event_id == event_id {
            return Some(Some(self.event.num));
        }
        self.view.find(event_id)
    }

    fn event(&self, num: Num) -> Option<Arc<Event>> {
        if self.event.num == num {
            return Some(Arc::clone(&self.event));
        }
        self.view.event(num)
    }

    fn edges(&self, num: Num) -> Option<Edges<'_>> {
        match self.event.key {
            Some(key) if self.event.num == num => {
                Some(Edges { key, auth: Cow::Borrowed(&self.event.auth) })
            }
            _ => self.view.edges(num),
        }
    }

    fn cited_by(&self, num: Num, before: Num) -> Option<Vec<Num>> {
        let mut citing = self.view.cited_by(num, before)?;
        let own = self.event.num;
        if self.is_rejected() {
            // A page of that one alone would be taken for the last.
            if let [only] = *citing
                && only == own
            {
                return self.view.cited_by(num, own);
            }
            citing.retain(|it| *it != own);
        } else if own < before
            && self.event.key.is_some()
            && self.event.auth.contains(&num)
            && !citing.contains(&own)
        {
            citing.push(own);
            citing.sort_unstable_by(|a, b| b.cmp(a));
        }
        Some(citing)
    }

    fn state(&self, at: StateAt, key: KeyId) -> Option<Option<Num>> {
        let found = self.view.state(at, key)?;
        Some(self.withdrawal.map_or(found, |it| it.of(found)))
    }

    fn parent(&self, chain: u64) -> Option<Option<StateAt>> {
        self.view.parent(chain)
    }

    fn deltas(&self, chain: u64, after: u64, upto: u64) -> Option<Vec<(KeyId, Option<Num>)>> {
        let mut deltas = self.view.deltas(chain, after, upto)?;
        if let Some(withdrawal) = self.withdrawal {
            for (_, event) in &mut deltas {
                *event = withdrawal.of(*event);
            }
        }
        Some(deltas)
    }
}
