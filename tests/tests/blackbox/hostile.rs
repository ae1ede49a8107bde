//! Hostile requests: every endpoint that the router has is asked for what nobody should ask for.
//!
//! A seed is one pass: a user of its own, and one request to each endpoint, in an order by chance.
//! Each request is what its endpoint expects but for one part, or a few ([`attempt`]). Whatever is
//! asked, the answer is one that a Matrix client can read ([`verdict`]), it comes within a second,
//! nothing is an error in the log, and somebody else, in whose rooms this happens, goes on.
//!
//! A request that is answered wrongly is shown with its seed. `SKERRY_SEED=123` replays that pass,
//! `SKERRY_SEEDS=1000..2000` runs many, also for a long time; `SKERRY_HOSTS=native` on one host.

mod attempt;
mod bodies;
mod cast;
mod examples;
mod oddities;
#[expect(clippy::unwrap_used, unreachable_pub, reason = "the simulation's, a test")]
#[path = "../../../shared/core/tests/simulation/rng.rs"]
mod rng;
#[expect(clippy::unwrap_used, reason = "the simulation's, a test")]
#[path = "../../../shared/core/tests/simulation/seeds.rs"]
mod seeds;
mod sent;
mod states;
mod verdict;

use self::{
    cast::{Cast, Victim},
    rng::Rng,
    sent::{Outcome, Sent},
};
use skerry_tests::{Client, Host, Options, Server, User};
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::RwLock, task::JoinSet};

private_server! {
    native: Native => [no_request_is_answered_wrongly],
    worker: Worker => [no_request_is_answered_wrongly],
}

/// No answer takes longer.
const LONGEST: Duration = Duration::from_secs(1);
/// How often a request is asked again, alone, that was answered late: others may have been why.
const REPETITIONS: usize = 2;
/// Passes at a time.
const LANES: usize = 4;
/// What a run shows at most.
const MOST_FAULTS: usize = 20;

/// Passes of a run that nobody asked more of. A pass takes workerd longer.
const fn usual_passes(host: Host) -> u64 {
    match host {
        Host::Native => 20,
        Host::Worker => 6,
    }
}

async fn no_request_is_answered_wrongly(host: Host) {
    let seeds = seeds::chosen().unwrap_or_else(|| seeds::fresh(usual_passes(host)));
    seeds::announce(&format!("hostile requests, {host:?}"), &seeds);
    let stage = Arc::new(Stage::new(host).await);
    let next = Arc::new(AtomicU64::new(seeds.start));
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        lanes.spawn(stage.clone().run(next.clone(), seeds.clone()));
    }
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a lane comes to its end");
    }
    let faults = stage.faults.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(faults.is_empty(), "{} faults:\n\n{}", faults.len(), faults.join("\n\n"));
}

/// A method and a path of an endpoint, with its arguments as `{names}`.
struct Route {
    method: String,
    path: String,
}

/// The server and everything that all passes share.
struct Stage {
    server: Server,
    host: Host,
    routes: Vec<Route>,
    victim: Victim,
    faults: Mutex<Vec<String>>,
    /// Lines of the log that were reported.
    seen_lines: AtomicUsize,
    /// Held by every request; a request that is asked alone has it for itself.
    calm: RwLock<()>,
}

impl Stage {
    async fn new(host: Host) -> Self {
        // At the last address the host is asked as the request was sent.
        let server = Server::start(host, Options { isolates: 2, ..Options::default() });
        let routes = Client::new(server.url()).get("/_skerry/test/routes").ok().await;
        let routes = routes.as_array().expect("a list of routes").iter().map(|route| {
            let text = |key: &str| route[key].as_str().expect("a route").to_owned();
            Route { method: text("method"), path: text("path") }
        });
        let routes: Vec<Route> = routes.collect();
        examples::check(&routes);
        let victim = Victim::new(&server).await;
        Self {
            server,
            host,
            routes,
            victim,
            faults: Mutex::default(),
            seen_lines: AtomicUsize::default(),
            calm: RwLock::default(),
        }
    }

