//! What the measurements share: accounts and rooms, made when first needed.
//!
//! User 0 creates every room. Users 1 to 16 send. The next one sends and the ten after it listen
//! while latency is measured. All but user 0 join the big room.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    api::{self, User},
    error::{Error, Result},
    http::Connection,
    options::Options,
    probe::Probe,
    scale::{RECEIVERS, REGISTRARS, SENDERS, Scale},
    soak::Soak,
    stats::Latencies,
    target::Target,
};

const SENDING_USERS: Range<usize> = 1..SENDERS + 1;
const LATENCY_SENDER: usize = SENDING_USERS.end;
const RECEIVING_USERS: Range<usize> = LATENCY_SENDER + 1..LATENCY_SENDER + 1 + RECEIVERS;

/// The room that all the senders share.
#[derive(Clone, Debug)]
pub(crate) struct SharedRoom {
    pub(crate) id: String,
    /// Messages sent into it.
    pub(crate) messages: usize,
}

/// The room that everybody joins.
#[derive(Clone, Debug)]
pub(crate) struct BigRoom {
    pub(crate) id: String,
    /// Users 1 up to here have joined.
    pub(crate) joined: usize,
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) target: Arc<Target>,
    pub(crate) scale: Scale,
    pub(crate) soak: Option<Soak>,
    pub(crate) probe: Probe,
    /// For requests made one after the other.
    pub(crate) connection: Connection,
    pub(crate) password: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) rooms_have_messages: bool,
    pub(crate) shared_room: Option<SharedRoom>,
    pub(crate) big_room: Option<BigRoom>,
    /// Keeps the names of this run apart from those of earlier ones.
    run: String,
    registration_token: Option<String>,
    users: Vec<Arc<User>>,
}

impl World {
    /// An empty world on a server.
    pub(crate) fn new(target: &Arc<Target>, options: &Options, probe: Probe) -> Self {
        let run = format!("{:08x}", RandomState::new().build_hasher().finish() & 0xffff_ffff);
        Self {
            target: Arc::clone(target),
            scale: options.scale.clone(),
            soak: options.soak.clone(),
            probe,
            connection: Connection::new(target),
            password: format!("load-{run}"),
            rooms: Vec::new(),
            rooms_have_messages: false,
            shared_room: None,
            big_room: None,
            run,
            registration_token: options.registration_token.clone(),
            users: Vec::new(),
        }
    }

    /// The user that creates the rooms.
    pub(crate) async fn owner(&mut self) -> Result<Arc<User>> {
        self.user(0).await
    }

    /// The users that send at the same time.
    pub(crate) async fn senders(&mut self) -> Result<Vec<Arc<User>>> {
        self.users(SENDING_USERS).await
    }

    /// The user whose messages are waited for, and those that wait for them.
    pub(crate) async fn latency_users(&mut self) -> Result<(Arc<User>, Vec<Arc<User>>)> {
        Ok((self.user(LATENCY_SENDER).await?, self.users(RECEIVING_USERS).await?))
    }

    /// The users that join the big room, as many as could be registered in time.
    pub(crate) async fn joiners(&mut self) -> Result<Vec<Arc<User>>> {
        self.register_up_to(self.scale.joiners + 1).await?;
        Ok(self.users.iter().skip(1).cloned().collect())
    }

    /// Registers until there are `count` users or time is up.
    pub(crate) async fn register_up_to(&mut self, count: usize) -> Result<Latencies> {
        let next = Arc::new(AtomicUsize::new(self.users.len()));
        let deadline = Instant::now() + self.scale.register_time;
        let mut tasks = JoinSet::new();
        for _ in 0..REGISTRARS {
            let mut connection = Connection::new(&self.target);
            let (next, run) = (Arc::clone(&next), self.run.clone());
            let (password, token) = (self.password.clone(), self.registration_token.clone());
            tasks.spawn(async move {
                let mut registered = Vec::new();
                while Instant::now() < deadline {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let name = format!("load_{run}_{number}");
                    let started = Instant::now();
                    let user =
                        api::register(&mut connection, &name, &password, token.as_deref()).await?;
                    registered.push((number, Arc::new(user), started.elapsed()));
                }
                Ok::<_, Error>(registered)
            });
        }
        let mut registered = Vec::new();
        while let Some(part) = tasks.join_next().await {
            registered.extend(joined(part)?);
        }
        registered.sort_unstable_by_key(|(number, ..)| *number);
        let mut latencies = Latencies::default();
        for (_, user, latency) in registered {
            self.users.push(user);
            latencies.push(latency);
        }
        Ok(latencies)
    }

    async fn user(&mut self, number: usize) -> Result<Arc<User>> {
        Ok(self.users(number..number + 1).await?.remove(0))
    }

    /// The users of these numbers, for a measurement that runs alone.
    pub(crate) async fn users(&mut self, numbers: Range<usize>) -> Result<Vec<Arc<User>>> {
        self.register_up_to(numbers.end).await?;
        self.users
            .get(numbers)
            .map(<[_]>::to_vec)
            .ok_or_else(|| Error::Wrong("too few users could be registered in time".to_owned()))
    }
}

/// The result of a task of a [`JoinSet`].
pub(crate) fn joined<T>(task: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    task.unwrap_or_else(|error| Err(Error::Wrong(format!("a task failed: {error}"))))
}
