//! What happens on one connection: which requests run on it, how far they are, and until when
//! something has to come.
//!
//! Only whole steps count: a head, a body, an answer. Bytes that complete none of them, and frames
//! that belong to no request, leave every time as it was.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::limits::Limits;

/// How long a connection that is being closed may still take.
const LINGER: Duration = Duration::from_secs(1);
/// How often a connection is looked at in the time that it may be idle.
const LOOKS: u32 = 4;

/// What happens on one connection.
pub(super) struct Activity {
    pub(super) limits: Arc<Limits>,
    /// Bytes of the answers of all connections.
    answers: Arc<AtomicU64>,
    state: Mutex<State>,
    /// Its place is needed.
    evicted: CancellationToken,
}

struct State {
    /// The requests that run, by number.
    running: BTreeMap<u64, Running>,
    next: u64,
    /// When the last step came to its end.
    since: Instant,
    /// How long no request may run after that.
    idle: Duration,
    /// No further request is taken.
    is_closing: bool,
    /// Who is to hear of that: dropped then.
    closing: Option<oneshot::Sender<()>>,
}

struct Running {
    stage: Stage,
    /// When the connection is closed if the request is still running.
    until: Instant,
    /// Bytes of its answer, however many of them were taken: memory has them to the end.
    answer: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client has to send more.
    Receiving,
    /// The server has to answer.
    Working,
    /// The client has to take the answer.
    Answering,
}

impl Activity {
    pub(super) fn new(limits: Arc<Limits>, answers: Arc<AtomicU64>) -> Self {
        let state = State {
            running: BTreeMap::new(),
            next: 0,
            since: Instant::now(),
            idle: limits.first_head,
            is_closing: false,
            closing: None,
        };
        Self { limits, answers, state: Mutex::new(state), evicted: CancellationToken::new() }
    }

    /// The head of a request is there.
    pub(super) fn begin(self: &Arc<Self>) -> Arc<Request> {
        let now = Instant::now();
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.since = now;
        let until = now + self.limits.request;
        state.running.insert(number, Running { stage: Stage::Receiving, until, answer: 0 });
        Arc::new(Request { activity: self.clone(), number })
    }

    /// Takes no further request. What runs may come to its end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.idle = LINGER;
        state.since = Instant::now();
        state.is_closing = true;
        state.closing = None;
    }

    /// Ends when no further request is to be taken. For one who waits: it costs next to nothing to
    /// be asked, as it is whenever bytes come.
    pub(super) fn closed(&self) -> oneshot::Receiver<()> {
        let (closing, closed) = oneshot::channel();
        let mut state = self.lock();
        if !state.is_closing {
            state.closing = Some(closing);
        }
        closed
    }

    /// Gives the place to another connection.
    pub(super) fn evict(&self) {
        self.evicted.cancel();
    }

    /// Returns when another connection has the place.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Since when the server waits for the client alone; none while it works on a request.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.lock();
        let is_working = state.running.values().any(|it| it.stage == Stage::Working);
        (!is_working).then_some(state.since)
    }

    /// Bytes of the answers that it holds.
    pub(super) fn answer_bytes(&self) -> u64 {
        self.lock().running.values().map(|it| it.answer).sum()
    }

    /// When the last step came to its end.
    pub(super) fn last_step(&self) -> Instant {
        self.lock().since
    }

    /// Returns when something has not come in time.
    pub(super) async fn overdue(&self) {
        loop {
            let deadline = self.deadline();
            let now = Instant::now();
            if deadline <= now {
                return;
            }
            // The time may become shorter meanwhile: when a request ends.
            sleep_until(deadline.min(now + self.limits.idle / LOOKS)).await;
        }
    }

    fn deadline(&self) -> Instant {
        let state = self.lock();
        let first = state.running.values().map(|it| it.until).min();
        first.unwrap_or_else(|| state.since + state.idle)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that runs, until it is dropped.
pub(super) struct Request {
    activity: Arc<Activity>,
    number: u64,
}

impl Request {
    pub(super) fn limits(&self) -> &Limits {
        &self.activity.limits
    }

    /// Its body is complete, or nobody wants the rest.
    pub(super) fn received(&self) {
        let mut state = self.activity.lock();
        if let Some(running) = state.running.get_mut(&self.number)
            && running.stage == Stage::Receiving
        {
            running.stage = Stage::Working;
            state.since = Instant::now();
        }
    }

    /// Its answer is there, of so many bytes.
    pub(super) fn answered(&self, bytes: u64) {
        let now = Instant::now();
        let until = now + self.limits().answer;
        let mut state = self.activity.lock();
        if let Some(running) = state.running.get_mut(&self.number) {
            *running = Running { stage: Stage::Answering, until, answer: bytes };
            self.activity.answers.fetch_add(bytes, Ordering::Relaxed);
        }
        state.since = now;
    }

    /// So many bytes of the answer were taken.
    pub(super) fn taken(&self, bytes: u64) {
        let earned = self.limits().earned(bytes);
        let mut state = self.activity.lock();
        if let Some(running) = state.running.get_mut(&self.number) {
            running.until += earned;
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        let answer = state.running.remove(&self.number).map_or(0, |it| it.answer);
        self.activity.answers.fetch_sub(answer, Ordering::Relaxed);
        state.since = Instant::now();
        if !state.is_closing {
            state.idle = self.activity.limits.idle;
        }
    }
}
