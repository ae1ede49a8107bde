//! The room's state is asked anew of a server that the operator names.

use std::sync::Arc;

use http::StatusCode;
use ruma::{OwnedEventId, api::error::ErrorKind};

use crate::{
    Error, Result,
    messages::room::{RefetchState, Refetched},
    objects::room::{Room, limits},
};

impl Room {
    /// Asks a server for the state at the forward extremities, and resolves what it says with what
    /// is here.
    pub(crate) async fn refetch_state(
        self: &Arc<Self>,
        command: RefetchState,
    ) -> Result<Box<Refetched>> {
        let RefetchState { server } = command;
        if server == self.server.name {
            return Err(Error::invalid_param("this is the server that is to be told"));
        }
        let mut found = Refetched::default();
        for event_id in self.list_refetched().await? {
            match self.fetch_state(&server, &event_id, false).await? {
                Some(told) => self.repair(told, &mut found).await?,
                None => found.untold.push(event_id),
            }
        }
        if found.told.is_empty() {
            let message = "the server does not say what the state of the room is";
            let status = StatusCode::BAD_GATEWAY;
            return Err(Error::with_status(status, ErrorKind::Unknown, message));
        }
        Ok(Box::new(found))
    }

    /// The extremities that are asked about: the deepest.
    async fn list_refetched(self: &Arc<Self>) -> Result<Vec<OwnedEventId>> {
        let room = self.read().await?;
        if !self.is_resident().await? {
            let message = "no user of this server is in the room: a join brings its state";
            return Err(Error::forbidden(message));
        }
        let mut extremities: Vec<_> = room.extremities.iter().map(|(_, it)| it).collect();
        extremities.sort_by_key(|it| std::cmp::Reverse(it.depth));
        let asked = extremities.into_iter().take(limits::REFETCHED_EXTREMITIES);
        Ok(asked.map(|it| it.event_id.clone()).collect())
    }
}
