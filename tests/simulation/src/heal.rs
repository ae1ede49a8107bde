//! The network heals, all servers run, and time passes until nothing is left to do. Then somebody
//! on each server speaks, so that forks end.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use crate::{
    inspect::{self, Pending},
    server::Server,
    users::User,
    weather::Weather,
    world::World,
};

/// Longer than any server leaves another one alone.
const LONGEST: Duration = Duration::from_hours(4);
/// Longer than any server waits until it asks for keys again that it could not have. What still
/// waits after that may wait for what an evil server never shows.
const PATIENCE: Duration = Duration::from_mins(10);
/// Rounds in which every server speaks, until all agree.
pub const MAX_ROUNDS: usize = 6;

impl World {
    /// Everything works again, and time passes until all is quiet.
    pub async fn heal(&mut self) {
        self.tell("the network heals");
        self.network.with_weather(|it| *it = Weather::default());
        if let Some(evil) = &self.evil {
            evil.state().is_calm = true;
        }
        for server in &mut self.servers {
            server.slowness.set(0);
            server.start().await;
        }
        for task in std::mem::take(&mut self.tasks) {
            // One that panicked is among the faults.
            let _ = task.await;
        }
        self.settle().await;
        self.tell_rooms().await;
        self.everybody_was_told().await;
        // Who was not in touch when something was said hears of it when those speak again.
        let mut agreed = false;
        for round in 0..MAX_ROUNDS {
            self.all_speak(round).await;
            self.settle().await;
            let agrees = self.disagreement().await.is_none();
            if agrees && agreed {
                return;
            }
            agreed = agrees;
        }
    }

    /// Time passes until all is quiet.
    pub async fn settle(&mut self) {
        let (mut passed, mut step, mut quiet) = (Duration::ZERO, Duration::from_secs(2), 0);
        let mut left = Vec::new();
        while passed < LONGEST {
            sleep(step).await;
            passed += step;
            left = self.unfinished(passed < PATIENCE).await;
            quiet = if left.is_empty() { quiet + 1 } else { 0 };
            if quiet == 2 {
                return;
            }
            if !left.is_empty() {
                step = (step * 2).min(Duration::from_mins(10));
            }
        }
        self.tell_rooms().await;
        panic!("it is never quiet: {left:?}");
    }

    async fn unfinished(&self, all_may_come: bool) -> Vec<String> {
        let mut left = Vec::new();
        if self.network.under_way() > 0 {
            left.push(format!("{} requests under way", self.network.under_way()));
        }
        for (index, server) in self.servers.iter().enumerate() {
            let found = inspect::unfinished(&server.database, server.now_ms()).await;
            left.extend(found.into_iter().map(|it| format!("{}: {it}", server.name)));
            for event in inspect::pending(&server.database, &server.name).await {
                if all_may_come || self.may_come(index, &event).await {
                    let (name, Pending { room_id, event_id, awaited, .. }) = (&server.name, event);
                    left.push(format!("{name}: in {room_id} {event_id} waits for {awaited}"));
                }
            }
        }
        left
    }

    /// Whether what an event waits for at a server is to be had: an evil server may keep it back,
    /// nobody gives anything to a server that the others take for one that has left, and an
    /// invitation may have been given up by whoever made it.
    async fn may_come(&self, server: usize, event: &Pending) -> bool {
        let group = self.in_touch(&event.room_id).await;
        if self.evil.is_some() || group.len() < 2 || !group.contains(&server) {
            return false;
        }
        let is_by = |it: &&Server| event.sender.ends_with(&format!(":{}", it.name));
        let Some(sender) = self.servers.iter().find(is_by) else { return false };
        let events = inspect::events(&sender.database, &event.room_id).await;
        events.iter().any(|it| it.id == event.event_id && !it.is_outlier)
    }

    /// Somebody on each server says something in each room that they are in. Its users take turns:
    /// one who was let in on a fork that has lost is soft-failed by the other servers, on which
    /// nothing that they say has then an effect.
    pub async fn all_speak(&self, round: usize) {
        for room in &self.rooms {
            for index in self.participants(&room.id).await.into_keys() {
                let speakers = self.joined_users(&room.id, index).await;
                if let Some(speaker) = speakers.iter().cycle().nth(round) {
                    speaker.send(&room.id).await;
                }
            }
        }
    }

    /// The users of a server who are joined, as their server knows.
    pub async fn joined_users(&self, room_id: &str, server: usize) -> Vec<User> {
        let members = inspect::members(&self.servers[server].database, room_id).await;
        let is_joined = |it: &&User| members.get(it.id()).is_some_and(|it| it == "join");
        self.users.iter().filter(|it| it.server == server).filter(is_joined).cloned().collect()
    }

