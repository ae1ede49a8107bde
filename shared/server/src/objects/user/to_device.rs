//! Messages to devices: they wait here until their device comes back with the token that followed
//! them ([`skerry_core::to_device`]).

use std::collections::BTreeSet;

use ruma::{DeviceId, OwnedDeviceId};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    gather::Gather as _,
    sync_token::SyncToken,
    to_device::{Inboxes, Message, PAGE_BYTES, PAGE_MESSAGES, Size, cut, fitting},
};

use super::{Due, State, User, limits};
use crate::{
    Result,
    messages::user::{DeliverToDevice, Inbox, StreamPosition},
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::user::{meta, to_device},
};

/// What is in memory of it.
#[derive(Debug)]
pub(super) struct Waiting {
    inboxes: Inboxes,
    /// How many messages are known to have come.
    seen: u64,
}

impl User {
    /// Stores messages for devices, and tells clients that wait for them.
    pub(super) async fn take_to_device(&self, it: DeliverToDevice) -> Result<()> {
        let mut state = self.lock().await?;
        let loaded = self.account(&mut state).await?;
        if loaded.active().is_none() {
            return Ok(());
        }
        let devices = loaded.devices_except(None);
        let (now_ms, scope) = (self.host.clock().now_ms(), self.scope());
        let mut waiting = self.waiting(&mut state).await?;
        let (mut stmts, mut seen, mut seq) = (Vec::new(), Vec::new(), state.seq);
        for (key, message) in self.new_messages(it.messages).await? {
            let events = message.events(&devices);
            if events.is_empty() {
                continue;
            }
            seq += 1;
            for (event, devices) in events {
                for device_id in &devices {
                    waiting.inboxes.add(device_id, Size::of(event.len()));
                }
                stmts.push(to_device::insert(scope, &devices, seq, &event)?);
            }
            seen.push((key, message.remembered_until_ms(self.id.server_name(), now_ms)));
        }
        if seen.is_empty() {
            state.waiting = Some(waiting);
            return Ok(());
        }
        waiting.seen += seen.len() as u64;
        stmts.push(to_device::insert_seen(scope, &seen)?);
        stmts.push(meta::upsert_seq(scope, seq));
        self.drop_excess(&mut waiting, &mut stmts).await?;
        let mut agenda = AgendaPlan::default();
        if state.agenda.at_ms(Due::Clean).is_none() {
            agenda.set(Due::Clean, now_ms + limits::CLEAN_MS);
        }
        self.write(&mut state, stmts, agenda).await?;
        state.seq = seq;
        state.waiting = Some(waiting);
        self.host.wake();
        Ok(())
    }

    /// Those that have not come before, each once, by their keys.
    async fn new_messages(&self, messages: Vec<Message>) -> Result<Vec<(String, Message)>> {
        let keys: Vec<_> = messages.iter().map(Message::key).collect();
        let seen = to_device::list_seen(self.sql(), self.scope(), &keys).await?;
        let mut seen: BTreeSet<_> = seen.into_iter().gather();
        let each = keys.into_iter().zip(messages);
        Ok(each.filter(|(key, _)| seen.insert(key.clone())).collect())
    }

    /// What waits, taken out of memory: whoever has written what changes of it puts it back.
    async fn waiting(&self, state: &mut State) -> Result<Waiting> {
        if let Some(waiting) = state.waiting.take() {
            return Ok(waiting);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let inboxes = Inboxes::new(to_device::list_sizes(sql, scope).await?);
        Ok(Waiting { inboxes, seen: to_device::count_seen(sql, scope).await? })
    }

    /// Where too much waits, the oldest goes. What has gone in all is kept, and the log says it.
    async fn drop_excess(&self, waiting: &mut Waiting, stmts: &mut Vec<Stmt>) -> Result<()> {
        let scope = self.scope();
        // Each is looked at once: what is left to go does when the next message comes.
        let (mut looked_at, mut dropped) = (BTreeSet::new(), Size::default());
        while let Some((device_id, excess)) = waiting.inboxes.excess()
            && looked_at.insert(device_id.to_owned())
        {
            let device_id = device_id.to_owned();
            let limit = limits::TO_DEVICE_DROPPED_AT_ONCE;
            let first = to_device::list_first_sizes(self.sql(), scope, &device_id, limit).await?;
            let (count, size) = cut(first.iter().map(|(_, bytes)| *bytes), excess);
            let Some((upto, _)) = count.checked_sub(1).and_then(|last| first.get(last)) else {
                break;
            };
            stmts.push(to_device::remove_until(scope, &device_id, *upto));
            waiting.inboxes.remove(&device_id, size);
            dropped += size;
        }
        if dropped.messages > 0 {
            let mut sum = to_device::find_dropped(self.sql(), scope).await?;
            sum += dropped;
            stmts.push(to_device::upsert_dropped(scope, sum));
            let (messages, bytes, in_all) = (dropped.messages, dropped.bytes, sum.messages);
            let user_id = &self.id;
            tracing::warn!(%user_id, messages, bytes, in_all, "messages to devices were dropped");
        }
        if waiting.seen > limits::TO_DEVICE_SEEN {
            let count = limits::TO_DEVICE_SEEN / 4;
            stmts.push(to_device::remove_first_seen(scope, count));
            waiting.seen = waiting.seen.saturating_sub(count);
        }
        Ok(())
    }

    /// The first messages that wait for a device.
    pub(super) async fn inbox(&self, state: &mut State, device_id: &DeviceId) -> Result<Inbox> {
        let waiting = self.waiting(state).await?;
        let is_empty = waiting.inboxes.is_empty(device_id);
        state.waiting = Some(waiting);
        if is_empty {
            return Ok(Inbox::default());
        }
        let (sql, scope) = (self.sql(), self.scope());
        let mut first = to_device::list_after(sql, scope, device_id, 0, PAGE_MESSAGES).await?;
        let sizes = first.iter().map(|(_, event)| event.len());
        first.truncate(fitting(sizes, PAGE_MESSAGES, PAGE_BYTES));
        let upto = first.last().map(|(seq, _)| *seq);
        let events = first.into_iter().map(|(_, event)| RawJsonValue::from_string(event));
        Ok(Inbox { events: events.collect::<Result<_, _>>()?, upto })
    }

    /// A device comes back with this token: it has the messages that came before it.
    pub(super) async fn acknowledge(
        &self,
        state: &mut State,
        device_id: &DeviceId,
        token: Option<SyncToken>,
    ) -> Result<()> {
        let upto: Option<StreamPosition> = token.and_then(|it| it.to_device);
        let Some(upto) = upto.filter(|it| *it <= state.seq) else { return Ok(()) };
        let mut waiting = self.waiting(state).await?;
        if !waiting.inboxes.is_empty(device_id) {
            let stmt = to_device::remove_until(self.scope(), device_id, upto);
            state.is_in_doubt = true;
            let removed = self.host.commit(vec![stmt], None).await?.pop().unwrap_or_default();
            state.is_in_doubt = false;
            waiting.inboxes.remove(device_id, to_device::removed(removed)?);
        }
        state.waiting = Some(waiting);
        Ok(())
    }
}

impl State {
    /// Devices have gone, and what waited for them.
    pub(super) fn forget_inboxes(&mut self, device_ids: &[OwnedDeviceId]) {
        if let Some(waiting) = &mut self.waiting {
            for it in device_ids {
                waiting.inboxes.forget(it);
            }
        }
    }
}
