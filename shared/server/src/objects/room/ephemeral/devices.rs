//! Changes of members' devices, in encrypted rooms. Each has its position in the stream, a row a
//! member, and is delivered as an event is: who does not learn of it encrypts for the wrong
//! devices.

use std::sync::Arc;

use ruma::{OwnedUserId, events::room::member::MembershipState};
use tokio::sync::RwLockWriteGuard;

use crate::{
    Result,
    messages::room::{ChangeDevices, Position},
    objects::room::{
        Room, limits,
        loaded::{Loaded, effects::Due, in_memory, plan::Plan},
    },
    store::room::{device_changes, members},
};

impl Room {
    /// Notes that the devices of a member have changed.
    pub(crate) async fn change_devices(self: &Arc<Self>, it: ChangeDevices) -> Result<()> {
        let ChangeDevices { user_id, server } = it;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        if !self.is_encrypted(room).await?
            || self.membership(room, &user_id).await? != MembershipState::Join
        {
            return Ok(());
        }
        if let Some(server) = &server
            && (user_id.server_name() != server || !self.listens_to(room, server).await?)
        {
            return Ok(());
        }
        self.write_changes(guard, &[user_id]).await
    }

    /// Writes that the devices of these members have changed, and tells of it. Each has a position
    /// of its own, so that readers may stop between any two.
    async fn write_changes(
        self: &Arc<Self>,
        mut guard: RwLockWriteGuard<'_, Option<Loaded>>,
        users: &[OwnedUserId],
    ) -> Result<()> {
        let room = in_memory(&mut guard)?;
        let changes = users.iter().zip(room.head + 1..);
        let stmts =
            changes.map(|(it, position)| device_changes::upsert(self.scope(), it, position));
        let alarm_ms = self.deliveries().alarm_for(self.now_ms(), false);
        self.commit_batch(stmts.collect(), alarm_ms).await?;
        room.head += users.len() as Position;
        room.devices_head = room.head;
        room.has_news = true;
        self.deliver_changes(guard, Vec::new()).await;
        Ok(())
    }

    /// Notes of all local members that their devices may have changed. Who learns late that the
    /// room is encrypted has told nobody of changes since; a server to which all was told already
    /// is told nothing again.
    pub(crate) async fn tell_of_all_devices(self: &Arc<Self>) -> Result<()> {
        let mut after = None;
        while let Some(last) = self.tell_of_devices_behind(after.as_ref()).await? {
            after = Some(last);
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let mut plan = Plan::new(room);
        plan.effects.agenda.clear(Due::Devices);
        self.commit_quietly(room, &mut plan).await
    }

    /// The same of some, in the order of their IDs. Gives the last of them; none: there are none.
    async fn tell_of_devices_behind(
        self: &Arc<Self>,
        after: Option<&OwnedUserId>,
    ) -> Result<Option<OwnedUserId>> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        if !self.is_encrypted(room).await? {
            return Ok(None);
        }
        let (local, limit) = (self.local(), limits::TOLD_DEVICES);
        let sql = self.store_of(room).await?;
        let scope = self.scope();
        let users = members::list_joined_local_behind(sql, scope, &local, after, limit).await?;
        let Some(last) = users.last().cloned() else { return Ok(None) };
        self.write_changes(guard, &users).await?;
        Ok(Some(last))
    }
}
