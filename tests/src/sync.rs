//! `/sync` from a test's point of view: what came, and waiting for what must come.

use crate::{PATIENCE, Request, User, Value};
use tokio::time::Instant;

/// How long one long-poll of a waiting test may hang.
const POLL_MS: u64 = 5_000;

impl User {
    /// A request to `/sync`.
    #[track_caller]
    pub fn sync(&self) -> SyncRequest {
        SyncRequest::new(self)
    }

    /// Does an initial sync and follows from there.
    pub async fn watch(&self) -> Watch {
        Watch::start(self).await
    }
}

/// A request to `/sync`.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before an end is chosen"]
pub struct SyncRequest {
    user: User,
    request: Request,
}

impl SyncRequest {
    #[track_caller]
    pub(crate) fn new(user: &User) -> Self {
        Self { user: user.clone(), request: user.get("/sync") }
    }

    /// Adds a query parameter.
    pub fn query(self, name: &str, value: impl std::fmt::Display) -> Self {
        Self { request: self.request.query(name, value), ..self }
    }

    /// From that point on.
    pub fn since(self, token: &str) -> Self {
        self.query("since", token)
    }

    /// With a filter given inline.
    pub fn filter(self, filter: &Value) -> Self {
        self.query("filter", filter)
    }

    /// Sends it and asserts a 200.
    pub async fn get(self) -> Sync {
        Sync::new(self.request.ok().await)
    }

    /// Sends it and hands over whatever came.
    pub fn request(self) -> Request {
        self.request
    }

    /// Sends the same request until its answer shows what the test waits for. A room tells its
    /// members asynchronously, so even a sync right after an answered request may be too early.
    /// Between two attempts it waits for the server by a long-poll, never for a fixed time.
    pub async fn until<T>(self, what: &str, mut found: impl FnMut(&Sync) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sync = self.clone().get().await;
            if let Some(it) = found(&sync) {
                return it;
            }
            assert!(Instant::now() < deadline, "{} never saw {what}: {}", self.user.id, sync.json);
            let wait = self.user.sync().since(sync.next_batch()).query("timeout", 500);
            wait.get().await;
        }
    }

    /// Sends the same request until the room's timeline ends with that event.
    pub async fn until_event(self, room: &str, event: &str) -> Sync {
        let what = format!("event {event} in {room}");
        self.until(&what, |sync| {
            let timeline = sync.joined(room)?.timeline();
            (timeline.last()?["event_id"] == event).then(|| sync.clone())
        })
        .await
    }
}

/// One answer of `/sync`.
#[derive(Debug, Clone)]
pub struct Sync {
    /// The whole answer.
    pub json: Value,
}

impl Sync {
    fn new(json: Value) -> Self {
        assert!(json["next_batch"].is_string(), "a sync without `next_batch`: {json}");
        Self { json }
    }

    /// The token to continue from.
    pub fn next_batch(&self) -> &str {
        self.json["next_batch"].as_str().unwrap_or_default()
    }

    /// A room under `rooms.join`.
    pub fn joined(&self, room: &str) -> Option<Room<'_>> {
        self.room("join", room)
    }

    /// A room under one of the sections `join`, `invite`, `knock` and `leave`.
    pub fn room(&self, section: &str, room: &str) -> Option<Room<'_>> {
        self.json["rooms"][section].get(room).map(Room)
    }

    /// Whether nothing at all is told of rooms and account data.
    pub fn is_empty(&self) -> bool {
        let sections = self.json["rooms"].as_object().into_iter().flat_map(|it| it.values());
        let mut rooms = sections.filter_map(Value::as_object);
        rooms.all(serde_json::Map::is_empty) && events(&self.json["account_data"]).is_empty()
    }

    /// Global account data of that type.
    pub fn account_data(&self, kind: &str) -> Option<&Value> {
        of_type(events(&self.json["account_data"]), kind)
    }
}

/// One room of a sync.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a>(pub &'a Value);

