//! Changes of devices: those of this server's users, which the server is told ([`sending`]), and
//! those of its own users, of which it has told us. Which of the rooms that it is given events of
//! they are in, and whether those are encrypted, the rooms know: each is told.
//!
//! [`sending`]: super::sending

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedRoomId, OwnedUserId};
use skerry_core::device_keys::updates::Sent;

use super::Destination;
use crate::{
    Result,
    messages::{
        RawJson,
        destination::ChangeDevices,
        room,
        user::{DeviceUpdates, GetDeviceUpdates},
    },
    store::destination::devices,
};

/// How long after a change has come, or after rooms were not told, the alarm tells them, in
/// milliseconds.
pub(super) const RETRY_MS: u64 = 30_000;

/// Users of whom rooms are told at a time.
const USERS_PER_ROUND: u64 = 20;

/// Rooms that are told at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// What the server is told of users, and what it knows then.
#[derive(Debug, Default)]
pub(super) struct Updates {
    pub(super) edus: Vec<RawJson>,
    pub(super) sent: BTreeMap<OwnedUserId, Sent>,
}

impl Destination {
    /// Adds what the server is to be told of users that it was not told before.
    pub(super) async fn add_updates(
        &self,
        updates: &mut Updates,
        users: Vec<OwnedUserId>,
    ) -> Result<()> {
        for user_id in users {
            if updates.sent.contains_key(&user_id) {
                continue;
            }
            let known = devices::find(self.host.sql(), self.host.scope(), &user_id).await?;
            let question = GetDeviceUpdates { sent: known };
            let DeviceUpdates { edus, sent } = self.host.objects().ask(&*user_id, question).await?;
            if !edus.is_empty() {
                updates.edus.extend(edus);
                updates.sent.insert(user_id, sent);
            }
        }
        Ok(())
    }

    /// The server says that its users' devices have changed. The lists that are kept change with
    /// it, in one batch; of whom they do is kept until all rooms were told.
    pub(super) async fn change_devices(self: &Arc<Self>, it: ChangeDevices) -> Result<()> {
        let changed = self.change_lists(it).await?;
        if changed.has_told {
            self.tell_changes_later();
        }
        if changed.has_stale {
            self.refetch_later();
        }
        Ok(())
    }

    /// Tells rooms of changes, after the reply.
    pub(super) fn tell_changes_later(self: &Arc<Self>) {
        let destination = Arc::clone(self);
        self.host.defer(Box::pin(async move { destination.tell_changes().await }));
    }

    /// Tells rooms of changes. When some are left, the alarm goes on.
    pub(super) async fn tell_changes(&self) {
        let tell = || async {
            if let Err(error) = self.tell_all().await {
                tracing::warn!(server = %self.name, %error, "rooms were not told of devices");
            }
        };
        self.telling.run(tell).await;
    }

    async fn tell_all(&self) -> Result<()> {
        let (sql, scope) = (self.host.sql(), self.host.scope());
        loop {
            let changed = devices::list_changed(sql, scope, USERS_PER_ROUND).await?;
            if changed.is_empty() {
                return Ok(());
            }
            let rooms: Vec<_> = self.lock().await?.rooms.keys().cloned().collect();
            let mut stmts = Vec::with_capacity(changed.len());
            for (user_id, change) in &changed {
                if self.tell_rooms(user_id, &rooms).await {
                    stmts.push(devices::remove_changed(scope, user_id, *change));
                }
            }
            let is_done = stmts.len() == changed.len();
            let next_ms = self.host.clock().now_ms() + RETRY_MS;
            self.commit(stmts, (!is_done).then_some(next_ms)).await?;
            if !is_done {
                return Ok(());
            }
        }
    }

    /// Whether all rooms have answered.
    async fn tell_rooms(&self, user_id: &OwnedUserId, rooms: &[OwnedRoomId]) -> bool {
        let tell = |room_id: OwnedRoomId| {
            let server = Some(self.name.clone());
            let question = room::ChangeDevices { user_id: user_id.clone(), server };
            async move {
                match self.host.objects().ask(&*room_id, question).await {
                    Ok(()) => true,
                    Err(error) => error.is_refusal(),
                }
            }
        };
        let mut answers = stream::iter(rooms.to_vec()).map(tell).buffer_unordered(ROOMS_AT_ONCE);
        let mut all = true;
        while let Some(told) = answers.next().await {
            all &= told;
        }
        all
    }
}
