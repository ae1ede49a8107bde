//! What must hold in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::StatusCode;
use serde_json::Value;
use skerry::objects::room::limits::EMPTY_GAP_MS;
use skerry_tests::{encode, path};
use tokio::time::sleep;

use crate::{
    events::{Verifier, previous, rules},
    evil::{self, FORGED_TS},
    heal::MAX_ROUNDS,
    inspect::{self, Event},
    log,
    network::GENUINE,
    readers::Seen,
    users::{Room, User},
    world::World,
};

/// Pages of a room's history, at most.
const MAX_PAGES: usize = 200;
/// Events of a page.
const PAGE: usize = 25;

/// What a server has of a room, by event IDs.
type Known = BTreeMap<String, Event>;

fn no_faults() {
    let faults = log::take_faults();
    assert!(faults.is_empty(), "{faults:#?}");
}

impl World {
    /// Checks all of it.
    pub async fn check(&mut self) {
        no_faults();
        for reader in std::mem::take(&mut self.readers) {
            let (user, seen) = reader.end().await;
            self.readers_saw_everything(&user, &seen).await;
        }
        if !self.evil.as_ref().is_some_and(|it| it.state().has_lied) {
            self.all_agree().await;
        }
        let mut verifier = Verifier::new(self);
        for room in &self.rooms {
            let shown = self.read_all(room).await;
            let mut known = BTreeMap::new();
            for (index, server) in self.servers.iter().enumerate() {
                let events = inspect::events(&server.database, &room.id).await;
                self.nothing_forged_is_accepted(room, &events, &mut verifier);
                known.insert(index, events);
            }
            self.messages_are_everywhere(room, &known, &shown);
            self.strangers_see_nothing(room, &known).await;
        }
        self.evil_was_told_nothing().await;
        no_faults();
    }

    /// All come to the same state. What came when somebody read is told to the others when its
    /// server speaks.
    async fn all_agree(&mut self) {
        for round in 0..MAX_ROUNDS {
            if self.disagreement().await.is_none() {
                return;
            }
            self.all_speak(round).await;
            self.settle().await;
        }
        if let Some(it) = self.disagreement().await {
            self.tell_rooms().await;
            panic!("{it}");
        }
    }

    /// Accepted events are by whom they say, and none of those that nobody may accept.
    fn nothing_forged_is_accepted(&self, room: &Room, events: &[Event], verifier: &mut Verifier) {
        let rules = rules(&room.version);
        let forbidden = self.evil.as_ref().map(|it| it.state().forbidden.clone());
        let forbidden = forbidden.unwrap_or_default();
        for event in events.iter().filter(|it| it.verdict == 0) {
            if let Err(what) = verifier.check(event, &rules) {
                panic!("{what}");
            }
            if let Some(why) = forbidden.get(&event.id)
                && !event.is_outlier
            {
                panic!("accepted, but {why}: {}", event.json);
            }
        }
    }

    /// What members of servers in touch are shown of a room, from its end to its beginning. History
    /// that nobody could give is not asked for again for a while.
    async fn read_all(&self, room: &Room) -> BTreeMap<usize, BTreeSet<String>> {
        sleep(Duration::from_millis(2 * EMPTY_GAP_MS)).await;
        let mut all = BTreeMap::new();
        for index in self.in_touch(&room.id).await {
            if let Some(user) = self.joined_users(&room.id, index).await.first() {
                all.insert(index, read_back(user, &room.id).await);
            }
        }
        all
    }

    /// What was acknowledged is where it should be: accepted by all who are in touch, or refused by
    /// some as the specification has it (soft-failed); and shown to members once.
    fn messages_are_everywhere(
        &self,
        room: &Room,
        known: &BTreeMap<usize, Vec<Event>>,
        shown: &BTreeMap<usize, BTreeSet<String>>,
    ) {
        let by_id = |events: &Vec<Event>| -> Known {
            events.iter().map(|it| (it.id.clone(), it.clone())).collect()
        };
        let known: BTreeMap<_, Known> = known.iter().map(|(at, it)| (*at, by_id(it))).collect();
        let group: Vec<usize> = shown.keys().copied().collect();
        let is_open = group.iter().all(|it| known[it].values().all(|it| !closes_history(it)));
        let has_lied = self.evil.as_ref().is_some_and(|it| it.state().has_lied);
        let acknowledged = self.journal.entries().acknowledged.clone();
        for message in acknowledged.iter().filter(|it| it.room_id == room.id) {
            let id = &message.event_id;
            let is_accepted = |it: &Event| it.verdict == 0 && !it.is_outlier;
            let accepted_by: Vec<_> =
                group.iter().filter(|it| known[it].get(id).is_some_and(is_accepted)).collect();
            let is_soft_failed = |it: &Event| it.verdict == 1;
            let by_own_alone = accepted_by.iter().all(|it| **it == message.server)
                && group.iter().any(|it| known[it].get(id).is_some_and(is_soft_failed));
            for index in &group {
                let is_own = message.server == *index;
                let what = match known[index].get(id) {
                    Some(it) if it.verdict == 1 => "soft-failed messages",
                    Some(it) if it.verdict == 2 => "rejected messages",
                    Some(it) if it.is_outlier => "outlier messages",
                    Some(_) if is_own => "own messages",
                    Some(_) => "delivered messages",
                    None if accepted_by.is_empty() => "messages that nobody in touch accepts",
                    // Nothing that others accept leads to it.
                    None if by_own_alone => "messages that only their own server accepts",
                    None => "missing messages",
                };
                self.tally.count(what);
                let is_there = matches!(what, "own messages" | "delivered messages");
                let is_shown = shown[index].contains(id);
                let is_lost = matches!(what, "missing messages" | "outlier messages");
                let is_split = what == "rejected messages" && !accepted_by.is_empty();
                let is_hidden = is_there && is_open && !is_shown;
                let is_leaked = !is_there && is_shown;
                let is_wrong = is_lost && is_open || is_split || is_hidden;
                assert!(
                    (!is_wrong || has_lied) && !is_leaked,
                    "{id} ({}) of server {} in {} (version {}) at server {index}: {what}, \
                     shown: {is_shown}; accepted by {accepted_by:?} of {group:?}; named by \
                     {:?}",
                    message.text,
                    message.server,
                    room.id,
                    room.version,
                    naming(&known[index], id),
                );
            }
        }
    }

