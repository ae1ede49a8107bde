//! Clients that read on and on: each long-polls `/sync` with a stored filter, as clients do.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use skerry_tests::{Sync, User, events, json, path};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::world::PATIENCE;

/// Longer than anything measured while clients wait, shorter than the server allows.
const POLL_MS: u64 = 50_000;

/// A client and what it has read.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) user: User,
    filter: String,
    pub(crate) since: String,
}

impl Reader {
    /// A client after its first sync.
    pub(crate) async fn new(user: &User) -> Self {
        let mut reader = Self::before_first(user).await;
        reader.first().await;
        reader
    }

    /// A client that has not synced yet.
    pub(crate) async fn before_first(user: &User) -> Self {
        let filter = json!({ "room": { "state": { "lazy_load_members": true } } });
        let request = user.post(path(["user", &user.id, "filter"])).json(&filter);
        let stored = request.ok().await;
        let filter = stored["filter_id"].as_str().expect("a filter").to_owned();
        Self { user: user.clone(), filter, since: String::new() }
    }

    /// A sync without a token.
    pub(crate) async fn first(&mut self) -> Sync {
        self.since.clear();
        self.poll(0).await
    }

    /// One poll, of at most so many milliseconds.
    pub(crate) async fn poll(&mut self, at_most_ms: u64) -> Sync {
        let mut request = self.user.sync().query("filter", &self.filter);
        if !self.since.is_empty() {
            request = request.since(&self.since).query("timeout", at_most_ms);
        }
        let sync = request.get().await;
        sync.next_batch().clone_into(&mut self.since);
        sync
    }
}

/// Readers at work.
#[derive(Debug)]
pub(crate) struct Readers {
    users: Vec<User>,
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    heard: mpsc::UnboundedReceiver<(usize, BTreeSet<String>)>,
}

impl Readers {
    /// Sets all of them to work.
    pub(crate) fn start(readers: &[Reader]) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (number, reader) in readers.iter().enumerate() {
            let (mut reader, tell) = (reader.clone(), tell.clone());
            let is_over = Arc::clone(&is_over);
            tasks.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let seen = timeline_events(&reader.poll(POLL_MS).await);
                    // Nobody listens any more when a measurement has failed.
                    tell.send((number, seen)).unwrap_or_default();
                }
            });
        }
        let users = readers.iter().map(|it| it.user.clone()).collect();
        Self { users, is_over, tasks, heard }
    }

    /// Waits until all of them have read that event.
    pub(crate) async fn have_read(&mut self, event: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut readers = BTreeSet::new();
        while readers.len() < self.users.len() {
            let heard = timeout_at(deadline, self.heard.recv()).await;
            let Ok(Some((reader, seen))) = heard else {
                panic!("only {} of {} readers have read {event}", readers.len(), self.users.len());
            };
            if seen.contains(event) {
                readers.insert(reader);
            }
        }
    }

    /// Ends all polls, by something for each to hear: a poll that is merely given up by its client
    /// goes on in the server.
    pub(crate) async fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for user in &self.users {
            let to = path(["user", &user.id, "account_data", "org.example.over"]);
            user.put(to).json(&json!({ "at": skerry_tests::unique("over") })).ok().await;
        }
        self.tasks.join_all().await;
    }
}

fn timeline_events(sync: &Sync) -> BTreeSet<String> {
    let rooms = sync.json["rooms"]["join"].as_object().into_iter().flat_map(|it| it.values());
    let timelines = rooms.flat_map(|room| events(&room["timeline"]));
    timelines.filter_map(|it| Some(it["event_id"].as_str()?.to_owned())).collect()
}
