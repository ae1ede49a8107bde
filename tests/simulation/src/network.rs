//! The network: who is where, and what becomes of what they send.

use std::{
    collections::BTreeMap,
    future::pending,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use skerry::{
    api::{ClientAddress, Cx},
    ports::http::{Fault, HttpError},
};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use crate::{
    host::{Chance, Life},
    log,
    tally::Tally,
    weather::Weather,
};

/// Bytes of an answer: none is larger.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What every message of a run begins with, and what somebody on the way makes of that. Nobody is
/// ever to see the second.
pub const GENUINE: &str = "genuine";
/// See [`GENUINE`]. As long as that.
pub const ALTERED: &str = "altered";

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The host that sends it.
    pub from: String,
    /// The host that it is for.
    pub to: String,
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A running server.
#[derive(Clone)]
pub struct Process {
    /// All that it serves.
    pub router: Router,
    /// What every request is given.
    pub cx: Cx,
    /// Until when it runs.
    pub life: Life,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Process")
            .field("name", &self.cx.server.name)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// Has the server answer a request; none, where it ends before that. `ends_with_caller`: who
    /// does not wait any more closes the connection, and what is done for the request ends.
    pub async fn answer(&self, parcel: Parcel, ends_with_caller: bool) -> Option<Answer> {
        let path = format!("{} {}", parcel.method, parcel.target);
        let request = self.request(parcel)?;
        let (router, life) = (self.router.clone(), self.life.clone());
        let work = async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (head, body) = response.into_parts();
            let body = axum::body::to_bytes(body, MAX_ANSWER_BYTES).await.ok()?;
            Some(Answer { status: head.status, headers: head.headers, body })
        };
        let task = tokio::spawn(async move { life.run(work).await.flatten() });
        let answer = match ends_with_caller {
            true => AbortOnDropHandle::new(task).await,
            false => task.await,
        };
        let answer = answer.ok().flatten()?;
        if answer.status == StatusCode::INTERNAL_SERVER_ERROR {
            let name = &self.cx.server.name;
            log::fault(format!("{name} answers 500 to {path}: {:?}", answer.body));
        }
        Some(answer)
    }

    fn request(&self, parcel: Parcel) -> Option<Request<Body>> {
        let mut request = Request::new(Body::from(parcel.body));
        *request.method_mut() = parcel.method;
        *request.uri_mut() = parcel.target.parse().ok()?;
        *request.headers_mut() = parcel.headers;
        request.headers_mut().insert(header::HOST, parcel.to.parse().ok()?);
        request.extensions_mut().insert(self.cx.clone());
        request.extensions_mut().insert(ClientAddress::new("192.0.2.1"));
        Some(request)
    }
}

/// A server that is not Skerry, and not honest.
pub trait Stranger: Send + Sync {
    /// What it answers; none: nothing, for ever.
    fn answer(&self, parcel: &Parcel) -> Option<Answer>;
}

/// Who is at a host.
#[derive(Clone)]
pub enum Node {
    /// Skerry.
    Up(Process),
    /// Skerry, when it runs again.
    Down,
    /// Somebody else.
    Stranger(Arc<dyn Stranger>),
}

/// The network of a run.
pub struct Network {
    state: Mutex<State>,
    chance: Chance,
    /// What happens on it.
    pub tally: Arc<Tally>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Node>,
    weather: Weather,
    /// Requests that are on their way or being answered.
    under_way: u64,
    /// Of all that was said: two runs of a seed come to the same.
    digest: DefaultHasher,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Network")
    }
}

fn failed<T>(fault: Fault) -> Result<T, HttpError> {
    Err(HttpError::new(fault, format!("the network: {fault:?}")))
}

