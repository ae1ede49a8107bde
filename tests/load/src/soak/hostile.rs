//! Clients that mean harm, of many kinds at the same time. They go on whatever they are answered.
//!
//! They run on a thread of their own, so that what they do does not keep the victim's clock, and
//! pause between requests, since they share the machine with the server. Each kind comes from an
//! address of its own where the server is on this machine.

mod reads;
mod strangers;
mod tally;
mod writes;

use std::{sync::Arc, thread, time::Duration};

use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

pub(super) use self::tally::Line;
use self::tally::Tally;
use crate::{
    api::{self, User},
    error::{Error, Result},
    http::{Connection, Request},
    target::Target,
    world::joined,
};

/// After each answer. A task asks twenty times a second at most.
const PAUSE: Duration = Duration::from_millis(50);
/// Addresses of this machine that are not used otherwise, by the place of the kind.
const FIRST_HOUSEHOLD: u8 = 10;

/// What they do; README.md describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Floods,
    Pages,
    Filters,
    Logins,
    Silent,
    AccountData,
    State,
    Bans,
    Receipts,
    Junk,
    Polls,
    Rooms,
}

impl Kind {
    /// All of them, with their names.
    const NAMES: [(Self, &'static str); 12] = [
        (Self::Floods, "floods"),
        (Self::Pages, "pages"),
        (Self::Filters, "filters"),
        (Self::Logins, "logins"),
        (Self::Silent, "silent"),
        (Self::AccountData, "account_data"),
        (Self::State, "state"),
        (Self::Bans, "bans"),
        (Self::Receipts, "receipts"),
        (Self::Junk, "junk"),
        (Self::Polls, "polls"),
        (Self::Rooms, "rooms"),
    ];

    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        Self::NAMES.iter().map(|(kind, _)| *kind).collect()
    }

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Self::NAMES.iter().find(|(_, it)| *it == name).map(|(kind, _)| *kind).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(_, it)| *it).collect();
            Error::Usage(format!("--hostile is none or some of {}", names.join(",")))
        })
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| *name)
    }

    async fn attack(self, party: &Party) -> Result<()> {
        match self {
            Self::Floods => writes::floods(party).await,
            Self::Pages => reads::pages(party).await,
            Self::Filters => reads::filters(party).await,
            Self::Logins => strangers::logins(party).await,
            Self::Silent => strangers::silent(party).await,
            Self::AccountData => reads::account_data(party).await,
            Self::State => writes::state(party).await,
            Self::Bans => writes::bans(party).await,
            Self::Receipts => writes::receipts(party).await,
            Self::Junk => strangers::junk(party).await,
            Self::Polls => reads::polls(party).await,
            Self::Rooms => writes::rooms(party).await,
        }
    }
}

/// The clients of one kind.
#[derive(Clone, Debug)]
pub(super) struct Party {
    kind: Kind,
    target: Arc<Target>,
    users: Vec<Arc<User>>,
    /// Somebody else's user ID.
    victim: String,
    tally: Arc<Tally>,
}

impl Party {
    /// Nothing is asked yet.
    pub(super) fn new(kind: Kind, target: &Target, users: Vec<Arc<User>>, victim: &str) -> Self {
        let household = FIRST_HOUSEHOLD + kind as u8;
        let target = Arc::new(target.apart(household));
        Self { kind, target, users, victim: victim.to_owned(), tally: Arc::default() }
    }

    fn user(&self, number: usize) -> Result<Arc<User>> {
        let user = self.users.get(number % self.users.len().max(1)).cloned();
        user.ok_or_else(|| Error::Wrong(format!("no users for {}", self.kind.name())))
    }

    /// A client of a user, with a connection of its own.
    fn client(&self, number: usize) -> Result<Client> {
        let connection = Connection::new(&self.target);
        Ok(Client { connection, user: self.user(number)?, tally: Arc::clone(&self.tally) })
    }

    /// Some clients, users by turns.
    fn clients(&self, count: usize) -> Result<Vec<Client>> {
        (0..count).map(|it| self.client(it)).collect()
    }

    /// A room of the first user, with all the others in it.
    async fn room(&self) -> Result<String> {
        let mut connection = Connection::new(&self.target);
        let room = api::create_room(&mut connection, &*self.user(0)?, "Hostile").await?;
        for user in self.users.iter().skip(1) {
            api::join(&mut connection, user, &room).await?;
        }
        Ok(room)
    }
}

/// One hostile client.
struct Client {
    connection: Connection,
    user: Arc<User>,
    tally: Arc<Tally>,
}

impl Client {
    /// Asks, counts what comes, and pauses. The status, if there was one.
    async fn ask(&mut self, method: &'static str, path: &str, body: Option<&str>) -> Option<u16> {
        let user = Arc::clone(&self.user);
        self.ask_as(Some(&user.token), method, path, body).await
    }

    /// The same with any access token, or none.
    async fn ask_as(
        &mut self,
        token: Option<&str>,
        method: &'static str,
        path: &str,
        body: Option<&str>,
    ) -> Option<u16> {
        let started = Instant::now();
        let answer = self.connection.exchange(Request { method, path, token, body }).await;
        match &answer {
            Ok(status) => self.tally.answered(*status, started.elapsed()),
            Err(_) => self.tally.closed(),
        }
        sleep(PAUSE).await;
        answer.ok()
    }

    async fn get(&mut self, path: &str) -> Option<u16> {
        self.ask("GET", path, None).await
    }

    async fn put(&mut self, path: &str, body: &str) -> Option<u16> {
        self.ask("PUT", path, Some(body)).await
    }

    async fn post(&mut self, path: &str, body: &str) -> Option<u16> {
        self.ask("POST", path, Some(body)).await
    }
}

/// Runs tasks that do not end by themselves, but in failure or when this is dropped.
async fn crew<F>(tasks: impl IntoIterator<Item = F>) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut crew: JoinSet<_> = tasks.into_iter().collect();
    while let Some(done) = crew.join_next().await {
        joined(done)?;
    }
    Ok(())
}

/// Hostile clients at work.
pub(super) struct Hostile(oneshot::Receiver<Result<Vec<Line>>>);

/// Starts them all, until then.
pub(super) fn start(parties: Vec<Party>, until: Instant) -> Hostile {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let lines = runtime.map_err(Error::from).and_then(|it| it.block_on(run(parties, until)));
        // Nobody waits for it when the run was given up.
        let _ = sender.send(lines);
    });
    Hostile(receiver)
}

impl Hostile {
    /// What they were answered.
    pub(super) async fn finish(self) -> Result<Vec<Line>> {
        let gone = |_| Err(Error::Wrong("the hostile clients ended early".to_owned()));
        self.0.await.unwrap_or_else(gone)
    }
}

async fn run(parties: Vec<Party>, until: Instant) -> Result<Vec<Line>> {
    let mut tasks = JoinSet::new();
    for party in parties {
        tasks.spawn(async move {
            let end = timeout_at(until, party.kind.attack(&party)).await;
            let error = end.ok().map(|it| match it {
                Ok(()) => format!("{} ended early", party.kind.name()),
                Err(error) => format!("{}: {error}", party.kind.name()),
            });
            Ok::<_, Error>((party.kind as u8, party.tally.line(party.kind.name(), error)))
        });
    }
    let mut lines = Vec::new();
    while let Some(line) = tasks.join_next().await {
        lines.push(joined(line)?);
    }
    lines.sort_unstable_by_key(|(place, _)| *place);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}
