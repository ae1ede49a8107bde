//! Which members are there. The room remembers it for those who come, and says whom it concerns:
//! local users who read it, and the servers in it, whether or not it lets these say anything.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedServerName, events::room::member::MembershipState};
use skerry_core::presence::{MAX_STATUSES, Status};

use crate::{
    Result,
    messages::{
        destination::StatusActivity,
        room::{Audience, NoteStatuses},
    },
    objects::room::{Room, limits, loaded::Loaded},
    store::room::{readers::Reader, servers},
};

impl Room {
    /// Users have these statuses; those who are not joined do not concern the room.
    pub(crate) async fn note_statuses(self: &Arc<Self>, it: NoteStatuses) -> Result<Audience> {
        let mut audience = Audience::default();
        let room = self.read().await?;
        for status in it.statuses.into_iter().take(MAX_STATUSES) {
            if self.membership(&room, &status.user_id).await? == MembershipState::Join {
                self.statuses().note(&status);
                audience.joined.push(status.user_id);
            }
        }
        if audience.joined.is_empty() {
            return Ok(audience);
        }
        if it.to_servers {
            audience.servers = servers::list_all(self.sql(), self.scope()).await?;
            audience.servers.truncate(limits::STATUS_READERS);
        }
        let deliveries = self.deliveries();
        let users = deliveries.activity.readers().filter_map(|it| match it {
            Reader::User(user_id) => Some(user_id.clone()),
            Reader::Server(_) => None,
        });
        audience.users = users.take(limits::STATUS_READERS).collect();
        Ok(audience)
    }

    /// Tells servers that have come which local members are there, after the reply.
    pub(crate) fn tell_statuses_to_those_who_came(self: &Arc<Self>) {
        let came = std::mem::take(&mut self.statuses().came);
        if came.is_empty() {
            return;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            if let Err(error) = room.tell_statuses_to(came).await {
                tracing::debug!(%error, "servers that have come were not told who is there");
            }
        }));
    }

    async fn tell_statuses_to(self: &Arc<Self>, came: BTreeSet<OwnedServerName>) -> Result<()> {
        let mut statuses = self.statuses_of_members(&*self.read().await?).await?;
        statuses.retain(|it| it.user_id.server_name() == self.server.name);
        if statuses.is_empty() {
            return Ok(());
        }
        for server in came {
            // One that is to hear the end of an invitation is not in the room.
            if self.has_server(&server).await? {
                let (rooms, statuses) = (vec![self.id.clone()], statuses.clone());
                let activity = StatusActivity { rooms, statuses };
                self.host.objects().ask(&*server, activity).await?;
            }
        }
        Ok(())
    }

    /// The statuses of those who are joined still.
    pub(crate) async fn statuses_of_members(&self, room: &Loaded) -> Result<Vec<Status>> {
        let mut statuses = self.statuses().list(self.now_ms());
        let mut joined = Vec::with_capacity(statuses.len());
        for status in statuses.drain(..) {
            if self.membership(room, &status.user_id).await? == MembershipState::Join {
                joined.push(status);
            }
        }
        Ok(joined)
    }
}