    async fn run(self: Arc<Self>, next: Arc<AtomicU64>, seeds: Range<u64>) {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let shown = self.faults.lock().unwrap_or_else(PoisonError::into_inner).len();
            if seed >= seeds.end || shown >= MOST_FAULTS {
                return;
            }
            self.pass(seed).await;
            let stage = self.clone();
            let unharmed = tokio::spawn(async move { stage.victim.expect_unharmed().await }).await;
            if let Err(error) = unharmed {
                self.report(seed, &format!("afterwards somebody else was harmed: {error}"));
            }
            let log = self.server.log();
            let lines: Vec<&str> = log.lines().filter(|it| is_fault(it)).collect();
            let seen = self.seen_lines.swap(lines.len(), Ordering::Relaxed);
            for line in lines.iter().skip(seen) {
                self.report(seed, &format!("the log has: {line}"));
            }
        }
    }

    /// One request to each endpoint.
    async fn pass(&self, seed: u64) {
        let mut rng = Rng::new(seed);
        let mut order: Vec<&Route> = self.routes.iter().collect();
        for place in 1..order.len() {
            order.swap(place, rng.below(place + 1));
        }
        let mut casting = Rng::new(rng.next());
        let peer = User::register(&self.server, "peer").await;
        let mut cast = Cast::new(&self.server, &self.victim, peer, &mut casting).await;
        for route in order {
            // What one request draws is nothing to the others.
            let numbers = Rng::new(rng.next());
            let make = |cast: &Cast| attempt::make(&mut numbers.clone(), route, cast);
            let sent = make(&cast);
            match self.ask(&sent).await {
                Outcome::HungUp => {}
                Outcome::Silent(error) => {
                    self.report(seed, &format!("there was no answer: {error}\n{sent}"));
                }
                Outcome::Answered(reply, took) => {
                    if std::env::var("DUMP").is_ok() {
                        eprintln!(
                            "DUMP {} {} {} {} {took:?}",
                            route.method,
                            route.path,
                            reply.status,
                            reply.errcode()
                        );
                    }
                    if let Some(fault) = verdict::fault(&sent, &reply) {
                        self.report(seed, &format!("{fault}\n{sent}\n  {reply}"));
                    }
                    if took > LONGEST && self.is_slow(|| make(&cast)).await {
                        self.report(seed, &format!("it took {took:?}, and again\n{sent}"));
                    }
                    // The account is closed, or its session over.
                    if reply.errcode() == "M_UNKNOWN_TOKEN" {
                        cast = self.renewed(cast, &mut casting).await;
                    }
                }
            }
        }
    }

    async fn ask(&self, sent: &Sent) -> Outcome {
        let _others = self.calm.read().await;
        sent.send(self.direct()).await
    }

    /// Whether a request takes too long also when nothing else runs.
    async fn is_slow(&self, make: impl Fn() -> Sent) -> bool {
        let _alone = self.calm.write().await;
        for _ in 0..REPETITIONS {
            match make().send(self.direct()).await {
                Outcome::Answered(_, took) if took > LONGEST => {}
                _ => return false,
            }
        }
        true
    }

    /// The cast, or another one if its user has no session any more.
    async fn renewed(&self, cast: Cast, rng: &mut Rng) -> Cast {
        if has_session(&cast.asker).await {
            return cast;
        }
        let peer = match has_session(&cast.peer).await {
            true => cast.peer,
            false => User::register(&self.server, "peer").await,
        };
        Cast::new(&self.server, &self.victim, peer, rng).await
    }

    fn direct(&self) -> &str {
        self.server.urls().last().expect("an address")
    }

    fn report(&self, seed: u64, fault: &str) {
        let replay = format!("SKERRY_SEED={seed} SKERRY_HOSTS={:?}", self.host).to_lowercase();
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(format!("seed {seed} ({replay} replays it): {fault}"));
    }
}

async fn has_session(user: &User) -> bool {
    user.get("/account/whoami").send().await.status == 200
}

/// Whether a line of the log says that the server is at fault.
fn is_fault(line: &str) -> bool {
    line.contains("ERROR") || line.contains("panicked")
}

/// One of these, of which there are some.
fn one_of<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    rng.pick(of).expect("something to choose from")
}
