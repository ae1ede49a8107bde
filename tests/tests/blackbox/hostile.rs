//! Hostile requests: every endpoint that the router has is asked for what nobody should ask for.
//!
//! A seed is one pass: a user of its own, and one request to each endpoint, in an order by chance.
//! Each request is what its endpoint expects but for one part, or a few ([`attempt`]). Whatever is
//! asked, the answer is one that a Matrix client can read ([`verdict`]), it comes within a second,
//! nothing is an error in the log, and somebody else, in whose rooms this happens, goes on. So it
//! is after a restart, when all that was stored is loaded again.
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
mod victim;

use self::{
    cast::Cast,
    rng::Rng,
    sent::{Outcome, Sent},
    victim::Victim,
};
use skerry_tests::{Client, Host, Options, Reply, Server, User};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::RwLock, task::JoinSet, time::Instant};

private_server! {
    native: Native => [no_request_is_answered_wrongly],
    worker: Worker => [no_request_is_answered_wrongly],
}

/// No answer takes longer.
const LONGEST: Duration = Duration::from_secs(1);
/// How often a request is asked again, alone, that was answered late: others may have been why.
const REPETITIONS: usize = 2;
/// Passwords that one request may bring: the old one and the new.
const PASSWORDS: u32 = 2;
/// Passes at a time.
const LANES: usize = 4;
/// How many of a hundred requests are sent twice at once, as impatient clients do.
const TWICE_PERCENT: usize = 5;
/// Casts whose rooms are read after a restart.
const KEPT_CASTS: usize = 3;
/// Of so many requests at least one is to succeed.
const LEAST_SHARE: usize = 5;
/// What a run shows at most.
const MOST_FAULTS: usize = 20;

/// Passes of a run that nobody asked more of. A pass takes workerd longer.
const fn usual_passes(host: Host) -> u64 {
    match host {
        Host::Native => 12,
        Host::Worker => 3,
    }
}

async fn no_request_is_answered_wrongly(host: Host) {
    let seeds = seeds::of_run(&format!("hostile requests, {host:?}"), usual_passes(host));
    let stage = Arc::new(Stage::new(host).await);
    let next = Arc::new(AtomicU64::new(seeds.start));
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        lanes.spawn(stage.clone().run(next.clone(), seeds.clone()));
    }
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a lane comes to its end");
    }
    expect_no_faults(&stage);
    let stage = Arc::into_inner(stage).expect("all lanes are at their end");
    stage.restart().await;
}

