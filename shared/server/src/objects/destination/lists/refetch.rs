//! Lists of which something was missed are fetched again, until that works.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedUserId, UserId};
use skerry_core::{device_keys::lists::FETCHED_FOR_MS, gather::Gather as _};

use super::{Fetching, Row};
use crate::{Result, objects::destination::Destination, store::destination::device_lists as store};

/// Users whose lists are fetched again together.
const USERS_PER_ROUND: u64 = 20;

/// How long the server has to answer, in milliseconds.
const WAIT_MS: u64 = 30_000;

impl Destination {
    /// Fetches lists after the reply.
    pub(in super::super) fn refetch_later(self: &Arc<Self>) {
        let destination = Arc::clone(self);
        self.host.defer(Box::pin(async move { destination.refetch().await }));
    }

    /// Fetches all lists that are to be fetched again. Where some cannot be, the alarm goes on.
    pub(in super::super) async fn refetch(&self) {
        let refetch = || async {
            if let Err(error) = self.refetch_all().await {
                tracing::warn!(server = %self.name, %error, "lists cannot be fetched again");
            }
        };
        self.refetching.run(refetch).await;
    }

    async fn refetch_all(&self) -> Result<()> {
        let (mut behind, mut has_failed, mut has_told) = (None, false, false);
        while let Some(page) = self.begin_page(&mut behind).await? {
            let users = page.users.keys().map(|it| (it.clone(), true)).gather();
            let deadline_ms = self.host.clock().now_ms() + WAIT_MS;
            let fetched = self.fetch_lists(users, deadline_ms, false).await;
            has_told |= self.keep_lists(&page, &fetched, &BTreeMap::new()).await?;
            has_failed |= page.users.keys().any(|it| fetched.get(it).is_none_or(|it| !it.is_said));
            if fetched.is_empty() && !page.users.is_empty() {
                break;
            }
        }
        if has_told {
            self.tell_changes().await;
        }
        if behind.is_none() {
            // Nothing was tried.
            return Ok(());
        }
        let random = self.host.random().number()?;
        let mut state = self.lock().await?;
        let retry = &mut state.tickets.retry;
        if !has_failed {
            retry.succeeded();
            return Ok(());
        }
        retry.failed(self.host.clock().now_ms(), random);
        let next_ms = retry.next_ms();
        self.commit(Vec::new(), Some(next_ms)).await
    }

    /// Begins to fetch the next lists, unless the server is left alone. None: these were all.
    async fn begin_page(
        &self,
        behind: &mut Option<(u64, OwnedUserId)>,
    ) -> Result<Option<Fetching<Option<Row>>>> {
        let (sql, scope, now_ms) = (self.host.sql(), self.host.scope(), self.host.clock().now_ms());
        let mut state = self.lock().await?;
        if state.is_left_alone(now_ms) || state.tickets.retry.is_waiting(now_ms) {
            return Ok(None);
        }
        let after = behind.as_ref().map(|it| (it.0, &*it.1));
        let stale = store::list_stale(sql, scope, after, USERS_PER_ROUND).await?;
        let Some(last) = stale.last() else { return Ok(None) };
        *behind = Some((last.stale_ms.unwrap_or(0), last.user_id.clone()));
        let is_too_old = |since_ms: u64| since_ms + FETCHED_FOR_MS < now_ms;
        let (old, stale): (Vec<_>, Vec<_>) =
            stale.into_iter().partition(|it| it.stale_ms.is_some_and(is_too_old));
        if !old.is_empty() {
            let old: Vec<&UserId> = old.iter().map(|it| &*it.user_id).collect();
            self.commit(store::remove(scope, &old, None)?.into(), None).await?;
        }
        let is_free = |it: &Row| state.tickets.under_way(&it.tracked.user_id).is_none();
        let rows = self.rows_of(stale).await?.into_iter().filter(is_free);
        let rows = rows.map(|it| (it.tracked.user_id.clone(), Some(it))).gather();
        Ok(Some(state.tickets.begin(rows)))
    }

    /// When lists are to be fetched again, if any are.
    pub(in super::super) async fn next_refetch_ms(&self) -> Result<Option<u64>> {
        let stale = store::list_stale(self.host.sql(), self.host.scope(), None, 1).await?;
        if stale.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.lock().await?.tickets.retry.next_ms()))
    }
}
