//! History that is not here is asked of servers that were there, when somebody reads up to where it
//! breaks off.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{self, Either};
use ruma::{OwnedEventId, ServerName};
use skerry_core::ancestors::{self, Ancestor};
use tokio::sync::oneshot;

use crate::{
    Result,
    messages::room::{Kind, Position},
    objects::room::{Room, limits},
    store::room::{
        gaps::{self, Gap},
        graph,
    },
};

/// Who asks for history.
#[derive(Debug, Default)]
pub(crate) struct Backfill {
    /// Held by whoever asks.
    turn: tokio::sync::Mutex<()>,
    /// Gaps of which no server had anything, and until when none is asked again.
    empty: Mutex<BTreeMap<Position, u64>>,
}

/// What has come of asking for history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Some of it is here now.
    Partly,
    /// Nobody has it.
    Nothing,
    /// It takes longer than anybody waits.
    Late,
}

impl Backfill {
    fn empty(&self) -> MutexGuard<'_, BTreeMap<Position, u64>> {
        self.empty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self, gap: Position, now_ms: u64) -> bool {
        let mut empty = self.empty();
        empty.retain(|_, until_ms| *until_ms > now_ms);
        empty.contains_key(&gap)
    }
}

impl Room {
    /// Asks for the history in a gap, and waits for it a moment. It goes on after that.
    pub(crate) async fn backfill(self: &Arc<Self>, gap: Gap) -> Filled {
        if self.backfill.is_empty(gap.gap, self.now_ms()) {
            return Filled::Nothing;
        }
        let (done, is_done) = oneshot::channel();
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            let filled = room.fill_gap(gap).await.unwrap_or_else(|error| {
                tracing::warn!(%error, room_id = %room.id, "history was not asked for");
                Filled::Nothing
            });
            if filled == Filled::Nothing {
                let until_ms = room.now_ms() + limits::EMPTY_GAP_MS;
                room.backfill.empty().insert(gap.gap, until_ms);
            }
            // Nobody may wait any more.
            let _ = done.send(filled);
        }));
        let wait = self.host.sleep(Duration::from_millis(limits::BACKFILL_WAIT_MS));
        match future::select(is_done, wait).await {
            Either::Left((filled, _)) => filled.unwrap_or(Filled::Nothing),
            Either::Right(_) => Filled::Late,
        }
    }

    async fn fill_gap(self: &Arc<Self>, gap: Gap) -> Result<Filled> {
        let _turn = self.backfill.turn.lock().await;
        let missing = self.list_missing(gap).await?;
        let is_filled = {
            let room = self.read().await?;
            // Somebody else may have asked meanwhile.
            !room.gaps.iter().any(|it| it.gap == gap.gap && it.next == gap.next)
        };
        if is_filled {
            return Ok(Filled::Partly);
        }
        for server in self.resident_servers(None).await? {
            if self.fill_gap_by(&server, &missing).await?
                && self.list_missing(gap).await? != missing
            {
                return Ok(Filled::Partly);
            }
        }
        Ok(Filled::Nothing)
    }

    async fn list_missing(self: &Arc<Self>, gap: Gap) -> Result<Vec<OwnedEventId>> {
        let _room = self.read().await?;
        gaps::list_missing(self.sql(), self.scope(), gap.gap, limits::BACKFILLED_FROM).await
    }

    /// Asks one server for the events that are missing and those before them. True: something has
    /// come.
    async fn fill_gap_by(
        self: &Arc<Self>,
        server: &ServerName,
        missing: &[OwnedEventId],
    ) -> Result<bool> {
        let answer = self.ask_backfill(server, missing.to_vec()).await;
        let Some(answer) = self.answered(server, answer) else { return Ok(false) };
        let rules = self.read().await?.rules.clone();
        let wanted = missing.iter().cloned();
        let most = limits::BACKFILL_ASKED;
        let part = ancestors::leading_to(answer, wanted, &self.id, &rules, most);
        if part.is_empty() {
            return Ok(false);
        }
        let mut states = Vec::new();
        for first in self.first_of(&part).await? {
            if states.len() == limits::BACKFILLED_STATES {
                break;
            }
            let is_hearsay = first.server != server;
            states.extend(self.fetch_state(server, &first.event_id, is_hearsay).await?);
        }
        let events = part.into_iter().map(|it| it.json).collect();
        self.take(events, Kind::History, states).await?;
        Ok(true)
    }

    /// The events of a part before which something is missing.
    async fn first_of<'a>(self: &Arc<Self>, part: &'a [Ancestor]) -> Result<Vec<&'a Ancestor>> {
        let here: HashSet<_> = part.iter().map(|it| &it.event_id).collect();
        let mut first = Vec::new();
        for it in part {
            let outside: Vec<_> =
                it.prev_events.iter().filter(|id| !here.contains(*id)).cloned().collect();
            let _room = self.read().await?;
            if graph::count_stateful(self.sql(), self.scope(), &outside).await? < outside.len() {
                first.push(it);
            }
        }
        Ok(first)
    }
}
