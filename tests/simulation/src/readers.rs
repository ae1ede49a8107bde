//! Clients that read on: `/sync` again and again, and `/messages` where that skips something.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use skerry_tests::{encode, path};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::users::User;

/// Events of a timeline: few, so that some are skipped.
const TIMELINE: usize = 6;
/// Pages that are read where some were skipped.
const MAX_PAGES: usize = 50;

/// How often what was shown, by room and event.
pub type Seen = BTreeMap<String, BTreeMap<String, u32>>;

/// One client that reads on.
#[derive(Debug)]
pub struct Reader {
    /// Whose.
    pub user: User,
    seen: Arc<Mutex<Seen>>,
    enough: CancellationToken,
    task: JoinHandle<()>,
}

impl Reader {
    /// Begins to read.
    pub fn begin(user: &User) -> Self {
        let (seen, enough) = (Arc::<Mutex<Seen>>::default(), CancellationToken::new());
        let reading = read_on(user.clone(), seen.clone(), enough.clone());
        Self { user: user.clone(), seen, enough, task: tokio::spawn(reading) }
    }

    /// Reads until there is nothing more to read, and gives what was shown.
    pub async fn end(self) -> (User, Seen) {
        self.enough.cancel();
        self.task.await.expect("a client that reads to the end");
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.user, seen)
    }
}

async fn read_on(user: User, seen: Arc<Mutex<Seen>>, enough: CancellationToken) {
    let filter = json!({ "room": { "timeline": { "limit": TIMELINE } } }).to_string();
    let filter = encode(&filter);
    let mut since = String::new();
    loop {
        let is_last = enough.is_cancelled();
        let timeout = if is_last { 0 } else { 120_000 };
        let target = format!("/sync?timeout={timeout}&filter={filter}{since}");
        let sync = user.client.get(&target).await.ok();
        let mut is_new = false;
        for (room_id, room) in sync["rooms"]["join"].as_object().into_iter().flatten() {
            let timeline = &room["timeline"];
            is_new |= !ids(&timeline["events"]).is_empty();
            if timeline["limited"] == true && !since.is_empty() {
                read_skipped(&user, room_id, &timeline["prev_batch"], &seen).await;
            }
            note(&seen, room_id, ids(&timeline["events"]));
        }
        let next = sync["next_batch"].as_str().expect("a token");
        since = format!("&since={}", encode(next));
        user.tally.count("syncs");
        if is_last && !is_new {
            return;
        }
    }
}

/// Reads back until something is met that was shown before.
async fn read_skipped(user: &User, room_id: &str, from: &Value, seen: &Mutex<Seen>) {
    let Some(mut from) = from.as_str().map(str::to_owned) else { return };
    for _ in 0..MAX_PAGES {
        let room = path(["rooms", room_id, "messages"]);
        let target = format!("{room}?dir=b&limit=10&from={}", encode(&from));
        let reply = user.client.get(&target).await;
        // Who is not in the room any more may not be told of it.
        if !reply.status.is_success() {
            return;
        }
        user.tally.count("skipped pages");
        let (mut fresh, mut is_met) = (Vec::new(), false);
        for id in ids(&reply.body["chunk"]) {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            is_met = seen.get(room_id).is_some_and(|it| it.contains_key(&id));
            if is_met {
                break;
            }
            fresh.push(id);
        }
        note(seen, room_id, fresh);
        match reply.body["end"].as_str() {
            Some(end) if !is_met => end.clone_into(&mut from),
            _ => return,
        }
    }
}

fn note(seen: &Mutex<Seen>, room_id: &str, ids: Vec<String>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let of_room = seen.entry(room_id.to_owned()).or_default();
    for id in ids {
        *of_room.entry(id).or_default() += 1;
    }
}

fn ids(events: &Value) -> Vec<String> {
    let events = events.as_array().into_iter().flatten();
    events.filter_map(|it| it["event_id"].as_str().map(str::to_owned)).collect()
}
