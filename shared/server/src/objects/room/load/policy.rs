//! The policy server that the room uses, and whether it recommends an event.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    policy::{self, PolicyServer},
};

use crate::{
    Error, Result,
    objects::room::{Room, loaded::Loaded},
    store::room::servers,
};

impl Room {
    /// The policy server that the room uses by its current state. A room that names none is asked
    /// nothing but what memory has of it.
    pub(crate) async fn policy_server(&self, room: &Loaded) -> Result<Option<PolicyServer>> {
        let Some((_, event)) = self.state_event(room, policy::EVENT_TYPE, "").await? else {
            return Ok(None);
        };
        let Some(named) = PolicyServer::named(&event.content) else { return Ok(None) };
        // Who is in the room is read from the store.
        let sql = self.store_of(room).await?;
        let presence = match named.via == self.server.name {
            true => return Ok(named.used(self.is_resident().await?)),
            false => servers::find(sql, self.scope(), &named.via).await?,
        };
        Ok(named.used(presence.is_some_and(|it| it.until.is_none())))
    }

    /// The same; none where no user of this server is in the room: what is known of it is out of
    /// date.
    pub(crate) async fn policy_server_if_resident(
        self: &Arc<Self>,
    ) -> Result<Option<PolicyServer>> {
        match self.read().await {
            Ok(room) if self.is_resident().await? => self.policy_server(&room).await,
            Ok(_) | Err(Error::UnknownRoom) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing is missing for an event to be recommended: the room uses no policy server,
    /// or that has signed it.
    pub(crate) async fn is_recommended(&self, room: &Loaded, pdu: &Pdu) -> Result<bool> {
        if policy::is_exempt(&pdu.event_type.to_string(), pdu.state_key.as_deref()) {
            return Ok(true);
        }
        let policy = self.policy_server(room).await?;
        Ok(policy.is_none_or(|it| it.has_signed(&pdu.json, &room.rules)))
    }
}
