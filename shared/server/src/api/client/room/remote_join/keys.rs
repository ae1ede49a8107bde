//! The keys of those who have signed the events of an answer, looked for while it comes.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ruma::{OwnedServerName, OwnedServerSigningKeyId, ServerName};

use crate::{
    Result,
    api::{
        Cx,
        remote::bad_answer,
        signers::{Signers, find_keys},
    },
    messages::ServerKey,
    signers::ASKED_AT_ONCE,
};

/// Servers that may have signed the events of one answer: more than any room has.
const MAX_SERVERS: usize = 30_000;

type Found = (OwnedServerName, Vec<ServerKey>);

/// What is known of the keys of one server.
#[derive(Default)]
struct Known {
    /// Those that were asked for.
    asked: Vec<OwnedServerSigningKeyId>,
    /// Questions that were not answered yet.
    open: usize,
    found: Vec<ServerKey>,
}

/// The keys that have been found, and those that are looked for.
pub(super) struct Keys<'a> {
    cx: &'a Cx,
    known: BTreeMap<OwnedServerName, Known>,
    waiting: VecDeque<(OwnedServerName, Vec<OwnedServerSigningKeyId>)>,
    underway: FuturesUnordered<Pin<Box<dyn Future<Output = Found> + Send + 'a>>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(cx: &'a Cx) -> Self {
        Self {
            cx,
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            underway: FuturesUnordered::new(),
        }
    }

    /// These are to be looked for, unless they were.
    ///
    /// # Errors
    ///
    /// `M_UNKNOWN` (502), where more servers have signed than can be asked.
    pub(super) fn want(&mut self, signers: &Signers) -> Result<()> {
        for (server, key_ids) in signers {
            if *server == self.cx.server.name {
                continue;
            }
            if !self.known.contains_key(server) {
                self.known.insert(server.clone(), Known::default());
            }
            let Some(known) = self.known.get_mut(server) else { continue };
            let mut new = key_ids.clone();
            new.retain(|it| !known.asked.contains(it));
            if !new.is_empty() {
                known.asked.extend_from_slice(&new);
                known.open += 1;
                self.waiting.push_back((server.clone(), new));
            }
        }
        match self.known.len() > MAX_SERVERS {
            true => Err(bad_answer(&"more servers have signed it than can be asked")),
            false => Ok(()),
        }
    }

    /// A server of these whose keys are still looked for.
    pub(super) fn missing<'s>(&self, signers: &'s Signers) -> Option<&'s ServerName> {
        let is_open = |it: &&OwnedServerName| self.known.get(*it).is_some_and(|it| it.open > 0);
        signers.keys().find(is_open).map(|it| &**it)
    }

    /// Whether nothing is looked for.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.underway.is_empty()
    }

    /// Looks until something has been found out about a server.
    pub(super) async fn next(&mut self) -> Option<OwnedServerName> {
        while self.underway.len() < ASKED_AT_ONCE
            && let Some((server, key_ids)) = self.waiting.pop_front()
        {
            let cx = self.cx;
            self.underway.push(Box::pin(async move {
                let keys = find_keys(cx, Signers::from([(server.clone(), key_ids)])).await;
                (server, keys)
            }));
        }
        let (server, keys) = self.underway.next().await?;
        let known = self.known.entry(server.clone()).or_default();
        known.open = known.open.saturating_sub(1);
        let had = std::mem::take(&mut known.found);
        let is_new = |it: &ServerKey| !keys.iter().any(|new| new.key_id == it.key_id);
        known.found = had.into_iter().filter(is_new).collect();
        known.found.extend(keys);
        Some(server)
    }

    /// The keys of these servers that were found.
    pub(super) fn of<'s>(
        &self,
        servers: impl IntoIterator<Item = &'s ServerName>,
    ) -> Vec<ServerKey> {
        let known = servers.into_iter().filter_map(|it| self.known.get(it));
        known.flat_map(|it| &it.found).cloned().collect()
    }
}
