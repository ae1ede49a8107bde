//! Keeping lists that were fetched, and forgetting those of users with whom no room is shared.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use skerry_core::device_keys::lists::{Known, MAX_LIST_BYTES, MAX_LISTS, MAX_LISTS_BYTES};

use super::{Fetching, Row, fetch::Fetched};
use crate::{
    Result,
    messages::room::Departures,
    objects::destination::{Destination, devices::RETRY_MS, rooms::State},
    ports::Stmt,
    store::destination::{
        device_lists::{self as store, Tracked},
        devices,
    },
};

/// Lists that are forgotten together, where there are too many.
const FORGOTTEN_AT_ONCE: u64 = 500;

/// What is written of lists.
#[derive(Default)]
struct Plan {
    stmts: Vec<Stmt>,
    /// How many lists more there are, and their bytes.
    new: (u64, u64),
    /// Of these users rooms are to be told.
    told: Vec<OwnedUserId>,
}

impl Destination {
    /// Keeps lists that were fetched, unless something has come meanwhile. `rooms`: which rooms
    /// are shared with users whose lists were not kept before. Gives of whom rooms are to be told.
    pub(super) async fn keep_lists(
        &self,
        fetching: &Fetching<Option<Row>>,
        fetched: &BTreeMap<OwnedUserId, Fetched>,
        rooms: &BTreeMap<OwnedUserId, OwnedRoomId>,
    ) -> Result<bool> {
        let mut state = self.lock().await?;
        let mut plan = Plan::default();
        for (user_id, row) in &fetching.users {
            let is_good = state.tickets.end(user_id, fetching.number);
            let is_stale = row.as_ref().is_some_and(|it| it.tracked.stale_ms.is_some());
            match fetched.get(user_id).filter(|it| it.is_said) {
                Some(fetched) if is_good => {
                    let room_id = rooms.get(user_id);
                    self.plan_list(
                        &mut state,
                        &mut plan,
                        (user_id, row.as_ref()),
                        fetched,
                        room_id,
                    )?;
                }
                None if is_stale => state.tickets.note_in_vain(user_id.clone()),
                _ => {}
            }
        }
        state.count();
        if plan.new.0 > 0 {
            plan.stmts.extend(self.forget_oldest(plan.new).await?);
        }
        if plan.stmts.is_empty() {
            return Ok(false);
        }
        let change = self.host.clock().instant_us();
        let scope = self.host.scope();
        let told = plan.told.iter().map(|it| devices::upsert_changed(scope, it, change));
        let alarm_ms = (!plan.told.is_empty()).then(|| self.host.clock().now_ms() + RETRY_MS);
        plan.stmts.extend(told);
        self.commit(plan.stmts, alarm_ms).await?;
        Ok(!plan.told.is_empty())
    }

    fn plan_list(
        &self,
        state: &mut State,
        plan: &mut Plan,
        (user_id, row): (&OwnedUserId, Option<&Row>),
        fetched: &Fetched,
        room_id: Option<&OwnedRoomId>,
    ) -> Result<()> {
        let (scope, now_ms) = (self.host.scope(), self.host.clock().now_ms());
        let Some(room_id) = row.map(|it| &it.tracked.room_id).or(room_id) else { return Ok(()) };
        let is_changed = row.is_none_or(|it| it.list != fetched.list);
        if let Some(Row { tracked, .. }) = row {
            // Of an update rooms were told when it came. Who has asked since then waits for this
            // list, unless it was not to be had.
            let tickets = &mut state.tickets;
            let is_known = tracked.stale_ms.is_some_and(|it| it >= tickets.since_ms);
            let in_vain = tickets.in_vain.remove(user_id);
            if is_changed && (in_vain || !is_known) {
                plan.told.push(user_id.clone());
            }
        }
        let list = serde_json::to_string(&fetched.list)?;
        if list.len() > MAX_LIST_BYTES {
            if row.is_some() {
                plan.stmts.extend(store::remove(scope, &[&**user_id], None)?);
            }
            return Ok(());
        }
        let mut known = match row {
            // What has come before it was fetched is in it.
            Some(it) if it.tracked.stale_ms.is_some() || !is_changed => it.tracked.known.clone(),
            _ => Known::default(),
        };
        if let Some(id) = fetched.id {
            known.note(id);
        }
        let tracked = Tracked {
            user_id: user_id.clone(),
            room_id: room_id.clone(),
            known,
            stale_ms: None,
            fetched_ms: now_ms,
            bytes: list.len() as u64,
        };
        plan.stmts.push(store::upsert(scope, &tracked)?);
        if is_changed {
            plan.stmts.push(store::upsert_list(scope, user_id, &list));
        }
        if row.is_none() {
            plan.new.0 += 1;
            plan.new.1 += tracked.bytes;
        }
        Ok(())
    }

    /// Makes room for new lists: those go that were fetched longest ago. One that is wanted was not
    /// long ago.
    async fn forget_oldest(&self, new: (u64, u64)) -> Result<Vec<Stmt>> {
        let (sql, scope) = (self.host.sql(), self.host.scope());
        let (mut lists, mut bytes) = store::find_size(sql, scope).await?;
        (lists, bytes) = (lists + new.0, bytes + new.1);
        if lists <= MAX_LISTS && bytes <= MAX_LISTS_BYTES {
            return Ok(Vec::new());
        }
        let oldest = store::list_oldest(sql, scope, FORGOTTEN_AT_ONCE.max(new.0)).await?;
        tracing::warn!(server = %self.name, lists, bytes, "the oldest lists of devices go");
        let oldest: Vec<&UserId> = oldest.iter().map(|(user_id, _)| &**user_id).collect();
        Ok(store::remove(scope, &oldest, None)?.into())
    }

    /// Forgets the lists of users who have left a room because of which they are kept.
    pub(in super::super) async fn take_departures(
        &self,
        room_id: &RoomId,
        departures: &Departures,
    ) -> Result<()> {
        let Departures { user_ids, are_all } = departures;
        if user_ids.is_empty() && !are_all {
            return Ok(());
        }
        let (sql, scope) = (self.host.sql(), self.host.scope());
        let mut state = self.lock().await?;
        match are_all {
            true => state.tickets.overtake_all(),
            false => state.tickets.overtake(user_ids),
        }
        if !store::has_room(sql, scope, room_id).await? {
            return Ok(());
        }
        let stmts = match are_all {
            true => store::remove_of_room(scope, room_id),
            false => {
                let user_ids: Vec<&UserId> = user_ids.iter().map(|it| &**it).collect();
                store::remove(scope, &user_ids, Some(room_id))?
            }
        };
        self.commit(stmts.into(), None).await
    }
}
