//! The world of one seed: servers, users, rooms, and what they do until the network heals.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    client::Client,
    evil::{self, Evil, Victims},
    log,
    network::Network,
    readers::Reader,
    rng::Rng,
    server::Server,
    tally::Tally,
    template::{self, templates},
    users::{Journal, Room, User},
};

/// Room versions that rooms are made in.
const VERSIONS: [&str; 7] = ["6", "7", "8", "9", "10", "11", "12"];

/// The world.
#[derive(Debug)]
pub struct World {
    /// What decides what is done.
    pub rng: Rng,
    /// Between the servers.
    pub network: Arc<Network>,
    /// Skerry's.
    pub servers: Vec<Server>,
    /// Of all servers.
    pub users: Vec<User>,
    /// Those who are in no room, one of each server.
    pub strangers: Vec<User>,
    /// The server that does what it should not, in some runs.
    pub evil: Option<Arc<Evil>>,
    /// What is being done.
    pub tasks: Vec<JoinHandle<()>>,
    /// Clients that read on.
    pub readers: Vec<Reader>,
    /// All rooms.
    pub rooms: Vec<Room>,
    /// What everybody knows.
    pub journal: Arc<Journal>,
    /// What happened.
    pub tally: Arc<Tally>,
}

impl World {
    /// The servers of a seed, which run, and their users. Their disks forget so many of a hundred
    /// batches: none, if they are as they should be.
    pub async fn new(seed: u64, forgets: usize) -> Self {
        Self::of(seed, forgets, true).await
    }

    /// The same with one or two servers, and none that does what it should not.
    pub async fn small(seed: u64, forgets: usize) -> Self {
        Self::of(seed, forgets, false).await
    }

