//! Events that wait for others: those are asked for, first of the server of the sender.
//!
//! Mostly a few events are missing, because two servers speak at the same time, or one was away for
//! a moment. They are asked for, and nothing is missing any more. Where more are missing than that
//! brings, the room goes on behind a gap: the state before the first event after it is asked for,
//! and what is in the gap comes when somebody reads there.

use std::{collections::HashSet, sync::Arc};

use ruma::{OwnedEventId, ServerName};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    ancestors::{self, Ancestor},
    destination::retry_after_ms,
};

use crate::{
    Error, Result,
    messages::{RawJson, room::Kind},
    objects::room::{
        Room, limits,
        loaded::{effects::Due, in_memory, plan::Plan},
    },
    store::room::pending::{self, Root},
};

impl Room {
    /// Asks for what events wait for, after the reply.
    pub(crate) fn fill_later(self: &Arc<Self>) {
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.fill().await }));
    }

    /// The alarm has come: what events wait for is asked for, and the alarm comes again in case
    /// that ends in the middle. It does not wait: other servers may take long.
    pub(crate) async fn fill_by_alarm(self: &Arc<Self>) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let mut plan = Plan::new(room);
        plan.effects.agenda.set(Due::Missing, self.now_ms() + limits::FILL_MS);
        self.commit_quietly(room, &mut plan).await?;
        drop(guard);
        self.fill_later();
        Ok(())
    }

    /// Asks for what events wait for.
    async fn fill(self: &Arc<Self>) {
        let fill = || async {
            match self.fill_all().await {
                Ok(()) | Err(Error::UnknownRoom) => {}
                Err(error) => {
                    tracing::warn!(?error, room_id = %self.id, "the alarm asks for what is missing");
                }
            }
        };
        self.filling.run(fill).await;
    }

    async fn fill_all(self: &Arc<Self>) -> Result<()> {
        for _ in 0..limits::FILLED_AT_ONCE {
            let Some(root) = self.next_root().await? else { break };
            self.fill_one(root).await?;
        }
        self.plan_filling().await
    }

    /// Asks for what an event waits for. Where nobody gives it, it is asked for again later.
    async fn fill_one(self: &Arc<Self>, root: Root) -> Result<()> {
        let others = self.list_root_ids().await?.into_iter();
        let others: HashSet<_> = others.filter(|it| *it != root.event_id).collect();
        match self.ask_servers(&root, &others).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // What else waits does not depend on it.
            Err(error) => {
                tracing::warn!(?error, room_id = %self.id, "what is missing was not asked for");
            }
        }
        // What has come meanwhile and waits is no nearer to the room than the event itself.
        let left = self.list_root_ids().await?.into_iter().filter(|it| !others.contains(it));
        let left: Vec<_> = left.chain([root.event_id]).collect();
        let tries = root.tries.saturating_add(1);
        let wait_ms = retry_after_ms(tries, self.host.random().number()?);
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let mut plan = Plan::new(room);
        let next_ms = self.now_ms().saturating_add(wait_ms);
        plan.stmts.push(pending::put_off(self.scope(), &left, tries, next_ms)?);
        self.commit_quietly(room, &mut plan).await
    }

    /// Asks one server after the other. Whether the event waits for nothing then.
    async fn ask_servers(
        self: &Arc<Self>,
        root: &Root,
        others: &HashSet<OwnedEventId>,
    ) -> Result<bool> {
        // Nobody reads on in a room that all have left.
        let servers = match self.is_resident().await? {
            true => self.resident_servers(Some(&root.server)).await?,
            false => Vec::new(),
        };
        for server in servers {
            self.fill_by(&server, root, others).await?;
            if !self.is_waiting(&root.event_id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks one server for what an event waits for. `others`: what waits for something else.
    async fn fill_by(
        self: &Arc<Self>,
        server: &ServerName,
        root: &Root,
        others: &HashSet<OwnedEventId>,
    ) -> Result<()> {
        for _ in 0..limits::MISSING_ROUNDS {
            let roots = self.roots_below(others).await?;
            if roots.is_empty() || !self.ask_before(server, &roots).await? {
                break;
            }
        }
        for it in self.roots_below(others).await? {
            let event = raw(&it)?;
            let pdu = self.to_pdu(it.event_id.clone(), it.json)?;
            if it.awaited.iter().any(|id| pdu.auth_events.contains(id)) {
                self.fetch_auth_chain(server, &it.event_id).await?;
                self.take(vec![event.clone()], Kind::Live, Vec::new()).await?;
            }
            if self.is_waiting(&it.event_id).await?
                && let Some(state) =
                    self.fetch_state(server, &it.event_id, it.server != server).await?
            {
                self.take(vec![event], Kind::Live, vec![state]).await?;
            }
            if !self.is_waiting(&root.event_id).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The events that wait for what is not here, but for these.
    async fn roots_below(self: &Arc<Self>, others: &HashSet<OwnedEventId>) -> Result<Vec<Root>> {
        let ids = self.list_root_ids().await?.into_iter().filter(|it| !others.contains(it));
        let ids: Vec<_> = ids.take(limits::ROOTS_ASKED).collect();
        let _room = self.read().await?;
        pending::list(self.sql(), self.scope(), &ids).await
    }

    /// Asks for the events before some. False: nothing new has come.
    async fn ask_before(self: &Arc<Self>, server: &ServerName, roots: &[Root]) -> Result<bool> {
        let (rules, earliest) = {
            let room = self.read().await?;
            let earliest = room.extremities.iter().map(|(_, it)| it.event_id.clone());
            (room.rules.clone(), earliest.take(limits::EARLIEST_ASKED).collect())
        };
        let latest = roots.iter().map(|it| it.event_id.clone()).collect();
        let answer = self.ask_missing_events(server, earliest, latest).await;
        let Some(answer) = self.answered(server, answer) else { return Ok(false) };
        let mut wanted = Vec::new();
        for root in roots {
            let pdu = self.to_pdu(root.event_id.clone(), root.json.clone())?;
            wanted.extend(root.awaited.iter().filter(|it| pdu.prev_events.contains(it)).cloned());
        }
        let most = limits::MISSING_ASKED;
        let found = ancestors::leading_to(answer, wanted, &self.id, &rules, most);
        let events: Vec<_> = found.into_iter().map(|Ancestor { json, .. }| json).collect();
        if events.is_empty() {
            return Ok(false);
        }
        self.take(events, Kind::Live, Vec::new()).await?;
        Ok(true)
    }

    async fn next_root(self: &Arc<Self>) -> Result<Option<Root>> {
        let _room = self.read().await?;
        pending::find_root(self.sql(), self.scope(), self.now_ms()).await
    }

    async fn list_root_ids(self: &Arc<Self>) -> Result<Vec<OwnedEventId>> {
        let _room = self.read().await?;
        pending::list_root_ids(self.sql(), self.scope()).await
    }

    async fn is_waiting(self: &Arc<Self>, event_id: &OwnedEventId) -> Result<bool> {
        let _room = self.read().await?;
        pending::is_waiting(self.sql(), self.scope(), event_id).await
    }

    /// Writes when it is asked again for what is missing still.
    async fn plan_filling(self: &Arc<Self>) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let next_ms = pending::find_next(self.sql(), self.scope()).await?;
        let earliest_ms = self.now_ms() + limits::FILL_PAUSE_MS;
        let mut plan = Plan::new(room);
        match next_ms {
            Some(next_ms) => plan.effects.agenda.set(Due::Missing, next_ms.max(earliest_ms)),
            None if room.effects.agenda.at_ms(Due::Missing).is_none() => return Ok(()),
            None => plan.effects.agenda.clear(Due::Missing),
        }
        self.commit_quietly(room, &mut plan).await
    }
}

fn raw(root: &Root) -> Result<RawJson> {
    Ok(RawJsonValue::from_string(root.json.clone())?)
}
