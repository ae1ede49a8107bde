//! Keys that a device uploads, and how many it has left.

use std::{collections::BTreeMap, sync::Arc};

use ruma::DeviceId;
use skerry_core::device_keys::{
    self as keys, MAX_CLAIMED_KEYS, MAX_FALLBACK_KEYS, MAX_ONE_TIME_KEYS,
    upload::{OneTimeKey, Upload},
};

use crate::{
    Error, Result,
    messages::user::{KeyCounts, UploadKeys},
    objects::{
        agenda::AgendaPlan,
        user::{State, User},
    },
    ports::Stmt,
    store::user::{cross_signing, device_keys, one_time_keys},
};

impl User {
    /// Takes keys of a device: all of them, or none.
    pub(in super::super) async fn upload_keys(
        self: &Arc<Self>,
        it: UploadKeys,
    ) -> Result<BTreeMap<String, u64>> {
        let UploadKeys { device_id, upload } = it;
        let mut state = self.lock_in_use().await?;
        if !self.account(&mut state).await?.sessions.has_device(&device_id) {
            return Err(Error::unknown_token(false, "the device is logged out"));
        }
        let Upload { device_keys, one_time_keys, fallback_keys } = upload;
        let (scope, seq) = (self.scope(), state.seq + 1);
        let (mut stmts, mut is_change) = (Vec::new(), false);
        if let Some(json) = device_keys
            && let Some(stmt) = self.plan_device_keys(&device_id, &json, seq).await?
        {
            stmts.push(stmt);
            is_change = true;
        }
        stmts.extend(self.plan_one_time_keys(&mut state, &device_id, &one_time_keys).await?);
        if !fallback_keys.is_empty() {
            let known = one_time_keys::count_fallback(self.sql(), scope, &device_id).await?;
            if known + fallback_keys.len() as u64 > 2 * MAX_FALLBACK_KEYS {
                return Err(too_many("there are fallback keys of too many algorithms"));
            }
            stmts.push(one_time_keys::upsert_fallback(scope, &device_id, &fallback_keys)?);
        }
        state.key_counts.pop(&device_id);
        if is_change {
            self.commit_keys(&mut state, stmts, AgendaPlan::default()).await?;
        } else if !stmts.is_empty() {
            self.commit_with(&mut state, stmts, AgendaPlan::default()).await?;
            // Those who wait are told how many are left by then.
            self.host.wake();
        }
        let counts = self.key_counts(&mut state, &device_id).await?;
        drop(state);
        if is_change {
            // What the device sends next is to find that it is known.
            self.drain_outbox_soon().await;
        }
        Ok(counts.one_time_keys)
    }

    /// The statement that sets the keys of a device; none: it has them already.
    async fn plan_device_keys(
        &self,
        device_id: &DeviceId,
        json: &str,
        seq: u64,
    ) -> Result<Option<Stmt>> {
        let (sql, scope) = (self.sql(), self.scope());
        let known = device_keys::find(sql, scope, device_id).await?;
        if known.is_some_and(|it| keys::say_the_same(&it, json)) {
            return Ok(None);
        }
        let (of_user, _) = cross_signing::find(sql, scope).await?;
        if keys::cross_signing::names(&of_user, &self.id).any(|it| it == device_id.as_str()) {
            return Err(Error::forbidden("a cross-signing key has the name of this device"));
        }
        Ok(Some(device_keys::upsert(scope, device_id, json, seq)))
    }

    /// The statements that set one-time keys: those that are new.
    pub(in super::super) async fn plan_one_time_keys(
        &self,
        state: &mut State,
        device_id: &DeviceId,
        given: &[OneTimeKey],
    ) -> Result<Vec<Stmt>> {
        if given.is_empty() {
            return Ok(Vec::new());
        }
        let (sql, scope, number) = (self.sql(), self.scope(), state.seq + 1);
        let known = one_time_keys::list_named(sql, scope, device_id, given).await?;
        let mut new = Vec::with_capacity(given.len());
        for key in given {
            let known = known.iter().find(|(it, _)| it.name() == key.name());
            match known {
                // Also one that was claimed meanwhile: an upload may be repeated.
                Some((it, _)) if key.is_same(&it.json) => {}
                Some((_, false)) => {
                    let name = key.name();
                    return Err(Error::invalid_param(format!("there is another key {name}")));
                }
                _ => new.push(key),
            }
        }
        let counts = self.key_counts(state, device_id).await?;
        let unclaimed = counts.one_time_keys.values().sum::<u64>();
        if unclaimed + new.len() as u64 > MAX_ONE_TIME_KEYS {
            return Err(too_many("the device has too many one-time keys"));
        }
        if new.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![
            one_time_keys::upsert_list(scope, device_id, &new, number)?,
            one_time_keys::remove_surplus(scope, device_id, MAX_CLAIMED_KEYS),
        ])
    }

    /// How many keys a device has left.
    pub(in super::super) async fn key_counts(
        &self,
        state: &mut State,
        device_id: &DeviceId,
    ) -> Result<KeyCounts> {
        if let Some(counts) = state.key_counts.get(device_id) {
            return Ok(counts.clone());
        }
        let (sql, scope) = (self.sql(), self.scope());
        let counts = KeyCounts {
            one_time_keys: one_time_keys::count(sql, scope, device_id).await?,
            unused_fallback: one_time_keys::list_unused_fallback(sql, scope, device_id).await?,
        };
        state.key_counts.put(device_id.to_owned(), counts.clone());
        Ok(counts)
    }
}

fn too_many(message: &'static str) -> Error {
    Error::api(ruma::api::error::ErrorKind::TooLarge, message)
}
