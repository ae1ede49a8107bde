//! Requests to servers that are in the room, each bounded.

use std::sync::Arc;

use ruma::{
    OwnedEventId, OwnedServerName, ServerName, UInt,
    api::federation::{
        authorization::get_event_authorization::v1::Request as GetAuthChain,
        backfill::get_backfill::v1::Request as GetBackfill,
        event::{
            get_event::v1::Request as GetEvent,
            get_missing_events::v1::Request as GetMissingEvents,
            get_room_state::v1::Request as GetRoomState,
            get_room_state_ids::v1::Request as GetRoomStateIds,
        },
    },
};

use crate::{
    Result,
    messages::{RawJson, ServerKey},
    objects::room::{Room, limits},
    peers::{PeerError, Peers},
    signers::{self, signers_of},
    store::room::servers,
};

/// The state before an event, as a server says it.
pub(super) struct ToldState {
    /// The state.
    pub(super) state: Vec<OwnedEventId>,
    /// What authorizes it, and so on.
    pub(super) auth_chain: Vec<OwnedEventId>,
}

impl Room {
    pub(super) fn peers(&self) -> Peers<'_> {
        Peers::of_object(&*self.host, &self.server, &self.peers)
    }

    /// The servers that are asked, in this order: `first`, then those with the most members.
    pub(super) async fn resident_servers(
        self: &Arc<Self>,
        first: Option<&ServerName>,
    ) -> Result<Vec<OwnedServerName>> {
        let room = self.read().await?;
        let listed = servers::list(self.sql(), self.scope()).await?;
        let mut found: Vec<OwnedServerName> = Vec::new();
        for server in first.map(ToOwned::to_owned).into_iter().chain(listed) {
            if found.len() == limits::ASKED_SERVERS {
                break;
            }
            let is_new = server != self.server.name && !found.contains(&server);
            if is_new && self.is_let_in(&room, &server).await? {
                found.push(server);
            }
        }
        Ok(found)
    }

    /// The keys that have signed these events, as far as they are to be had.
    pub(super) async fn find_keys(&self, events: &[RawJson]) -> Vec<ServerKey> {
        let keys_of = |server: OwnedServerName, wanted| async move {
            self.host.objects().ask(&*server, wanted).await
        };
        let signers = signers_of(events);
        signers::find_keys(&self.server.name, signers, self.now_ms(), keys_of).await
    }

    /// Events that come before `latest`, and not before `earliest`.
    pub(super) async fn ask_missing_events(
        &self,
        server: &ServerName,
        earliest: Vec<OwnedEventId>,
        latest: Vec<OwnedEventId>,
    ) -> Result<Vec<RawJson>, PeerError> {
        let mut request = GetMissingEvents::new(self.id.clone(), earliest, latest);
        request.limit = UInt::new_saturating(limits::MISSING_ASKED as u64);
        Ok(self.peers().ask(server, request, limits::EVENTS).await?.events)
    }

    /// These events and those before them.
    pub(super) async fn ask_backfill(
        &self,
        server: &ServerName,
        from: Vec<OwnedEventId>,
    ) -> Result<Vec<RawJson>, PeerError> {
        let limit = UInt::new_saturating(limits::BACKFILL_ASKED as u64);
        let request = GetBackfill::new(self.id.clone(), from, limit);
        Ok(self.peers().ask(server, request, limits::EVENTS).await?.pdus)
    }

    /// Which events the state before an event is made of.
    pub(super) async fn ask_state_ids(
        &self,
        server: &ServerName,
        event_id: &OwnedEventId,
    ) -> Result<ToldState, PeerError> {
        let request = GetRoomStateIds::new(event_id.clone(), self.id.clone());
        let answer = self.peers().ask(server, request, limits::STATE_IDS).await?;
        Ok(ToldState { state: answer.pdu_ids, auth_chain: answer.auth_chain_ids })
    }

    /// The events of the state before an event, and of its auth chain.
    pub(super) async fn ask_state(
        &self,
        server: &ServerName,
        event_id: &OwnedEventId,
    ) -> Result<Vec<RawJson>, PeerError> {
        let request = GetRoomState::new(event_id.clone(), self.id.clone());
        let mut answer = self.peers().ask(server, request, limits::STATE).await?;
        answer.pdus.append(&mut answer.auth_chain);
        Ok(answer.pdus)
    }

    /// The events that authorize an event, and so on.
    pub(super) async fn ask_auth_chain(
        &self,
        server: &ServerName,
        event_id: &OwnedEventId,
    ) -> Result<Vec<RawJson>, PeerError> {
        let request = GetAuthChain::new(self.id.clone(), event_id.clone());
        Ok(self.peers().ask(server, request, limits::STATE).await?.auth_chain)
    }

    /// One event.
    pub(super) async fn ask_event(
        &self,
        server: &ServerName,
        event_id: OwnedEventId,
    ) -> Result<RawJson, PeerError> {
        Ok(self.peers().ask(server, GetEvent::new(event_id), limits::EVENTS).await?.pdu)
    }
}
