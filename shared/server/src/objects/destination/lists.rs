//! Lists of devices of users of the server, which are kept as long as the server says when they
//! change ([spec], [`skerry_core::device_keys::lists`]).
//!
//! That is promised of users who share a room with users of this server, and it matters in
//! encrypted ones. So of each list it is remembered because of which encrypted room it is kept, and
//! rooms are read for who has left them with what else they have for the server ([`sending`]).
//!
//! A list is fetched without the lock. Whoever fetches one has a *ticket* for it. What comes
//! meanwhile (a change, a departure) takes the ticket away: the list is given to who has asked, and
//! not kept as what the server has said last.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#device-management
//! [`sending`]: super::sending

mod answer;
mod change;
mod fetch;
mod keep;
mod refetch;
mod retry;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::{Either, select};
use ruma::{OwnedUserId, UserId};
use skerry_core::{
    device_keys::lists::{DeviceList, KeptList},
    gather::Gather as _,
};
use tokio::sync::watch;

use self::retry::Retry;
use super::Destination;
use crate::{
    Result,
    store::destination::device_lists::{self as store, Tracked},
};

/// Tickets that are out at the same time. Who gets none asks all the same, and nothing is kept.
const MAX_TICKETS: usize = 20_000;

/// Bytes of lists that are read or fetched for one answer. The users of whom there is no more space
/// count as if the server had not answered.
const MAX_GIVEN_BYTES: u64 = 8 << 20;

/// What is in memory of lists.
#[derive(Debug)]
pub(super) struct Tickets {
    out: BTreeMap<OwnedUserId, Ticket>,
    last: u64,
    /// Users whose lists could not be fetched again when somebody wanted them.
    in_vain: BTreeSet<OwnedUserId>,
    /// Since when all of this is known: what was before is not.
    since_ms: u64,
    pub(super) retry: Retry,
}

/// Somebody fetches a list.
#[derive(Debug)]
struct Ticket {
    number: u64,
    /// Closed when they have done so.
    is_over: watch::Receiver<()>,
}

impl Tickets {
    /// None are out.
    pub(super) fn new(since_ms: u64) -> Self {
        Self {
            out: BTreeMap::new(),
            last: 0,
            in_vain: BTreeSet::new(),
            since_ms,
            retry: Retry::default(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.out.len() + self.in_vain.len()
    }

    /// Begins to fetch lists of users.
    fn begin<T>(&mut self, users: BTreeMap<OwnedUserId, T>) -> Fetching<T> {
        self.last += 1;
        let (over, is_over) = watch::channel(());
        if self.out.len() + users.len() > MAX_TICKETS {
            self.out.retain(|_, it| it.is_over.has_changed().is_ok());
        }
        for user_id in users.keys().take(MAX_TICKETS.saturating_sub(self.out.len())) {
            let ticket = Ticket { number: self.last, is_over: is_over.clone() };
            self.out.insert(user_id.clone(), ticket);
        }
        Fetching { users, number: self.last, _over: over }
    }

    /// When somebody has fetched a list who is at it.
    fn under_way(&self, user_id: &UserId) -> Option<watch::Receiver<()>> {
        let is_over = &self.out.get(user_id)?.is_over;
        is_over.has_changed().is_ok().then(|| is_over.clone())
    }

    /// Whether the list of a user is still what was to be fetched. The ticket is given back.
    fn end(&mut self, user_id: &UserId, number: u64) -> bool {
        let is_good = self.out.get(user_id).is_some_and(|it| it.number == number);
        if is_good {
            self.out.remove(user_id);
        }
        is_good
    }

    /// Something has come of users: what is fetched at this moment may not have it.
    pub(super) fn overtake<'a>(&mut self, users: impl IntoIterator<Item = &'a OwnedUserId>) {
        for user_id in users {
            self.out.remove(user_id);
        }
    }

    /// As [`Self::overtake`], of all users.
    pub(super) fn overtake_all(&mut self) {
        self.out.clear();
    }

    fn note_in_vain(&mut self, user_id: OwnedUserId) {
        if self.in_vain.len() < MAX_TICKETS {
            self.in_vain.insert(user_id);
        }
    }
}

/// Lists that are being fetched: of these users, who have something.
struct Fetching<T> {
    users: BTreeMap<OwnedUserId, T>,
    number: u64,
    /// Dropped when they were fetched, or when nobody wants them any more.
    _over: watch::Sender<()>,
}

/// A list that is kept, with what is known of it.
#[derive(Clone, Debug)]
struct Row {
    tracked: Tracked,
    list: DeviceList,
}

impl Row {
    fn kept(&self) -> KeptList {
        let (list, known) = (self.list.clone(), self.tracked.known.clone());
        KeptList { list, known, is_stale: self.tracked.stale_ms.is_some() }
    }
}

impl Destination {
    /// Those of some users whose lists are kept, with these.
    async fn rows_of(&self, tracked: Vec<Tracked>) -> Result<Vec<Row>> {
        let user_ids: Vec<_> = tracked.iter().map(|it| &*it.user_id).collect();
        if user_ids.is_empty() {
            return Ok(Vec::new());
        }
        let lists = store::list_lists(self.host.sql(), self.host.scope(), &user_ids).await?;
        let mut lists: BTreeMap<_, _> = lists.into_iter().gather();
        let row = |tracked: Tracked| {
            let list = lists.remove(&tracked.user_id)?;
            Some(Row { tracked, list })
        };
        Ok(tracked.into_iter().filter_map(row).collect())
    }

    /// What becomes of something until a time; none: it takes longer.
    async fn until<T>(&self, deadline_ms: u64, work: impl Future<Output = T>) -> Option<T> {
        let left_ms = deadline_ms.saturating_sub(self.host.clock().now_ms());
        let timeout = self.host.sleep(Duration::from_millis(left_ms));
        match select(Box::pin(work), timeout).await {
            Either::Left((outcome, _)) => Some(outcome),
            Either::Right(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, user_id};

    use super::*;

    fn begin(tickets: &mut Tickets) -> Fetching<u8> {
        tickets.begin(BTreeMap::from([(owned_user_id!("@ann:x.y"), 0)]))
    }

    #[test]
    fn what_comes_meanwhile_takes_the_ticket_away() {
        let (mut tickets, ann) = (Tickets::new(0), user_id!("@ann:x.y"));
        let first = begin(&mut tickets);
        assert!(tickets.under_way(ann).is_some());
        assert!(tickets.end(ann, first.number));
        assert!(!tickets.end(ann, first.number), "once");
        let second = begin(&mut tickets);
        tickets.overtake(&[ann.to_owned()]);
        assert!(tickets.under_way(ann).is_none(), "nobody waits for what is out of date");
        let third = begin(&mut tickets);
        assert!(!tickets.end(ann, second.number));
        assert!(tickets.end(ann, third.number), "another one is good");
        let fourth = begin(&mut tickets);
        tickets.overtake_all();
        assert!(!tickets.end(ann, fourth.number));
    }

    #[test]
    fn who_has_gone_away_is_not_waited_for() {
        let (mut tickets, ann) = (Tickets::new(0), user_id!("@ann:x.y"));
        drop(begin(&mut tickets));
        assert!(tickets.under_way(ann).is_none());
    }
}
