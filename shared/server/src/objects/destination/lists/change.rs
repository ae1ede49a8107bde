//! What the server says of changes, as far as lists are kept of those users.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedUserId, UserId};
use skerry_core::{
    device_keys::{
        changes::{Change, UserChange},
        lists::{Effect, MAX_LIST_BYTES},
    },
    gather::Gather as _,
};

use super::Row;
use crate::{
    Result,
    messages::destination::ChangeDevices,
    objects::destination::{Destination, devices::RETRY_MS},
    ports::Stmt,
    store::destination::{device_lists as store, devices},
};

/// Whose devices have changed, and what is said of each.
type Changes = BTreeMap<OwnedUserId, Vec<Change>>;

/// What came of changes.
#[derive(Debug, Default)]
pub(in super::super) struct Changed {
    /// Rooms are to be told of users.
    pub(in super::super) has_told: bool,
    /// Lists are to be fetched again.
    pub(in super::super) has_stale: bool,
}

impl Destination {
    /// Writes in one batch what changes in lists, and of whom rooms are to be told.
    pub(in super::super) async fn change_lists(&self, it: ChangeDevices) -> Result<Changed> {
        let changes = self.by_user(it);
        let (sql, scope) = (self.host.sql(), self.host.scope());
        let mut state = self.lock().await?;
        state.tickets.overtake(changes.keys());
        let user_ids: Vec<&UserId> = changes.keys().map(|it| &**it).collect();
        let tracked = store::list(sql, scope, &user_ids).await?;
        let rows = self.rows_of(tracked).await?.into_iter();
        let mut rows: BTreeMap<_, _> = rows.map(|it| (it.tracked.user_id.clone(), it)).gather();
        let (mut stmts, mut told, mut changed) = (Vec::new(), BTreeSet::new(), Changed::default());
        for (user_id, changes) in &changes {
            let effect = match rows.remove(user_id) {
                Some(row) => self.change_list(row, changes, &mut stmts)?,
                // Whoever wants to know asks.
                None => Effect::Changed,
            };
            changed.has_stale |= effect == Effect::Stale;
            if effect != Effect::Nothing {
                told.insert(user_id);
            }
        }
        changed.has_told = !told.is_empty();
        let change = self.host.clock().instant_us();
        stmts.extend(told.into_iter().map(|it| devices::upsert_changed(scope, it, change)));
        if !stmts.is_empty() {
            self.commit(stmts, Some(self.host.clock().now_ms() + RETRY_MS)).await?;
        }
        Ok(changed)
    }

    fn by_user(&self, it: ChangeDevices) -> Changes {
        let mut changes = Changes::new();
        for UserChange { user_id, change } in it.changes {
            changes.entry(user_id).or_default().push(change);
        }
        for user_id in it.user_ids {
            changes.entry(user_id).or_insert_with(|| vec![Change::Unknown]);
        }
        changes.retain(|user_id, _| *user_id.server_name() == *self.name);
        changes
    }

    /// Plans what a list becomes.
    fn change_list(&self, row: Row, changes: &[Change], stmts: &mut Vec<Stmt>) -> Result<Effect> {
        let (scope, before) = (self.host.scope(), row.kept());
        let mut after = before.clone();
        let effects = changes.iter().map(|it| after.take(it));
        let effect = effects.max().unwrap_or(Effect::Stale);
        let Row { mut tracked, .. } = row;
        if after.list != before.list {
            let list = serde_json::to_string(&after.list)?;
            if list.len() > MAX_LIST_BYTES {
                stmts.extend(store::remove(scope, &[&*tracked.user_id], None)?);
                return Ok(effect);
            }
            tracked.bytes = list.len() as u64;
            stmts.push(store::upsert_list(scope, &tracked.user_id, &list));
        }
        if after != before {
            let now_ms = self.host.clock().now_ms();
            tracked.known = after.known;
            tracked.stale_ms = after.is_stale.then(|| tracked.stale_ms.unwrap_or(now_ms));
            stmts.push(store::upsert(scope, &tracked)?);
        }
        Ok(effect)
    }
}
