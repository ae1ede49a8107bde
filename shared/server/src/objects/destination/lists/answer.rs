//! What is answered about lists: those that are kept, and what the server says of the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::{join, join_all};
use ruma::{OwnedUserId, UserId};
use skerry_core::{
    device_keys::lists::{DeviceList, MAX_AGE_MS},
    gather::Gather as _,
};
use tokio::sync::watch;

use super::{Fetching, MAX_GIVEN_BYTES, Row};
use crate::{
    Result,
    messages::destination::{DeviceLists, GetDeviceLists},
    objects::destination::Destination,
    store::destination::device_lists::{self as store, Tracked},
};

/// What is known of lists.
struct Found {
    /// These need not be fetched.
    current: BTreeMap<OwnedUserId, DeviceList>,
    /// These are to be, and what is kept of them.
    wanted: Fetching<Option<Row>>,
    /// Somebody else fetches these.
    under_way: BTreeMap<OwnedUserId, watch::Receiver<()>>,
    has_too_many: bool,
}

impl Destination {
    /// The lists of users. Those that are not kept are fetched, within the time that is given.
    pub(in super::super) async fn get_device_lists(
        self: &Arc<Self>,
        it: GetDeviceLists,
    ) -> Result<Box<DeviceLists>> {
        let GetDeviceLists { mut user_ids, reader, wait_ms } = it;
        let deadline_ms = self.host.clock().now_ms().saturating_add(wait_ms);
        user_ids.retain(|it| *it.server_name() == *self.name);
        let found = self.look_for_lists(user_ids, true).await?;
        let mut answer = DeviceLists { lists: found.current, has_failed: found.has_too_many };
        let awaited: Vec<_> = found.under_way.keys().cloned().collect();
        let others = join_all(found.under_way.into_values().map(over));
        let (fetched, _) = join(
            self.fetch_wanted(found.wanted, &reader, deadline_ms),
            self.until(deadline_ms, others),
        )
        .await;
        take(&mut answer, fetched);
        if !awaited.is_empty() {
            let found = self.look_for_lists(awaited, false).await?;
            answer.lists.extend(found.current);
            answer.has_failed |= found.has_too_many;
            take(&mut answer, self.fetch_wanted(found.wanted, &reader, deadline_ms).await);
        }
        Ok(Box::new(answer))
    }

    /// Looks for lists, and begins to fetch those that are not here. `waits`: not those that
    /// somebody else fetches.
    async fn look_for_lists(&self, user_ids: Vec<OwnedUserId>, waits: bool) -> Result<Found> {
        let (sql, scope, now_ms) = (self.host.sql(), self.host.scope(), self.host.clock().now_ms());
        let mut state = self.lock().await?;
        let asked: Vec<&UserId> = user_ids.iter().map(|it| &**it).collect();
        let mut tracked = store::list(sql, scope, &asked).await?;
        let excess = take_excess(&mut tracked);
        let mut rows: BTreeMap<_, _> = self
            .rows_of(tracked)
            .await?
            .into_iter()
            .map(|row| (row.tracked.user_id.clone(), row))
            .gather();
        let is_left_alone = state.is_left_alone(now_ms) || state.tickets.retry.is_waiting(now_ms);
        let (mut current, mut wanted) = (BTreeMap::new(), BTreeMap::new());
        let mut under_way = BTreeMap::new();
        for user_id in user_ids.into_iter().filter(|it| !excess.contains(it)) {
            let row = rows.remove(&user_id);
            let is_wanted = match row.as_ref().map(|it| &it.tracked) {
                None => true,
                Some(it) if it.stale_ms.is_some() => true,
                // It is as good as what is not to be had.
                Some(it) => !is_left_alone && it.fetched_ms + MAX_AGE_MS < now_ms,
            };
            let by_others = state.tickets.under_way(&user_id).filter(|_| waits);
            match (row, by_others) {
                (Some(row), _) if !is_wanted => drop(current.insert(user_id, row.list)),
                (_, Some(over)) => drop(under_way.insert(user_id, over)),
                (row, None) => drop(wanted.insert(user_id, row)),
            }
        }
        let wanted = state.tickets.begin(wanted);
        Ok(Found { current, wanted, under_way, has_too_many: !excess.is_empty() })
    }

    /// Fetches lists, and keeps those of users who share an encrypted room with the reader. None of
    /// a user: the server has not answered.
    async fn fetch_wanted(
        self: &Arc<Self>,
        wanted: Fetching<Option<Row>>,
        reader: &UserId,
        deadline_ms: u64,
    ) -> BTreeMap<OwnedUserId, Option<DeviceList>> {
        if wanted.users.is_empty() {
            return BTreeMap::new();
        }
        let new = wanted.users.iter().filter(|(_, row)| row.is_none());
        let new: Vec<_> = new.map(|(user_id, _)| user_id.clone()).collect();
        let is_stale = |it: &Row| it.tracked.stale_ms.is_some();
        let users = wanted.users.iter();
        let users: BTreeMap<_, _> = users
            .map(|(user_id, row)| (user_id.clone(), row.as_ref().is_some_and(is_stale)))
            .gather();
        let rooms = self.until(deadline_ms, self.find_shared_rooms(reader, new));
        let (mut fetched, rooms) = join(self.fetch_lists(users, deadline_ms, true), rooms).await;
        match self.keep_lists(&wanted, &fetched, &rooms.unwrap_or_default()).await {
            Ok(true) => self.tell_changes_later(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(server = %self.name, %error, "lists of devices cannot be kept");
            }
        }
        let given = wanted.users.into_iter().map(|(user_id, row)| {
            let fetched = fetched.remove(&user_id).map(|it| it.list);
            let row = row.filter(|it| it.tracked.stale_ms.is_none());
            (user_id, fetched.or(row.map(|it| it.list)))
        });
        given.gather()
    }
}

/// Takes out what is too much for one answer.
fn take_excess(tracked: &mut Vec<Tracked>) -> BTreeSet<OwnedUserId> {
    let mut bytes = 0;
    let excess = tracked.extract_if(.., |it| {
        bytes += it.bytes;
        bytes > MAX_GIVEN_BYTES
    });
    excess.map(|it| it.user_id).gather()
}

fn take(answer: &mut DeviceLists, fetched: BTreeMap<OwnedUserId, Option<DeviceList>>) {
    for (user_id, list) in fetched {
        match list {
            Some(list) => drop(answer.lists.insert(user_id, list)),
            None => answer.has_failed = true,
        }
    }
}

/// Whoever is at it has done so, or has given up.
async fn over(mut is_over: watch::Receiver<()>) {
    while is_over.changed().await.is_ok() {}
}
