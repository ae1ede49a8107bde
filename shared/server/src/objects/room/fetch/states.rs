//! States before events that are asked of other servers, because what led to them is not here.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedEventId, ServerName};
use skerry_core::receipt;

use crate::{
    Result,
    messages::{
        RawJson,
        room::{GivenState, Kind, Outcome, Receive, Received},
    },
    objects::room::{Room, fetch::ask::ToldState, limits},
    peers::PeerError,
    store::room::graph,
};

impl Room {
    /// The state before an event, as this server says it. The events that it is made of are here
    /// then, as far as the server gives them. None: it does not say. `is_hearsay`: the event is by
    /// users of another server.
    pub(super) async fn fetch_state(
        self: &Arc<Self>,
        server: &ServerName,
        event_id: &OwnedEventId,
        is_hearsay: bool,
    ) -> Result<Option<GivenState>> {
        let Some(ToldState { state, auth_chain }) =
            self.answered(server, self.ask_state_ids(server, event_id).await)
        else {
            return Ok(None);
        };
        if state.len() + auth_chain.len() > limits::STAGED_EVENTS {
            return Ok(None);
        }
        let missing = self.list_unknown(state.iter().chain(&auth_chain)).await?;
        if !missing.is_empty() {
            let Some(events) = self.fetch_events(server, event_id, missing).await else {
                return Ok(None);
            };
            self.take_outliers(events).await?;
        }
        Ok(Some(GivenState { before: event_id.clone(), state, is_hearsay }))
    }

    /// The events that authorize one which is here and waits for them.
    pub(super) async fn fetch_auth_chain(
        self: &Arc<Self>,
        server: &ServerName,
        event_id: &OwnedEventId,
    ) -> Result<()> {
        match self.answered(server, self.ask_auth_chain(server, event_id).await) {
            Some(events) => self.take_outliers(events).await,
            None => Ok(()),
        }
    }

    /// What a server has answered, if it has.
    pub(super) fn answered<T>(
        &self,
        server: &ServerName,
        answer: Result<T, PeerError>,
    ) -> Option<T> {
        let room_id = &self.id;
        let answer = answer.inspect_err(|error| {
            tracing::debug!(%server, %error, %room_id, "it does not say what is missing");
        });
        answer.ok()
    }

    /// Receives events of another server. Those keys are looked for that they say they were signed
    /// with.
    pub(super) async fn take(
        self: &Arc<Self>,
        events: Vec<RawJson>,
        kind: Kind,
        states: Vec<GivenState>,
    ) -> Result<Vec<Received>> {
        let keys = self.find_keys(&events).await;
        let receive = Receive { origin: None, hand_on: false, events, keys, kind, states };
        self.receive(receive).await
    }

    async fn list_unknown(
        self: &Arc<Self>,
        ids: impl Iterator<Item = &OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>> {
        let mut named = HashSet::new();
        let ids: Vec<_> = ids.filter(|it| named.insert(*it)).cloned().collect();
        let mut unknown = Vec::new();
        for page in ids.chunks(limits::ENGINE_PAGE) {
            let _room = self.read().await?;
            let known = graph::find_nums(self.sql(), self.scope(), page).await?;
            let known: HashSet<_> = known.into_iter().map(|it| it.0).collect();
            unknown.extend(page.iter().filter(|it| !known.contains(*it)).cloned());
        }
        Ok(unknown)
    }

    /// These events: a few one by one, else all of the state before the event. None: the server
    /// does not give them.
    async fn fetch_events(
        &self,
        server: &ServerName,
        event_id: &OwnedEventId,
        missing: Vec<OwnedEventId>,
    ) -> Option<Vec<RawJson>> {
        if missing.len() <= limits::ASKED_ONE_BY_ONE {
            let one = |id| self.ask_event(server, id);
            let all = stream::iter(missing.iter().cloned()).map(one);
            let all = all.buffer_unordered(limits::ASKED_AT_ONCE).try_collect::<Vec<_>>().await;
            if let Some(events) = self.answered(server, all) {
                return Some(events);
            }
        }
        self.answered(server, self.ask_state(server, event_id).await)
    }

    /// Receives events as outliers, in the order in which they authorize each other. What is known
    /// already is passed over.
    async fn take_outliers(self: &Arc<Self>, events: Vec<RawJson>) -> Result<()> {
        let rules = self.read().await?.rules.clone();
        let mut left = Vec::with_capacity(events.len());
        for event in events {
            if let Ok(read) = receipt::read(&event, &self.id, &rules) {
                left.push((read.pdu.depth, read.pdu.event_id, event));
            }
        }
        let unknown = self.list_unknown(left.iter().map(|it| &it.1)).await?;
        let unknown: HashSet<_> = unknown.into_iter().collect();
        left.retain(|it| unknown.contains(&it.1));
        left.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut left: Vec<_> = left.into_iter().map(|it| it.2).collect();
        // What authorizes an event mostly is less deep. Where it is not, it comes in another round.
        loop {
            let mut waiting = Vec::new();
            for part in left.chunks(limits::STAGED_PART) {
                let received = self.take(part.to_vec(), Kind::Outlier, Vec::new()).await?;
                let waits = part.iter().zip(received).filter(|(_, it)| is_waiting(&it.outcome));
                waiting.extend(waits.map(|(event, _)| event.clone()));
            }
            if waiting.is_empty() || waiting.len() == left.len() {
                return Ok(());
            }
            left = waiting;
        }
    }
}

fn is_waiting(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Waits { .. })
}