impl<'a> Room<'a> {
    /// The timeline's events.
    pub fn timeline(self) -> &'a [Value] {
        events(&self.0["timeline"])
    }

    /// The state before the timeline.
    pub fn state(self) -> &'a [Value] {
        events(&self.0["state"])
    }

    /// The content of the ephemeral event of that type.
    pub fn ephemeral(self, kind: &str) -> Option<&'a Value> {
        of_type(events(&self.0["ephemeral"]), kind)
    }

    /// The content of the room account data of that type.
    pub fn account_data(self, kind: &str) -> Option<&'a Value> {
        of_type(events(&self.0["account_data"]), kind)
    }

    /// Whether events were left out before the timeline.
    pub fn limited(self) -> bool {
        self.0["timeline"]["limited"] == true
    }

    /// The token before the timeline.
    pub fn prev_batch(self) -> &'a str {
        self.0["timeline"]["prev_batch"].as_str().expect("a `prev_batch`")
    }

    /// The timeline's event of that ID.
    pub fn event(self, event: &str) -> Option<&'a Value> {
        self.timeline().iter().find(|it| it["event_id"] == event)
    }
}

/// The `events` of a section, none when the section is absent.
pub fn events(section: &Value) -> &[Value] {
    section["events"].as_array().map_or(&[], Vec::as_slice)
}

/// The event IDs, in order.
pub fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|it| it["event_id"].as_str().expect("an event ID")).collect()
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Option<&'a Value> {
    events.iter().find(|it| it["type"] == kind).map(|it| &it["content"])
}

/// A client that syncs on and on.
#[derive(Debug, Clone)]
pub struct Watch {
    user: User,
    filter: Option<Value>,
    /// Where the next sync continues.
    pub since: String,
    /// Every timeline event seen since the watch began, as (room, event ID), in order.
    pub seen: Vec<(String, String)>,
}

impl Watch {
    pub(crate) async fn start(user: &User) -> Self {
        let first = user.sync().get().await;
        Self::from(user, first.next_batch())
    }

    /// Continues from a token.
    pub fn from(user: &User, since: &str) -> Self {
        Self { user: user.clone(), filter: None, since: since.to_owned(), seen: Vec::new() }
    }

    /// Applies this filter from here on.
    #[must_use]
    pub fn filtered(self, filter: Value) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// One long-poll.
    pub async fn next(&mut self) -> Sync {
        let mut request = self.user.sync().since(&self.since).query("timeout", POLL_MS);
        if let Some(filter) = &self.filter {
            request = request.filter(filter);
        }
        let sync = request.get().await;
        sync.next_batch().clone_into(&mut self.since);
        self.remember(&sync);
        sync
    }

    fn remember(&mut self, sync: &Sync) {
        let Some(joined) = sync.json["rooms"]["join"].as_object() else { return };
        for (room, section) in joined {
            for id in ids(Room(section).timeline()) {
                let seen = (room.clone(), id.to_owned());
                assert!(!self.seen.contains(&seen), "{id} came twice: {}", sync.json);
                self.seen.push(seen);
            }
        }
    }

    /// Syncs on until an answer shows what the test waits for.
    pub async fn until<T>(&mut self, what: &str, mut found: impl FnMut(&Sync) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            let sync = self.next().await;
            if let Some(it) = found(&sync) {
                return it;
            }
            last = sync.json;
        }
        panic!("{} never saw {what}; the last sync was {last}", self.user.id);
    }

    /// Syncs on until a joined room's timeline brings that event, and tells it.
    pub async fn event(&mut self, room: &str, event: &str) -> Value {
        let what = format!("event {event} in {room}");
        self.until(&what, |sync| sync.joined(room)?.event(event).cloned()).await
    }

    /// Syncs on until a joined room satisfies the test.
    pub async fn room<T>(
        &mut self,
        what: &str,
        room: &str,
        mut found: impl FnMut(Room<'_>) -> Option<T>,
    ) -> T {
        self.until(what, |sync| found(sync.joined(room)?)).await
    }

    /// The events of one room seen so far, in order.
    pub fn seen_in(&self, room: &str) -> Vec<&str> {
        self.seen.iter().filter(|(it, _)| it == room).map(|(_, id)| id.as_str()).collect()
    }
}
