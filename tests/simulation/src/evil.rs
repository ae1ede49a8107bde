//! A server with a key that everybody believes, and that does what it should not. What it sends is
//! made by hand, of ruma's hashes and signatures: none of it goes through Skerry's own code.

mod answers;
mod attacks;
mod reads;

pub use self::attacks::{FORGED_TS, Victims};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Method, header};
use serde_json::Value;
use skerry_tests::peer::{Peer, PeerRoom};
use tokio::time::timeout;

use crate::{
    host::Chance,
    network::{Network, Node, Parcel},
    tally::Tally,
};

/// Its host.
pub const HOST: &str = "evil.test";

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server.
pub struct Evil {
    /// Its name and key.
    pub peer: Peer,
    network: Arc<Network>,
    chance: Chance,
    tally: Arc<Tally>,
    state: Mutex<State>,
}

/// What it knows, and has done.
#[derive(Default)]
pub struct State {
    /// The rooms that its user has joined, as it knows them.
    pub rooms: BTreeMap<String, PeerRoom>,
    /// Events that nobody may accept, with what was wrong with them.
    pub forbidden: BTreeMap<String, &'static str>,
    /// Rooms that its user may have joined, whether it knows that or not.
    pub tried: BTreeSet<String>,
    /// Events that it was sent, each with the room and the server that sent it.
    pub received: BTreeSet<(String, String, String)>,
    /// It has told somebody a state that is not the room's.
    pub has_lied: bool,
    /// It answers as it should from now on.
    pub is_calm: bool,
    transactions: u64,
}

impl std::fmt::Debug for Evil {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Evil").finish_non_exhaustive()
    }
}

impl Evil {
    /// A server that knows nothing yet.
    pub fn begin(network: &Arc<Network>, seed: u64) -> Arc<Self> {
        let evil = Arc::new(Self {
            peer: Peer::with_seed(HOST, [66; 32]),
            network: network.clone(),
            chance: Chance::new(seed),
            tally: network.tally.clone(),
            state: Mutex::default(),
        });
        network.place(HOST, Node::Stranger(evil.clone()));
        evil
    }

    /// Its user.
    pub fn user(&self) -> String {
        self.peer.user("mallory")
    }

    /// What it knows.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self, limit: usize) -> usize {
        self.chance.draw(|rng| rng.below(limit))
    }

    fn percent(&self, chance: usize) -> bool {
        self.chance.draw(|rng| rng.percent(chance))
    }

    fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        self.chance.draw(|rng| rng.pick(of))
    }

    fn next_transaction(&self) -> String {
        let mut state = self.state();
        state.transactions += 1;
        format!("evil{}", state.transactions)
    }

    /// Asks a server, as itself. None: there was no answer, or none that can be read.
    pub async fn ask(
        &self,
        to: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let authorization = self.peer.authorization_for(to, method, path, body);
        self.ask_as(&authorization, to, method, path, body).await
    }

    /// Asks a server, in the words of `authorization`.
    pub async fn ask_as(
        &self,
        authorization: &str,
        to: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().ok()?);
        }
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, "application/json".parse().ok()?);
        }
        let parcel = Parcel {
            from: HOST.to_owned(),
            to: to.to_owned(),
            method: method.parse::<Method>().ok()?,
            target: path.to_owned(),
            headers,
            body: body.map(Value::to_string).unwrap_or_default().into(),
        };
        let answer = timeout(PATIENCE, self.network.carry(parcel)).await.ok()?.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).ok()?))
    }
}
