//! Reading for other servers: the state before an event, its auth chain, single events. Events of
//! the state are named by their numbers first, and asked for in parts: a state may be larger than
//! one answer.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, OwnedServerName};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::engine::{Num, StateAt};

use crate::{
    Result,
    messages::{
        RawJson, Requester,
        room::{GetAuthChain, GetPdu, GetStateBefore, GetStateIds, GetStatePdus, StateBefore},
    },
    objects::room::{Room, limits, loaded::Loaded, read::unseen},
    store::room::{events::StoredEvent, graph, served},
};

impl Room {
    pub(crate) async fn get_pdu(self: &Arc<Self>, question: GetPdu) -> Result<RawJson> {
        let room = self.read().await?;
        let event = self.event_for(&room, question.server, &question.event_id).await?;
        Ok(RawJsonValue::from_string(event.json)?)
    }

    pub(crate) async fn get_state_before(
        self: &Arc<Self>,
        question: GetStateBefore,
    ) -> Result<Box<StateBefore>> {
        let room = self.read().await?;
        let event = self.event_for(&room, question.server, &question.event_id).await?;
        let states = event.states.ok_or_else(unseen)?;
        self.state_at(states.before, &[]).await.map(Box::new)
    }

    /// Which events a state is made of, and the auth chain of those and of these events, which
    /// belong to it.
    pub(crate) async fn state_at(
        &self,
        at: StateAt,
        cited: &[OwnedEventId],
    ) -> Result<StateBefore> {
        let (sql, scope) = (self.sql(), self.scope());
        let entries = graph::list_entries(sql, scope, at).await?;
        let mut state: Vec<Num> = entries.into_iter().map(|(_, num)| num).collect();
        state.sort_unstable();
        let auth_chain = self.auth_chain(&state, cited).await?;
        Ok(StateBefore { state, auth_chain })
    }

    /// The auth chain of events, and these events with theirs, in the order of the room.
    pub(super) async fn auth_chain(&self, of: &[Num], cited: &[OwnedEventId]) -> Result<Vec<Num>> {
        let (sql, scope) = (self.sql(), self.scope());
        let cited = graph::find_nums(sql, scope, cited).await?;
        let cited: Vec<_> = cited.into_iter().map(|(_, num)| num).collect();
        let all: Vec<_> = of.iter().chain(&cited).copied().collect();
        let mut chain = served::list_auth_chain(sql, scope, &all).await?;
        chain.extend(cited);
        chain.sort_unstable();
        chain.dedup();
        Ok(chain)
    }

    pub(crate) async fn get_auth_chain(
        self: &Arc<Self>,
        question: GetAuthChain,
    ) -> Result<Vec<Num>> {
        let room = self.read().await?;
        let event = self.event_for(&room, question.server, &question.event_id).await?;
        let pdu = self.to_pdu(event.event_id, event.json)?;
        self.auth_chain(&[], &pdu.auth_events).await
    }

    pub(crate) async fn get_state_ids(
        self: &Arc<Self>,
        question: GetStateIds,
    ) -> Result<Vec<OwnedEventId>> {
        let room = self.read().await?;
        self.check_server(&room, question.server).await?;
        served::list_state_ids(self.sql(), self.scope(), &question.numbers).await
    }

    pub(crate) async fn get_state_pdus(
        self: &Arc<Self>,
        question: GetStatePdus,
    ) -> Result<Vec<RawJson>> {
        let room = self.read().await?;
        self.check_server(&room, question.server).await?;
        let (mut pdus, mut bytes) = (Vec::new(), 0);
        for some in question.numbers.chunks(limits::STATE_PAGE) {
            for json in served::list_state_json(self.sql(), self.scope(), some).await? {
                bytes += json.len();
                pdus.push(RawJsonValue::from_string(json)?);
                if bytes >= limits::STATE_PAGE_BYTES {
                    return Ok(pdus);
                }
            }
        }
        Ok(pdus)
    }

    /// Refuses a server that was never in the room, or is kept out.
    async fn check_server(&self, room: &Loaded, server: OwnedServerName) -> Result<()> {
        self.view(room, &Requester::Server(server)).await.map(drop)
    }

    /// An event that a server may know: what it may see, and what the state of the room builds on.
    pub(super) async fn event_for(
        &self,
        room: &Loaded,
        server: OwnedServerName,
        event_id: &EventId,
    ) -> Result<StoredEvent> {
        let requester = Requester::Server(server);
        let view = self.view(room, &requester).await?;
        let found = served::find(self.sql(), self.scope(), event_id).await?;
        let event = found.filter(|it| it.position <= view.upto).ok_or_else(unseen)?;
        let is_outlier_of_state = event.states.is_none() && event.state_key.is_some();
        let audience = self.audience(room, &requester, &view.timeline);
        match is_outlier_of_state || self.may_see(audience, &event).await? {
            true => Ok(event),
            false => Err(unseen()),
        }
    }
}