    async fn of(seed: u64, forgets: usize, is_large: bool) -> Self {
        let mut rng = Rng::new(seed);
        let tally = Arc::new(Tally::default());
        let network = Network::new(rng.next(), tally.clone());
        let journal = Arc::new(Journal::default());
        let (mut servers, mut users) = (Vec::new(), Vec::new());
        let mut strangers = Vec::new();
        let has_evil = is_large && rng.percent(40);
        let evil = has_evil.then(|| Evil::begin(&network, rng.next()));
        let count = if is_large { 2 + rng.below(template::SERVERS - 1) } else { 1 + rng.below(2) };
        for index in 0..count {
            let template = &templates()[index];
            let database = Arc::new(template.database.copy().expect("a copy"));
            let ahead_ms = rng.below(60_000) as u64;
            let mut server = Server::new(index, database, network.clone(), seed, ahead_ms);
            server.forgets = forgets;
            server.start().await;
            let mut accounts = template.users.iter().map(|account| User {
                server: index,
                client: Client::new(&server, account.clone()),
                journal: journal.clone(),
                tally: tally.clone(),
            });
            strangers.extend(accounts.next_back());
            users.extend(accounts.take(2 + rng.below(2)));
            servers.push(server);
        }
        let (rooms, readers, tasks) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            rng,
            network,
            servers,
            users,
            strangers,
            evil,
            tasks,
            readers,
            rooms,
            journal,
            tally,
        }
    }

    /// Says what happens, to whoever replays a run.
    pub fn tell(&self, what: &str) {
        if log::is_told() {
            println!("{} {what}", self.servers[0].now_ms() % 100_000_000);
        }
    }

    /// Users of the servers make rooms, and some join.
    pub async fn begin(&mut self) {
        for _ in 0..=self.rng.below(2) {
            self.make_room().await;
        }
        for user in &self.users {
            if self.rng.percent(40) {
                self.readers.push(Reader::begin(user));
            }
        }
        for room in self.rooms.clone() {
            for user in self.users.clone() {
                if self.rng.percent(60) {
                    user.join(&room.id, std::slice::from_ref(&room.maker)).await;
                }
            }
        }
    }

    /// All servers stop, and give back what they have in memory.
    pub async fn end(&mut self) {
        for server in &mut self.servers {
            server.crash();
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// A user makes a room.
    pub async fn make_room(&mut self) {
        let maker = self.rng.pick(&self.users).expect("users").clone();
        let version = *self.rng.pick(&VERSIONS).expect("versions");
        let is_public = self.rng.percent(70);
        let mut levels = serde_json::Map::new();
        for user in &self.users {
            if user.id() != maker.id() && self.rng.percent(30) {
                levels.insert(user.id().to_owned(), json!([50, 100][self.rng.below(2)]));
            }
        }
        if version != "12" {
            levels.insert(maker.id().to_owned(), json!(100));
        }
        let others = self.users.iter().map(User::id).filter(|it| *it != maker.id());
        let evil = self.evil.as_ref().map(|it| it.user());
        let others = others.chain(evil.as_deref());
        let invite: Vec<&str> = if is_public { Vec::new() } else { others.collect() };
        let body = json!({
            "room_version": version,
            "preset": if is_public { "public_chat" } else { "private_chat" },
            "invite": invite,
            "power_level_content_override": { "users": levels },
        });
        self.tell(&format!("{} makes a room {body}", maker.id()));
        let id = maker.create(&body).await.expect("a room");
        let room = Room {
            id,
            version: version.to_owned(),
            maker: self.servers[maker.server].name.clone(),
        };
        self.rooms.push(room);
    }

    /// Clients and chance do what they do.
    pub async fn live(&mut self) {
        let steps = 20 + self.rng.below(60);
        for _ in 0..steps {
            match self.rng.below(100) {
                0..20 if self.evil.is_some() => self.misbehave(),
                0..88 => self.act(),
                _ => self.disturb().await,
            }
            let most = [5, 300, 3_000, 20_000][self.rng.below(4)];
            sleep(Duration::from_millis(self.rng.below(most) as u64)).await;
        }
    }

    /// The server that does what it should not does something.
    fn misbehave(&mut self) {
        let Some(evil) = self.evil.clone() else { return };
        let victims = self.victims();
        self.tasks.push(tokio::spawn(async move { evil.attack(&victims).await }));
    }

    /// Whom that server deals with.
    pub fn victims(&self) -> Victims {
        Victims {
            hosts: self.servers.iter().map(|it| it.name.clone()).collect(),
            users: self.users.iter().map(|it| it.id().to_owned()).collect(),
            rooms: self.rooms.iter().map(|it| (it.id.clone(), it.version.clone())).collect(),
        }
    }

    /// One user does something.
    fn act(&mut self) {
        let Some(room) = self.rng.pick(&self.rooms).cloned() else { return };
        let joined: Vec<User> = {
            let entries = self.journal.entries();
            let is_joined =
                |it: &&User| entries.joined.contains(&(room.id.clone(), it.id().to_owned()));
            self.users.iter().filter(is_joined).cloned().collect()
        };
        let member = self.rng.pick(&joined).cloned();
        let anybody = self.rng.pick(&self.users).expect("users").clone();
        let user = match self.rng.percent(95) {
            true => member.unwrap_or_else(|| anybody.clone()),
            false => anybody.clone(),
        };
        let event = {
            let entries = self.journal.entries();
            self.rng.pick(entries.events.get(&room.id).map_or(&[][..], Vec::as_slice)).cloned()
        };
        let number = self.rng.next();
        let what = self.rng.below(100);
        self.tell(&format!("{} {what} {} {}", user.id(), anybody.id(), room.id));
        let names: Vec<String> = self.servers.iter().map(|it| it.name.clone()).collect();
        let state = self.some_state(&user);
        let evil = self.evil.as_ref().filter(|_| self.rng.percent(30));
        let other = evil.map_or_else(|| anybody.id().to_owned(), |it| it.user());
        let work = async move {
            let (other, event) = (&*other, event.unwrap_or_default());
            match what {
                0..50 => {
                    user.send(&room.id).await;
                }
                50..62 => {
                    let via = [room.maker.clone(), names[what % names.len()].clone()];
                    anybody.join(&room.id, &via).await;
                }
                62..68 => {
                    user.change(&room.id, "invite", other).await;
                }
                68..71 => user.leave(&room.id).await,
                71..74 => {
                    user.change(&room.id, "kick", other).await;
                }
                74..76 => {
                    user.change(&room.id, "ban", other).await;
                }
                76..79 => {
                    user.change(&room.id, "unban", other).await;
                }
                79..89 => {
                    user.set_state(&room.id, state.0, &state.1).await;
                }
                89..93 if !event.is_empty() => {
                    user.redact(&room.id, &event, &format!("r{number}")).await;
                }
                93..97 if !event.is_empty() => user.receipt(&room.id, &event).await,
                _ => user.typing(&room.id, number.is_multiple_of(2)).await,
            }
        };
        self.tasks.push(tokio::spawn(work));
    }

    /// State that somebody may want to set.
    fn some_state(&mut self, user: &User) -> (&'static str, Value) {
        let number = self.rng.below(1_000);
        match self.rng.below(10) {
            0..5 => ("m.room.name", json!({ "name": format!("name {number}") })),
            5..7 => {
                let mut users = serde_json::Map::new();
                for other in self.users.clone() {
                    if self.rng.percent(40) {
                        users.insert(other.id().to_owned(), json!(self.rng.below(5) * 25));
                    }
                }
                users.insert(user.id().to_owned(), json!(100));
                ("m.room.power_levels", json!({ "users": users, "invite": 0 }))
            }
            7 => {
                let rule = ["public", "public", "invite"][number % 3];
                ("m.room.join_rules", json!({ "join_rule": rule }))
            }
            8 => {
                let visibility = ["shared", "joined", "invited", "world_readable"][number % 4];
                ("m.room.history_visibility", json!({ "history_visibility": visibility }))
            }
            _ => {
                let denied =
                    if number < 300 { evil::HOST.to_owned() } else { format!("{number}.test") };
                let acl = json!({ "allow": ["*"], "deny": [denied] });
                ("m.room.server_acl", acl)
            }
        }
    }

    /// Something fails, or is mended.
    pub async fn disturb(&mut self) {
        let pick = |rng: &mut Rng, servers: &[Server]| rng.below(servers.len());
        let (one, other) = (pick(&mut self.rng, &self.servers), pick(&mut self.rng, &self.servers));
        let names = (self.servers[one].name.clone(), self.servers[other].name.clone());
        let percents = [0, 0, 5, 20];
        match self.rng.below(12) {
            0..3 => {
                self.tell(&format!("{} crashes", names.0));
                self.tally.count("crashes");
                self.servers[one].crash();
                if self.rng.percent(60) {
                    let most = [10, 2_000, 60_000][self.rng.below(3)];
                    sleep(Duration::from_millis(self.rng.below(most) as u64)).await;
                    self.servers[one].start().await;
                }
            }
            3..5 => {
                for server in &mut self.servers {
                    server.start().await;
                }
            }
            5..8 if one != other => {
                self.tell(&format!("{names:?} are cut off"));
                self.tally.count("cuts");
                let is_both = self.rng.percent(70);
                self.network.with_weather(|it| {
                    it.cuts.insert(names.clone());
                    if is_both {
                        it.cuts.insert((names.1, names.0));
                    }
                });
            }
            8 => self.network.with_weather(|it| it.cuts.clear()),
            9 => {
                let slow = [0, 10, 50][self.rng.below(3)];
                self.servers[one].slowness.set(slow);
            }
            10 if self.rng.percent(15) => {
                self.tell("hours pass");
                self.tally.count("hours");
                sleep(Duration::from_mins(10 + self.rng.below(120) as u64)).await;
            }
            _ => {
                let mut percent = || percents[self.rng.below(4)];
                let (loss, copies, alterations, delays) =
                    (percent(), percent(), percent(), percent());
                self.network.with_weather(|it| {
                    (it.loss, it.copies, it.alterations, it.delays) =
                        (loss, copies, alterations, delays);
                });
            }
        }
    }
}