impl Network {
    /// Nobody is there yet, and the weather is fine.
    pub fn new(seed: u64, tally: Arc<Tally>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), chance: Chance::new(seed), tally })
    }

    /// From now on this is at a host.
    pub fn place(&self, host: &str, node: Node) {
        self.state().nodes.insert(host.to_owned(), node);
    }

    /// Who is at a host.
    pub fn node(&self, host: &str) -> Option<Node> {
        self.state().nodes.get(host).cloned()
    }

    /// Changes the weather.
    pub fn with_weather<T>(&self, change: impl FnOnce(&mut Weather) -> T) -> T {
        change(&mut self.state().weather)
    }

    /// Whether a client loses the answer to a request that was carried out.
    pub fn loses_a_reply(&self) -> bool {
        let loss = self.state().weather.loss;
        self.chance.draw(|rng| rng.percent(loss))
    }

    /// How many requests are on their way or being answered.
    pub fn under_way(&self) -> u64 {
        self.state().under_way
    }

    /// A number that tells apart what was said in two runs.
    pub fn digest(&self) -> u64 {
        self.state().digest.finish()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a request, and its answer back.
    ///
    /// # Errors
    ///
    /// As the weather has it. What is lost without a word takes for ever.
    pub async fn carry(self: &Arc<Self>, parcel: Parcel) -> Result<Answer, HttpError> {
        self.state().under_way += 1;
        let _counted = Counted(self);
        let fate = {
            let state = self.state();
            self.chance.draw(|rng| state.weather.fate(rng))
        };
        if let Some(later) = fate.copy {
            self.tally.count("copies");
            self.send_copy(parcel.clone(), later, fate.copy_is_misdirected);
        }
        sleep(fate.there).await;
        if self.with_weather(|it| it.is_cut(&parcel.from, &parcel.to)) {
            self.tally.count("cut off");
            return match fate.ends_with_caller {
                true => failed(Fault::Connect),
                false => pending().await,
            };
        }
        if fate.is_lost {
            self.tally.count("lost requests");
            pending::<()>().await;
        }
        let parcel = if fate.is_altered { self.alter(parcel) } else { parcel };
        let mut answer = self.deliver(&parcel, fate.ends_with_caller).await?;
        let said = (&parcel.from, &parcel.to, &parcel.target, &parcel.body, &answer.body);
        said.hash(&mut self.state().digest);
        if log::is_told() {
            let Parcel { from, to, method, target, .. } = &parcel;
            println!("  {from} > {to} {method} {target}: {}", answer.status.as_u16());
        }
        sleep(fate.back).await;
        if fate.answer_is_lost || self.with_weather(|it| it.is_cut(&parcel.to, &parcel.from)) {
            self.tally.count("lost answers");
            return match fate.answer_breaks {
                true => failed(Fault::Protocol),
                false => pending().await,
            };
        }
        if fate.answer_breaks {
            self.tally.count("broken answers");
            answer.body = answer.body.slice(..answer.body.len() / 2);
        }
        Ok(answer)
    }

    async fn deliver(&self, parcel: &Parcel, ends_with_caller: bool) -> Result<Answer, HttpError> {
        match self.node(&parcel.to) {
            None => failed(Fault::Name),
            Some(Node::Down) => failed(Fault::Connect),
            Some(Node::Up(process)) => {
                match process.answer(parcel.clone(), ends_with_caller).await {
                    Some(answer) => Ok(answer),
                    None => failed(Fault::Protocol),
                }
            }
            Some(Node::Stranger(stranger)) => match stranger.answer(parcel) {
                Some(answer) => Ok(answer),
                None => pending().await,
            },
        }
    }

    /// Sends a request a second time. What was said to one server is nothing to another one.
    fn send_copy(self: &Arc<Self>, mut parcel: Parcel, later: Duration, is_misdirected: bool) {
        let network = self.clone();
        tokio::spawn(async move {
            sleep(later).await;
            if is_misdirected {
                let is_honest = |it: &Node| !matches!(it, Node::Stranger(_));
                let hosts: Vec<String> = {
                    let state = network.state();
                    let honest = state.nodes.iter().filter(|(_, node)| is_honest(node));
                    honest.map(|(host, _)| host.clone()).collect()
                };
                let other = hosts.iter().find(|it| **it != parcel.to && **it != parcel.from);
                let Some(other) = other else { return };
                parcel.to.clone_from(other);
            }
            // Who lies of where a request goes may have signed it for where it goes now.
            let authorization = parcel.headers.get(header::AUTHORIZATION);
            let authorization = authorization.and_then(|it| it.to_str().ok()).unwrap_or_default();
            let is_for = authorization.contains(&format!("destination={}", parcel.to))
                || authorization.contains(&format!("destination=\"{}\"", parcel.to));
            let is_signed = !authorization.is_empty() && !is_for;
            let answer = network.deliver(&parcel, false).await;
            if let (Ok(answer), true, true) = (answer, is_misdirected, is_signed)
                && matches!(network.node(&parcel.to), Some(Node::Up(_)))
            {
                network.tally.count("misdirected requests");
                if answer.status.is_success() {
                    log::fault(format!("{} answers what is not for it: {parcel:?}", parcel.to));
                }
            }
        });
    }

    /// Somebody on the way, who has no key, changes what is said.
    fn alter(&self, mut parcel: Parcel) -> Parcel {
        let text = String::from_utf8_lossy(&parcel.body);
        if text.contains(GENUINE) {
            self.tally.count("altered requests");
            parcel.body = text.replace(GENUINE, ALTERED).into();
        }
        parcel
    }
}

struct Counted<'a>(&'a Network);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}
