//! Who has left an encrypted room: another server tells of its users' devices as long as they share
//! a room with a user of this one.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, ServerName, UserId};
use skerry_core::gather::Gather as _;

use crate::{
    Result,
    messages::room::{Departures, Position},
    objects::room::{Room, loaded::Loaded},
    store::room::{
        members,
        steps::{self, Step},
    },
};

/// Changes of the state that are looked at. Where there are more, nobody knows who has left.
const MAX_CHANGES: u64 = 1_000;

impl Room {
    /// Which users of a server have left since a position, maybe to come back, and whether at some
    /// time since then no user of this server was there. Where the state has not changed, which is
    /// so of most that a server reads, nothing is looked at.
    pub(super) async fn departures(
        &self,
        room: &Loaded,
        server: &ServerName,
        after: Position,
    ) -> Result<Departures> {
        if (room.state.chain == 0 && room.state.group <= after) || !self.is_encrypted(room).await? {
            return Ok(Departures::default());
        }
        let (sql, scope) = (self.sql(), self.scope());
        if steps::has_changes(sql, scope, after, MAX_CHANGES).await? {
            return Ok(Departures { user_ids: Vec::new(), are_all: true });
        }
        let servers = [server, &*self.server.name];
        let (own, others): (Vec<_>, Vec<_>) = steps::list(sql, scope, after, servers)
            .await?
            .into_iter()
            .filter_map(|step| Some((UserId::parse(&*step.user_id).ok()?, step)))
            .partition(|(user_id, _)| self.server.is_local(user_id));
        let are_all = match own.iter().any(|(_, step)| step.leaves) {
            true => self.was_empty(&own).await?,
            false => false,
        };
        let left = others.into_iter().filter(|(_, step)| step.leaves);
        let user_ids: BTreeSet<_> = left.map(|(user_id, _)| user_id).gather();
        Ok(Departures { user_ids: user_ids.into_iter().collect(), are_all })
    }

    /// Whether at some time no user of this server was in the room: found from who is there now,
    /// and how they have come and gone.
    async fn was_empty(&self, steps: &[(OwnedUserId, Step)]) -> Result<bool> {
        // Where more are there, some were at any time.
        let limit = steps.len() + 1;
        let (sql, scope, local) = (self.sql(), self.scope(), self.local());
        let there = members::list_joined_local(sql, scope, &local, limit).await?.len();
        let mut there = i64::try_from(there).unwrap_or(i64::MAX);
        let mut was_empty = there == 0;
        for (_, step) in steps.iter().rev() {
            there += i64::from(step.leaves) - i64::from(step.comes);
            was_empty |= there <= 0;
        }
        Ok(was_empty)
    }
}