    /// Who reads on has been shown, once, all that came while they were joined.
    async fn readers_saw_everything(&self, user: &User, seen: &Seen) {
        let database = &self.servers[user.server].database;
        for (room_id, of_room) in seen {
            let events = inspect::events(database, room_id).await;
            // Who comes back to a room is shown it anew.
            let has_left = events.iter().any(|it| it.ends_membership(|of| of == user.id()));
            let twice: Vec<_> = of_room.iter().filter(|(_, times)| **times > 1).collect();
            if !has_left {
                self.tally.add("events that were shown twice", twice.len() as u64);
                let has_crashed = self.tally.of("crashes") > 0;
                assert!(has_crashed || twice.is_empty(), "{} saw twice: {twice:?}", user.id());
            }
            let Some(since) = inspect::joined_at(database, room_id, user.id()).await else {
                continue;
            };
            // What was said on a fork on which they were not joined is not shown then.
            if events.iter().any(closes_history) {
                continue;
            }
            for event in events {
                let is_due = event.verdict == 0 && !event.is_outlier && !event.is_moved;
                let is_message = event.json.contains(GENUINE);
                if is_due && is_message && event.position > since {
                    assert!(
                        of_room.contains_key(&event.id),
                        "{} was not shown {} at {} in {room_id}, joined at {since}: {}",
                        user.id(),
                        event.id,
                        event.position,
                        event.json,
                    );
                    self.tally.count("messages that clients were shown");
                }
            }
        }
    }

    /// Who was never in a room sees nothing of it.
    async fn strangers_see_nothing(&self, room: &Room, known: &BTreeMap<usize, Vec<Event>>) {
        for stranger in &self.strangers {
            let events = &known[&stranger.server];
            if events.iter().any(|it| it.json.contains("world_readable")) {
                continue;
            }
            let mut questions = vec![
                path(["rooms", &room.id, "messages"]) + "?dir=b",
                path(["rooms", &room.id, "state"]),
                path(["rooms", &room.id, "members"]),
            ];
            if let Some(last) = events.last() {
                questions.push(path(["rooms", &room.id, "event", &last.id]));
                questions.push(path(["rooms", &room.id, "context", &last.id]));
            }
            for question in questions {
                let reply = stranger.client.get(&question).await;
                let is_refused =
                    [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&reply.status);
                assert!(is_refused, "{} {question}: {reply:?}", stranger.id());
                self.tally.count("reads of strangers");
            }
        }
    }

    /// The server that does what it should not was sent nothing after its user had left, is
    /// believed nothing of others' users, and is told nothing of rooms in which it never was.
    async fn evil_was_told_nothing(&self) {
        let Some(evil) = &self.evil else { return };
        let (received, tried) = {
            let state = evil.state();
            (state.received.clone(), state.tried.clone())
        };
        for server in &self.servers {
            let made_up = inspect::receipts_of(&server.database, FORGED_TS).await;
            assert_eq!(made_up, 0, "{} believes receipts of others' users", server.name);
            for room in &self.rooms {
                for id in inspect::behind(&server.database, &room.id, evil::HOST).await {
                    let entry = (room.id.clone(), id.clone(), server.name.clone());
                    assert!(!received.contains(&entry), "{} has told {id}", server.name);
                }
                if tried.contains(&room.id) {
                    continue;
                }
                let events = inspect::events(&server.database, &room.id).await;
                let ids: Vec<_> = events.into_iter().rev().take(3).map(|it| it.id).collect();
                evil.ask_for(&server.name, &ids).await;
            }
        }
    }
}

/// Whether an event lets somebody who is in the room now see less than all of it.
fn closes_history(event: &Event) -> bool {
    event.json.contains("m.room.history_visibility")
        && ["\"joined\"", "\"invited\""].iter().any(|it| event.json.contains(it))
}

/// The events that name one as coming before them.
fn naming(known: &Known, id: &str) -> Vec<String> {
    let events: Vec<_> = known.values().cloned().collect();
    let named = previous(&events).into_iter().filter(|(_, it)| it.iter().any(|it| it == id));
    named.map(|(id, _)| format!("{id} ({})", known[&id].verdict)).collect()
}

/// Pages back to the beginning of a room. Nothing is shown twice.
async fn read_back(user: &User, room_id: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut from = String::new();
    for _ in 0..MAX_PAGES {
        let target = format!("{}?dir=b&limit={PAGE}{from}", path(["rooms", room_id, "messages"]));
        let page = user.client.get(&target).await.ok();
        for event in page["chunk"].as_array().into_iter().flatten() {
            let id = event["event_id"].as_str().expect("an event ID").to_owned();
            assert!(seen.insert(id.clone()), "{} is shown {id} twice", user.id());
        }
        match page["end"].as_str() {
            Some(end) => from = format!("&from={}", encode(end)),
            None => return seen,
        }
    }
    panic!("{} pages for ever in {room_id}: {}", user.id(), Value::from(from))
}
