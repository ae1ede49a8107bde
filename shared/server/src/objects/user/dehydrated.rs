//! The dehydrated device: it stands among the devices, has keys and gets messages as they do, and
//! has no session. There is one, until another is left in its place, it is removed, or all devices
//! are.

use std::sync::Arc;

use ruma::{DeviceId, OwnedDeviceId};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    device_keys::{self as keys, dehydrated::with_owner_signature, upload::Upload},
    to_device::{PAGE_BYTES, PAGE_MESSAGES, fitting},
};

use super::{State, User, devices::cut, limits};
use crate::{
    Error, Result,
    messages::user::{
        DehydratedDevice, Device, GetDehydratedInbox, InboxPage, SetDehydratedDevice,
    },
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::user::{cross_signing, dehydrated, device_keys, devices, one_time_keys, to_device},
};

impl User {
    /// Takes a dehydrated device, in place of the one that there is, in one batch.
    pub(super) async fn set_dehydrated_device(
        self: &Arc<Self>,
        it: SetDehydratedDevice,
    ) -> Result<()> {
        let SetDehydratedDevice { by, device, display_name, upload, signed } = it;
        let DehydratedDevice { device_id, data } = device;
        let Upload { device_keys: Some(given), one_time_keys, fallback_keys } = upload else {
            return Err(Error::missing_param("a dehydrated device has keys"));
        };
        let mut state = self.lock_in_use().await?;
        let loaded = self.account(&mut state).await?;
        if !loaded.sessions.has_device(&by) {
            return Err(logged_out());
        }
        if loaded.sessions.has_device(&device_id) {
            return Err(Error::forbidden("a device of this name is logged in"));
        }
        let old = loaded.dehydrated.clone();
        let (sql, scope, seq) = (self.sql(), self.scope(), state.seq + 1);
        let (of_user, _) = cross_signing::find(sql, scope).await?;
        if keys::cross_signing::names(&of_user, &self.id).any(|it| it == device_id.as_str()) {
            return Err(Error::forbidden("a cross-signing key has the name of this device"));
        }
        let known = match &old {
            Some(old) if *old == device_id => device_keys::find(sql, scope, &device_id).await?,
            _ => None,
        };
        // Left again, because an answer was lost: what has come for it meanwhile stays.
        let known = known.filter(|it| keys::say_the_same(it, &given));
        let mut stmts = Vec::new();
        if known.is_none() {
            // What a device of that name has left, if there ever was one, is not this one's.
            let gone: Vec<_> = old.into_iter().chain([device_id.clone()]).collect();
            stmts.extend(self.in_its_place(&mut state, &gone)?);
            if !one_time_keys.is_empty() {
                let new: Vec<_> = one_time_keys.iter().collect();
                stmts.push(one_time_keys::upsert_list(scope, &device_id, &new, seq)?);
            }
        } else {
            let new = self.plan_one_time_keys(&mut state, &device_id, &one_time_keys).await?;
            stmts.extend(new);
        }
        if !fallback_keys.is_empty() {
            stmts.push(one_time_keys::upsert_fallback(scope, &device_id, &fallback_keys)?);
        }
        let is_new = known.is_none();
        let own = of_user.self_signing.as_deref();
        let json = with_owner_signature(known.unwrap_or(given), signed.get(), &self.id, own);
        stmts.push(device_keys::upsert(scope, &device_id, &json, seq));
        stmts.push(dehydrated::upsert(scope, &device_id, data.get()));
        let display_name = display_name.as_deref().map(cut);
        let (last_seen_ms, last_seen_ip) = (None, None);
        let device =
            Device { device_id: device_id.clone(), display_name, last_seen_ms, last_seen_ip };
        stmts.push(devices::upsert(scope, &device));
        self.commit_keys(&mut state, stmts, AgendaPlan::default()).await?;
        let old = self.account(&mut state).await?.dehydrated.replace(device_id);
        if let Some(old) = old.filter(|_| is_new) {
            state.forget_inboxes(&[old]);
        }
        drop(state);
        self.drain_outbox_soon().await;
        Ok(())
    }

    /// What is removed where another device takes the place of these.
    fn in_its_place(&self, state: &mut State, gone: &[OwnedDeviceId]) -> Result<Vec<Stmt>> {
        let scope = self.scope();
        let mut stmts = Vec::from(one_time_keys::remove_list(scope, gone)?);
        stmts.push(to_device::remove_of(scope, gone)?);
        stmts.push(devices::remove_list(scope, gone)?);
        stmts.push(device_keys::update_gone(scope, gone, state.seq + 1)?);
        stmts.push(device_keys::remove_surplus(scope, limits::GONE_DEVICES));
        for device_id in gone {
            state.key_counts.pop(device_id);
        }
        Ok(stmts)
    }

    /// The dehydrated device.
    pub(super) async fn get_dehydrated_device(&self) -> Result<Option<DehydratedDevice>> {
        let _state = self.lock().await?;
        let found = dehydrated::find(self.sql(), self.scope()).await?;
        let device = |(device_id, data)| {
            Ok(DehydratedDevice { device_id, data: RawJsonValue::from_string(data)? })
        };
        found.map(device).transpose()
    }

    /// Removes the dehydrated device, and tells which it was.
    pub(super) async fn remove_dehydrated_device(
        self: &Arc<Self>,
        by: &DeviceId,
    ) -> Result<Option<OwnedDeviceId>> {
        let mut state = self.lock_in_use().await?;
        let loaded = self.account(&mut state).await?;
        if !loaded.sessions.has_device(by) {
            return Err(logged_out());
        }
        let Some(device_id) = loaded.dehydrated.clone() else { return Ok(None) };
        let gone = [device_id.clone()];
        self.end_devices(&mut state, &gone, Vec::new(), AgendaPlan::default()).await?;
        drop(state);
        self.drain_outbox_soon().await;
        Ok(Some(device_id))
    }

    /// Messages that wait for the dehydrated device, behind a position. They stay.
    pub(super) async fn get_dehydrated_inbox(&self, it: GetDehydratedInbox) -> Result<InboxPage> {
        let GetDehydratedInbox { device_id, after, limit } = it;
        let mut state = self.lock().await?;
        if self.account(&mut state).await?.dehydrated.as_ref() != Some(&device_id) {
            return Err(Error::forbidden("this is not the dehydrated device"));
        }
        let limit = usize::try_from(limit).unwrap_or(PAGE_MESSAGES).clamp(1, PAGE_MESSAGES);
        let (sql, scope) = (self.sql(), self.scope());
        let mut page = to_device::list_after(sql, scope, &device_id, after, limit + 1).await?;
        let found = page.len();
        page.truncate(fitting(page.iter().map(|(_, event)| event.len()), limit, PAGE_BYTES));
        let has_more = page.len() < found;
        let upto = page.last().map_or(after, |(seq, _)| *seq);
        let events = page.into_iter().map(|(_, event)| RawJsonValue::from_string(event));
        Ok(InboxPage { events: events.collect::<Result<_, _>>()?, upto, has_more })
    }
}

fn logged_out() -> Error {
    Error::unknown_token(false, "the device is logged out")
}
