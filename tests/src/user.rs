//! An account with one device, and the requests that every test makes.

use crate::{Client, Homeserver, Reply, Request, Value, json, path};
use std::{
    future::Future,
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

/// The password of every account that the harness registers.
pub const PASSWORD: &str = "correct horse battery staple 42!";

/// A name that no other test of this run uses: tests share a server.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A logged-in device of a registered user. Dereferences to its [`Client`].
#[derive(Debug, Clone)]
pub struct User {
    /// The full user ID.
    pub id: String,
    /// The device ID.
    pub device: String,
    /// The access token.
    pub token: String,
    client: Client,
}

impl Deref for User {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl User {
    /// Registers a new user whose name starts with `stem`.
    pub async fn register(server: &impl Homeserver, stem: &str) -> Self {
        Self::register_as(server, &unique(stem)).await
    }

    /// Registers a new user with exactly this localpart.
    pub async fn register_as(server: &impl Homeserver, localpart: &str) -> Self {
        let client = Client::new(server.url());
        let body = json!({ "username": localpart, "password": PASSWORD });
        let reply = client.post("/register").uia(body, json!({ "type": "m.login.dummy" })).await;
        Self::from_session(&client, &reply.ok())
    }

    /// Logs in to an existing account on a new device.
    pub async fn log_in(server: &impl Homeserver, user: &str) -> Self {
        let client = Client::new(server.url());
        let session = client.post("/login").json(&password_login(user, PASSWORD)).ok().await;
        Self::from_session(&client, &session)
    }

    /// The user of an answer to `/login` or `/register`.
    pub fn from_session(client: &Client, session: &Value) -> Self {
        let text = |key: &str| session[key].as_str().expect("a session").to_owned();
        let token = text("access_token");
        let client = client.with_token(&token);
        Self { id: text("user_id"), device: text("device_id"), token, client }
    }

    /// The same device after its server was restarted.
    #[must_use]
    pub fn at(&self, server: &impl Homeserver) -> Self {
        Self { client: self.client.at(server.url()), ..self.clone() }
    }

    /// The part of the user ID between `@` and `:`.
    pub fn localpart(&self) -> &str {
        self.id.trim_start_matches('@').split(':').next().unwrap_or_default()
    }

    /// The authentication data that proves the password in user-interactive authentication.
    pub fn password_auth(&self) -> Value {
        password_login(&self.id, PASSWORD)
    }

    /// Creates a room.
    #[track_caller]
    pub fn create_room(&self, options: &Value) -> impl Future<Output = String> + use<> {
        let request = self.post("/createRoom").json(options);
        async move { text(&request.ok().await, "room_id") }
    }

    /// Creates a room that all of these join.
    pub async fn public_room(&self, members: &[&Self]) -> String {
        let room = self.create_room(&json!({ "preset": "public_chat" })).await;
        for member in members {
            member.join(&room).await;
        }
        room
    }

    /// Creates an invite-only room that all of these join by invitation.
    pub async fn private_room(&self, members: &[&Self]) -> String {
        let invited: Vec<&str> = members.iter().map(|it| it.id.as_str()).collect();
        let options = json!({ "preset": "private_chat", "invite": invited });
        let room = self.create_room(&options).await;
        for member in members {
            member.join(&room).await;
        }
        room
    }

    /// Joins a room by ID.
    #[track_caller]
    pub fn join(&self, room: &str) -> impl Future<Output = ()> + use<> {
        let request = self.post(path(["rooms", room, "join"]));
        async move {
            let joined = request.ok().await;
            assert!(joined["room_id"].is_string(), "a join tells the room: {joined}");
        }
    }

    /// Leaves a room, or rejects an invite, or takes back a knock.
    #[track_caller]
    pub fn leave(&self, room: &str) -> impl Future<Output = Value> + use<> {
        self.post(path(["rooms", room, "leave"])).ok()
    }

    /// Invites another user.
    #[track_caller]
    pub fn invite(&self, room: &str, user: &Self) -> impl Future<Output = Value> + use<> {
        self.on_member(room, "invite", user).ok()
    }

    /// A request to `invite`, `kick`, `ban` or `unban` another user.
    #[track_caller]
    pub fn on_member(&self, room: &str, action: &str, user: &Self) -> Request {
        self.post(path(["rooms", room, action])).json(&json!({ "user_id": user.id }))
    }

    /// Sends an event and tells its ID.
    #[track_caller]
    pub fn send(
        &self,
        room: &str,
        kind: &str,
        content: &Value,
    ) -> impl Future<Output = String> + use<> {
        let request = self.sending(room, kind, content);
        async move { text(&request.ok().await, "event_id") }
    }

    /// A request to send an event under a fresh transaction ID.
    #[track_caller]
    pub fn sending(&self, room: &str, kind: &str, content: &Value) -> Request {
        self.put(path(["rooms", room, "send", kind, &unique("txn")])).json(content)
    }

    /// Sends a text message and tells its event ID.
    #[track_caller]
    pub fn say(&self, room: &str, body: &str) -> impl Future<Output = String> + use<> {
        self.send(room, "m.room.message", &message(body))
    }

    /// Sends numbered messages one after the other.
    pub async fn say_many(&self, room: &str, count: usize) -> Vec<String> {
        let mut sent = Vec::with_capacity(count);
        for number in 0..count {
            sent.push(self.say(room, &format!("message {number}")).await);
        }
        sent
    }

    /// A request to set state.
    #[track_caller]
    pub fn setting(&self, room: &str, kind: &str, key: &str, content: &Value) -> Request {
        self.put(path(["rooms", room, "state", kind, key])).json(content)
    }

    /// Sets state and tells the event ID.
    #[track_caller]
    pub fn set_state(
        &self,
        room: &str,
        kind: &str,
        key: &str,
        content: &Value,
    ) -> impl Future<Output = String> + use<> {
        let request = self.setting(room, kind, key, content);
        async move { text(&request.ok().await, "event_id") }
    }

    /// A request for the content of a state event.
    #[track_caller]
    pub fn state(&self, room: &str, kind: &str, key: &str) -> Request {
        self.get(path(["rooms", room, "state", kind, key]))
    }

    /// The whole current state.
    pub async fn all_state(&self, room: &str) -> Vec<Value> {
        let state = self.get(path(["rooms", room, "state"])).ok().await;
        state.as_array().expect("an array of state events").clone()
    }

    /// A request for one event.
    #[track_caller]
    pub fn event(&self, room: &str, event: &str) -> Request {
        self.get(path(["rooms", room, "event", event]))
    }

    /// A request for `/messages` in a direction.
    #[track_caller]
    pub fn messages(&self, room: &str, direction: &str) -> Request {
        self.get(path(["rooms", room, "messages"])).query("dir", direction)
    }

    /// Redacts an event and tells the redaction's ID.
    #[track_caller]
    pub fn redact(&self, room: &str, event: &str) -> impl Future<Output = String> + use<> {
        let request = self.put(path(["rooms", room, "redact", event, &unique("txn")]));
        let request = request.json(&json!({ "reason": "for a test" }));
        async move { text(&request.ok().await, "event_id") }
    }

    /// The membership of a user as current state has it, or nothing.
    pub async fn membership_of(&self, room: &str, user: &Self) -> String {
        let reply = self.state(room, "m.room.member", &user.id).send().await;
        match reply.status {
            404 => String::new(),
            _ => text(&reply.ok(), "membership"),
        }
    }

    /// Changes the power level of one user.
    pub async fn give_power(&self, room: &str, user: &Self, level: i64) {
        let mut levels = self.state(room, "m.room.power_levels", "").ok().await;
        levels["users"][&user.id] = json!(level);
        self.set_state(room, "m.room.power_levels", "", &levels).await;
    }

    /// The events of a room as `/messages` pages them backward, so many a page, to the first.
    pub async fn paged_back(&self, room: &str, limit: usize) -> Vec<Value> {
        let (mut found, mut from) = (Vec::new(), None::<String>);
        loop {
            let mut request = self.messages(room, "b").query("limit", limit);
            if let Some(from) = &from {
                request = request.query("from", from);
            }
            let page = request.ok().await;
            found.extend(page["chunk"].as_array().expect("a chunk").iter().cloned());
            match page["end"].as_str() {
                Some(end) => from = Some(end.to_owned()),
                None => return found,
            }
        }
    }

    /// The events of a room as `/messages` pages them forward, to the last.
    pub async fn history(&self, room: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut from = None::<String>;
        loop {
            let mut request = self.messages(room, "f").query("limit", 50);
            if let Some(from) = &from {
                request = request.query("from", from);
            }
            let page = request.ok().await;
            let chunk = page["chunk"].as_array().expect("a chunk");
            found.extend(chunk.iter().cloned());
            match page["end"].as_str() {
                // A forward page may end at the newest event with a token to ask again with.
                Some(end) if !chunk.is_empty() => from = Some(end.to_owned()),
                _ => return found,
            }
        }
    }
}

impl Request {
    /// Goes through user-interactive authentication: asks without `auth`, is told the session, and
    /// asks again with `auth` for that session.
    pub async fn uia(self, body: Value, auth: Value) -> Reply {
        let challenge = self.clone().json(&body).send().await;
        if challenge.status != 401 || !challenge.json["flows"].is_array() {
            return challenge;
        }
        let (mut body, mut auth) = (body, auth);
        auth["session"] = challenge.json["session"].clone();
        body["auth"] = auth;
        self.json(&body).send().await
    }
}

/// The body of a password login, which is also the authentication data for it.
fn password_login(user: &str, password: &str) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": user });
    json!({ "type": "m.login.password", "identifier": identifier, "password": password })
}

/// The content of a text message.
pub fn message(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

fn text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {json}")).to_owned()
}
