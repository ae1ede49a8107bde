//! Sliding sync from a test's point of view: a connection, and what comes on it.

use crate::{PATIENCE, Request, User, Value, json};
use tokio::time::Instant;

const PATH: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// How long one long-poll of a waiting test may hang.
const POLL_MS: u64 = 2_000;

impl User {
    /// A connection that begins, with this body.
    pub fn sliding(&self, body: Value) -> Sliding {
        Sliding { user: self.clone(), body, pos: None }
    }
}

/// A connection.
#[derive(Debug, Clone)]
pub struct Sliding {
    user: User,
    /// The body of the next request.
    pub body: Value,
    /// Where the client is.
    pub pos: Option<String>,
}

impl Sliding {
    /// The next request.
    #[track_caller]
    pub fn request(&self, timeout_ms: u64) -> Request {
        let request = self.user.post(PATH).json(&self.body).query("timeout", timeout_ms);
        match &self.pos {
            Some(pos) => request.query("pos", pos),
            None => request,
        }
    }

    /// The same connection of a device whose server was restarted.
    #[must_use]
    pub fn at(&self, user: &User) -> Self {
        Self { user: user.clone(), ..self.clone() }
    }

    /// Asks, and goes on from the answer.
    pub async fn next(&mut self, timeout_ms: u64) -> Slid {
        let slid = self.lost(timeout_ms).await;
        self.pos = Some(slid.pos().to_owned());
        slid
    }

    /// Asks, and loses the answer.
    pub async fn lost(&self, timeout_ms: u64) -> Slid {
        Slid { json: self.request(timeout_ms).ok().await }
    }

    /// Asks on until an answer shows what the test waits for.
    pub async fn until<T>(&mut self, what: &str, mut found: impl FnMut(&Slid) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            let slid = self.next(POLL_MS).await;
            if let Some(it) = found(&slid) {
                return it;
            }
            last = slid.json;
        }
        panic!("{} never saw {what}; the last answer was {last}", self.user.id);
    }

    /// Asks on until a room's timeline has an event, and tells the room as it came with it.
    pub async fn until_event(&mut self, room: &str, event: &str) -> Value {
        let what = format!("event {event} in {room}");
        self.until(&what, |it| {
            let found = it.room(room)?;
            let has = timeline(found).iter().any(|it| it["event_id"] == event);
            has.then(|| found.clone())
        })
        .await
    }

    /// Asks until nothing comes any more.
    pub async fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.next(300).await.is_empty() {
            assert!(Instant::now() < deadline, "{} always has something new", self.user.id);
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Slid {
    /// The whole of it.
    pub json: Value,
}

impl Slid {
    /// Where to go on.
    pub fn pos(&self) -> &str {
        self.json["pos"].as_str().expect("a `pos`")
    }

    /// How many rooms are in a list.
    pub fn count(&self, list: &str) -> u64 {
        self.json["lists"][list]["count"].as_u64().expect("a count")
    }

    /// A room.
    pub fn room(&self, room: &str) -> Option<&Value> {
        self.json["rooms"].get(room)
    }

    /// The IDs of the rooms, in order.
    pub fn rooms(&self) -> Vec<&str> {
        let rooms = self.json["rooms"].as_object().expect("rooms");
        rooms.keys().map(String::as_str).collect()
    }

    /// An extension.
    pub fn extension(&self, name: &str) -> &Value {
        &self.json["extensions"][name]
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        let no_rooms = |it: &Value| it["rooms"].as_object().is_none_or(serde_json::Map::is_empty);
        let none = |it: &Value| it.as_array().is_none_or(Vec::is_empty);
        no_rooms(&self.json)
            && ["account_data", "receipts", "typing"].iter().all(|it| no_rooms(self.extension(it)))
            && none(&self.extension("account_data")["global"])
            && none(&self.extension("to_device")["events"])
    }
}

/// The timeline of a room.
pub fn timeline(room: &Value) -> &[Value] {
    room["timeline"].as_array().map_or(&[], Vec::as_slice)
}

/// The content of a piece of state that came with a room.
pub fn required<'a>(room: &'a Value, kind: &str, key: &str) -> Option<&'a Value> {
    let state = room["required_state"].as_array()?;
    state.iter().find(|it| it["type"] == kind && it["state_key"] == key).map(|it| &it["content"])
}

/// A body with one list of all rooms: these ranges, so many events, and this state.
pub fn list(ranges: &Value, timeline_limit: u64, required_state: &Value) -> Value {
    json!({ "lists": { "all": {
        "ranges": ranges, "timeline_limit": timeline_limit, "required_state": required_state,
    } } })
}
