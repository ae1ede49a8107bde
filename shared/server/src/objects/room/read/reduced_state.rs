//! The state before a join without its members, for a server that asks for the whole later
//! ([spec]): in a large room nearly all of it is members.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedServerName, ServerName};
use skerry_core::{
    Pdu,
    engine::{Num, StateAt},
    gather::Gather as _,
};

use crate::{
    Result,
    messages::room::{Position, StateBefore},
    objects::room::{Room, loaded::Loaded},
    store::room::{graph, servers},
};

impl Room {
    /// The state at the join of a user of this server, which is at this position, without those
    /// members that it can do without; and the servers that were in the room before.
    ///
    /// None: it gets all. So where there is nothing to leave out, and where it could not ask for
    /// the rest, because it may not see what came before the join.
    pub(crate) async fn reduced_state(
        self: &Arc<Self>,
        join: &Pdu,
        (at, position): (StateAt, Position),
        server: &ServerName,
    ) -> Result<Option<(StateBefore, Vec<OwnedServerName>)>> {
        let (sql, scope) = (self.sql(), self.scope());
        let room = self.read().await?;
        for event_id in &join.prev_events {
            if self.event_for(&room, server.to_owned(), event_id).await.is_err() {
                return Ok(None);
            }
        }
        let needed = self.needed_members(&room, join).await?;
        let entries = graph::list_entries(sql, scope, at).await?;
        let before = entries.len();
        let is_needed = |kind: &str, key: &str| kind != "m.room.member" || needed.contains(key);
        let kept = entries.into_iter().filter(|((kind, key), _)| is_needed(kind, key));
        let mut state: Vec<Num> = kept.map(|(_, num)| num).collect();
        if state.len() == before {
            return Ok(None);
        }
        state.sort_unstable();
        let mut auth_chain = self.auth_chain(&state, &join.auth_events).await?;
        auth_chain.retain(|it| state.binary_search(it).is_err());
        let mut servers = servers::list_before(sql, scope, position).await?;
        servers.push(self.server.name.clone());
        Ok(Some((StateBefore { state, auth_chain }, servers)))
    }

    /// Who joins, and the members whose names stand for that of a room without one.
    async fn needed_members(&self, room: &Loaded, join: &Pdu) -> Result<BTreeSet<String>> {
        let mut needed: BTreeSet<_> = [join.sender.to_string()].into_iter().gather();
        if !self.is_named(room).await? {
            needed.extend(self.heroes(&join.sender).await?.iter().map(ToString::to_string));
        }
        Ok(needed)
    }
}