    /// The servers that have a joined user, as they know themselves, with the members they know.
    pub async fn participants(&self, room_id: &str) -> BTreeMap<usize, BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for (index, server) in self.servers.iter().enumerate() {
            let members = inspect::members(&server.database, room_id).await;
            let is_in = |(user, membership): (&String, &String)| {
                membership == "join" && user.ends_with(&format!(":{}", server.name))
            };
            if members.iter().any(is_in) {
                all.insert(index, members);
            }
        }
        all
    }

    /// The largest group of servers that take each other for joined. Who is outside of it was let
    /// in on a fork that has lost; nothing in the protocol brings them back.
    pub async fn in_touch(&self, room_id: &str) -> Vec<usize> {
        let all = self.participants(room_id).await;
        let sees = |one: &usize, other: &usize| {
            let suffix = format!(":{}", self.servers[*other].name);
            let joined = |it: &BTreeMap<String, String>, user: &str| {
                it.get(user).is_some_and(|it| it == "join")
            };
            let mut users = all[other].keys().filter(|it| it.ends_with(&suffix));
            users.any(|it| joined(&all[other], it) && joined(&all[one], it))
        };
        let group = |one: &usize| -> Vec<usize> {
            all.keys().filter(|it| sees(one, it) && sees(it, one)).copied().collect()
        };
        all.keys().map(group).max_by_key(Vec::len).unwrap_or_default()
    }

    /// What was said on a server has come to all that are in the room, before anybody speaks again.
    /// After hours without an answer they are told the newest event alone, and ask for the others.
    async fn everybody_was_told(&self) {
        if self.tally.of("hours") > 0 {
            return;
        }
        let acknowledged = self.journal.entries().acknowledged.clone();
        for room in &self.rooms {
            let group = self.in_touch(&room.id).await;
            let mut known = BTreeMap::new();
            for index in &group {
                let events = inspect::events(&self.servers[*index].database, &room.id).await;
                let by_id: BTreeMap<_, _> =
                    events.into_iter().map(|it| (it.id.clone(), it)).collect();
                known.insert(*index, by_id);
            }
            let of_room = acknowledged.iter().filter(|it| it.room_id == room.id);
            for message in of_room.filter(|it| group.contains(&it.server)) {
                let Some(event) = known[&message.server].get(&message.event_id) else { continue };
                let database = &self.servers[message.server].database;
                for index in group.iter().filter(|it| **it != message.server) {
                    let name = &self.servers[*index].name;
                    // What was said while it was away, or before a join of which it knows, is
                    // history; and so is what is missing before another of its users' joins.
                    let of_it = |of: &str| of.ends_with(&format!(":{name}"));
                    let is_back = known[index].values().any(|it| it.ends_membership(of_it));
                    let joins =
                        known[index].values().filter(|it| !it.is_outlier && it.joins(of_it));
                    let mut joins: Vec<_> = joins.collect();
                    joins.sort_by_key(|it| it.position);
                    let gaps = inspect::gaps(&self.servers[*index].database, &room.id).await;
                    let first = joins.first().copied();
                    let last = joins.iter().rfind(|it| gaps.contains(&it.position)).copied();
                    let first = last.or(first);
                    let first = first.and_then(|it| known[&message.server].get(&it.id));
                    let Some(first) = first.filter(|it| !is_back && it.position < event.position)
                    else {
                        continue;
                    };
                    let since = inspect::present_since(database, &room.id, name).await;
                    let since = since.map(|it| it.max(first.position));
                    if since.is_some_and(|since| since < event.position) {
                        self.tally.count("messages that others were told");
                        assert!(
                            known[index].contains_key(&event.id),
                            "{name} was not told {}, at {} of server {}, where it is since {since:?}",
                            event.json,
                            event.position,
                            message.server,
                        );
                    }
                }
            }
        }
    }

    /// Where two servers that are in touch have different states of a room.
    pub async fn disagreement(&self) -> Option<String> {
        for room in &self.rooms {
            let group = self.in_touch(&room.id).await;
            let Some((first, others)) = group.split_first() else { continue };
            let expected = inspect::state(&self.servers[*first].database, &room.id).await;
            for other in others {
                let state = inspect::state(&self.servers[*other].database, &room.id).await;
                let keys = expected.keys().chain(state.keys());
                let differing: BTreeMap<_, _> = keys
                    .filter(|it| expected.get(*it) != state.get(*it))
                    .map(|it| (it, (expected.get(it), state.get(it))))
                    .collect();
                if !differing.is_empty() {
                    return Some(format!(
                        "{} (version {}): {first} and {other} differ: {differing:#?}",
                        room.id, room.version
                    ));
                }
            }
        }
        None
    }
}
