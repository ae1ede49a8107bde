//! A small HTTP client: a base address, perhaps a token, and requests that are built and judged
//! in one line.

use crate::{Reply, encode, secrets};
use serde_json::Value;
use std::{fmt::Display, panic::Location, time::Duration};

/// Longer than any long-poll of the suite: a server that does not answer fails the test that asked.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Shorter than the servers keep an idle connection: a request never meets one that is closing.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// An address to ask, with or without an access token.
#[derive(Debug, Clone)]
#[must_use]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client without a token.
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .build();
        Self { http: http.expect("an HTTP client"), base: base.to_owned(), token: None }
    }

    /// The same client with that token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client with its token, at another address.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// `GET`; a path that does not start with `/_` or `/.` is under the client-server API's v3.
    #[track_caller]
    pub fn get(&self, path: impl AsRef<str>) -> Request {
        self.request("GET", path.as_ref())
    }

    /// `POST` with an empty object until another body is given.
    #[track_caller]
    pub fn post(&self, path: impl AsRef<str>) -> Request {
        self.request("POST", path.as_ref()).json(&Value::Object(serde_json::Map::new()))
    }

    /// `PUT` with an empty object until another body is given.
    #[track_caller]
    pub fn put(&self, path: impl AsRef<str>) -> Request {
        self.request("PUT", path.as_ref()).json(&Value::Object(serde_json::Map::new()))
    }

    /// `DELETE` without a body.
    #[track_caller]
    pub fn delete(&self, path: impl AsRef<str>) -> Request {
        self.request("DELETE", path.as_ref())
    }

    /// Any method.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str) -> Request {
        let rooted = path.starts_with("/_") || path.starts_with("/.");
        let prefix = if rooted { "" } else { "/_matrix/client/v3" };
        Request {
            client: self.clone(),
            method: method.to_owned(),
            path: format!("{prefix}{path}"),
            query: Vec::new(),
            body: None,
            headers: Vec::new(),
            place: Location::caller(),
        }
    }
}

/// A request being built. Nothing is sent before [`Request::send`] or one of the asserting ends.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before an end is chosen"]
pub struct Request {
    client: Client,
    method: String,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    /// The line of the test that asks, since a panic inside a future does not know it.
    place: &'static Location<'static>,
}

impl Request {
    /// Adds one query parameter, encoded.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends this JSON.
    pub fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    /// Sends this text as it is, still declared as JSON.
    pub fn text(self, body: &str) -> Self {
        self.bytes(body.as_bytes())
    }

    /// Sends these bytes as they are, still declared as JSON.
    pub fn bytes(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Sends no body.
    pub fn no_body(mut self) -> Self {
        self.body = None;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it and reads the answer.
    pub async fn send(self) -> Reply {
        let asked = self.asked();
        match self.try_send().await {
            Ok(reply) => reply,
            Err(error) => panic!("{asked} got no answer: {error:?}"),
        }
    }

    /// Sends it; an error means that no complete answer came.
    pub async fn try_send(self) -> Result<Reply, reqwest::Error> {
        let (asked, target) = (self.asked(), self.target());
        self.note();
        let method = reqwest::Method::from_bytes(self.method.as_bytes()).expect("a method");
        let mut request = self.client.http.request(method, format!("{}{target}", self.client.base));
        if let Some(token) = &self.client.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = self.body {
            request = request.header("content-type", "application/json").body(body);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        secrets::note_answer(&json);
        Ok(Reply { asked, status, headers, text, json })
    }

    /// Sends it and asserts a 200 with JSON.
    pub async fn ok(self) -> Value {
        self.send().await.ok()
    }

    /// Sends it and asserts exactly this refusal.
    pub async fn refused(self, status: u16, errcode: &str) -> Value {
        self.send().await.refused(status, errcode)
    }

    /// Notes all of it that no log may have.
    fn note(&self) {
        let headers = self.headers.iter().map(|(_, value)| value.trim_start_matches("Bearer "));
        headers.chain(self.client.token.as_deref()).for_each(secrets::note_text);
        for (_, value) in &self.query {
            secrets::note_json(value.as_bytes());
            secrets::note_text(value);
        }
        if let Some(body) = &self.body {
            secrets::note_json(body);
        }
    }

    fn asked(&self) -> String {
        format!("{}: {} {}", self.place, self.method, self.target())
    }

    fn target(&self) -> String {
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        if pairs.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, pairs.join("&"))
        }
    }
}