/// Asserts that nothing was found, and that not everything was refused at the door.
fn expect_no_faults(stage: &Stage) {
    let faults = lock(&stage.faults);
    assert!(faults.is_empty(), "{} faults:\n\n{}", faults.len(), faults.join("\n\n"));
    let answers = lock(&stage.answers);
    let all: usize = answers.values().sum();
    let (took, slowest) = &*lock(&stage.slowest);
    println!("{all} answers: {answers:?}; the slowest after {took:?}:\n{slowest}");
    let successes = answers.get(&200).copied().unwrap_or_default();
    assert!(successes * LEAST_SHARE > all, "most were refused at the door: {answers:?}");
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
    /// Somebody who logs in from time to time.
    ordinary: User,
    faults: Mutex<Vec<String>>,
    /// Some of the casts, as their passes have left them.
    casts: Mutex<Vec<Cast>>,
    /// How many answers had which status.
    answers: Mutex<BTreeMap<u16, usize>>,
    /// The longest that an answer took, and to what.
    slowest: Mutex<(Duration, String)>,
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
        let ordinary = User::register(&server, "ordinary").await;
        Self {
            server,
            host,
            routes,
            ordinary,
            faults: Mutex::default(),
            casts: Mutex::default(),
            answers: Mutex::default(),
            slowest: Mutex::default(),
            seen_lines: AtomicUsize::default(),
            calm: RwLock::default(),
        }
    }

    async fn run(self: Arc<Self>, next: Arc<AtomicU64>, seeds: Range<u64>) {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || lock(&self.faults).len() >= MOST_FAULTS {
                return;
            }
            if let Err(fault) = self.pass(seed).await {
                let host = format!("{:?}", self.host).to_lowercase();
                let replay = format!("SKERRY_SEED={seed} SKERRY_HOSTS={host} replays it");
                lock(&self.faults).push(format!("seed {seed} ({replay}): {fault}"));
            }
        }
    }

    /// One request to each endpoint, up to the first that is answered wrongly.
    async fn pass(&self, seed: u64) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let mut order: Vec<&Route> = self.routes.iter().collect();
        for place in 1..order.len() {
            order.swap(place, rng.below(place + 1));
        }
        let mut casting = Rng::new(rng.next());
        let victim = Arc::new(Victim::new(&self.server).await);
        let peer = User::register(&self.server, "peer").await;
        let mut cast = Cast::new(&self.server, victim, peer, &mut casting).await;
        for route in order {
            // What one request draws is nothing to the others.
            let numbers = Rng::new(rng.next());
            let odd = || attempt::odd(&mut numbers.clone(), route, &cast);
            let asked = match rng.percent(TWICE_PERCENT) {
                true => self.judge_twice(&odd()).await?,
                false => self.judge(odd).await?,
            };
            let Some(reply) = asked else { continue };
            // The account is closed, or its session over.
            if reply.errcode() == "M_UNKNOWN_TOKEN" {
                cast = self.renewed(cast, &mut casting).await;
            } else if route.method != "GET" && reply.status == 200 {
                cast.learn(&reply);
                self.read(&cast, &mut numbers.clone()).await?;
            }
        }
        let victim = cast.victim.clone();
        self.keep(cast);
        self.expect_no_harm(victim).await
    }

    fn keep(&self, cast: Cast) {
        let mut casts = lock(&self.casts);
        if casts.len() < KEPT_CASTS {
            casts.push(cast);
        }
    }

    /// Starts the server again, and reads whatever the kept casts may read.
    async fn restart(mut self) {
        self.server.restart();
        let casts = std::mem::take(&mut *lock(&self.casts));
        for cast in &casts {
            let read = self.read_all(cast).await;
            read.unwrap_or_else(|fault| panic!("after a restart: {fault}"));
        }
    }

    async fn read_all(&self, cast: &Cast) -> Result<(), String> {
        for route in self.routes.iter().filter(|it| it.method == "GET") {
            self.judge(|| attempt::plain(&mut Rng::new(0), route, cast)).await?;
        }
        self.expect_no_harm(Arc::new(cast.victim.at(&self.server))).await
    }

    /// Reads what may have changed: everything that a client begins with, and something else.
    async fn read(&self, cast: &Cast, numbers: &mut Rng) -> Result<(), String> {
        let reads = self.routes.iter().filter(|it| it.method == "GET");
        let reads: Vec<&Route> = reads.collect();
        let sync = reads.iter().find(|it| it.path.ends_with("/v3/sync")).expect("a sync");
        for route in [sync, one_of(numbers, &reads)] {
            self.judge(|| attempt::plain(&mut numbers.clone(), route, cast)).await?;
        }
        Ok(())
    }

    async fn expect_no_harm(&self, victim: Arc<Victim>) -> Result<(), String> {
        let unharmed = tokio::spawn(async move { victim.expect_unharmed().await });
        unharmed.await.map_err(|error| format!("afterwards somebody was harmed: {error}"))?;
        let log = self.server.log();
        let faults: Vec<&str> = log.lines().filter(|it| is_fault(it)).collect();
        let seen = self.seen_lines.fetch_max(faults.len(), Ordering::Relaxed);
        match faults.get(seen) {
            Some(line) => Err(format!("by now the log has: {line}")),
            None => Ok(()),
        }
    }

    /// Sends a request twice at once. The later answer, if it came.
    async fn judge_twice(&self, sent: &Sent) -> Result<Option<Reply>, String> {
        let again = || sent.clone();
        let (first, second) = tokio::join!(self.judge(again), self.judge(again));
        first.and(second)
    }

    /// Sends a request, which is made again where it is sent again. The answer, if it came.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    async fn judge(&self, make: impl Fn() -> Sent) -> Result<Option<Reply>, String> {
        let sent = make();
        let (reply, took) = match self.ask(&sent).await {
            Outcome::Answered(reply, took) => (reply, took),
            Outcome::HungUp => return Ok(None),
            Outcome::Silent(error) => return Err(format!("there was no answer: {error}\n{sent}")),
        };
        if let Some(fault) = verdict::fault(&sent, &reply) {
            return Err(format!("{fault}\n{sent}\n{}", verdict::shown(&reply)));
        }
        if took > LONGEST && self.is_slow(make).await {
            return Err(format!("it took {took:?}, and again\n{sent}"));
        }
        *lock(&self.answers).entry(reply.status).or_default() += 1;
        let mut slowest = lock(&self.slowest);
        if took > slowest.0 {
            *slowest = (took, sent.to_string());
        }
        Ok(Some(reply))
    }

    async fn ask(&self, sent: &Sent) -> Outcome {
        let _others = self.calm.read().await;
        sent.send(self.direct()).await
    }

    /// Whether a request takes too long also when nothing else of this run does anything.
    /// Passwords take processor time on purpose, and other programs may have the processors: a
    /// login at that moment says how much.
    async fn is_slow(&self, make: impl Fn() -> Sent) -> bool {
        let _alone = self.calm.write().await;
        for _ in 0..REPETITIONS {
            let Outcome::Answered(_, took) = make().send(self.direct()).await else { return false };
            let started = Instant::now();
            User::log_in(&self.server, &self.ordinary.id).await;
            if took <= LONGEST + PASSWORDS * started.elapsed() {
                return false;
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
        Cast::new(&self.server, cast.victim, peer, rng).await
    }

    fn direct(&self) -> &str {
        self.server.urls().last().expect("an address")
    }
}

async fn has_session(user: &User) -> bool {
    user.get("/account/whoami").send().await.status == 200
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a line of the log says that the server is at fault.
fn is_fault(line: &str) -> bool {
    line.contains("ERROR") || line.contains("panicked")
}

/// One of these, of which there are some.
fn one_of<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    rng.pick(of).expect("something to choose from")
}
