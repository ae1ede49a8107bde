//! A client of one user: requests to their own server, whose answers may get lost.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    network::{Network, Node, Parcel},
    server::Server,
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long a client waits before it asks again: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Requests of one wish.
const TRIES: usize = 2_000;

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    network: Arc<Network>,
    host: String,
    token: Option<String>,
    /// The user.
    pub user_id: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
}

impl Reply {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }
}

impl Client {
    /// Somebody without an account.
    pub fn nobody(server: &Server) -> Self {
        Self {
            network: server.network.clone(),
            host: server.name.clone(),
            token: None,
            user_id: String::new(),
        }
    }

    /// A user's client.
    pub fn new(server: &Server, (user_id, token): (String, String)) -> Self {
        Self { token: Some(token), user_id, ..Self::nobody(server) }
    }

    /// Asks once; none: there was no answer.
    pub async fn request(&self, method: Method, path: &str, body: &Value) -> Option<Reply> {
        let Some(Node::Up(process)) = self.network.node(&self.host) else { return None };
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().ok()?);
        }
        let parcel = Parcel {
            from: "a client".to_owned(),
            to: self.host.clone(),
            method,
            target: if path.starts_with("/_") {
                path.to_owned()
            } else {
                format!("/_matrix/client/v3{path}")
            },
            headers,
            body: if body.is_null() { Vec::new() } else { body.to_string().into() }.into(),
        };
        let answer = timeout(PATIENCE, process.answer(parcel, true)).await.ok()??;
        if self.network.loses_a_reply() {
            return None;
        }
        let body = serde_json::from_slice(&answer.body).ok()?;
        Some(Reply { status: answer.status, body })
    }

    /// Asks until there is an answer. What is asked may be repeated without harm.
    pub async fn insist(&self, method: Method, path: &str, body: &Value) -> Reply {
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            if let Some(reply) = self.request(method.clone(), path, body).await
                && !reply.status.is_server_error()
            {
                return reply;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        panic!("{} has no answer to {method} {path}", self.user_id)
    }

    /// `GET`, until there is an answer.
    pub async fn get(&self, path: &str) -> Reply {
        self.insist(Method::GET, path, &Value::Null).await
    }

    /// `POST`, once.
    pub async fn post(&self, path: &str, body: &Value) -> Option<Reply> {
        self.request(Method::POST, path, body).await
    }

    /// `PUT`, once.
    pub async fn put(&self, path: &str, body: &Value) -> Option<Reply> {
        self.request(Method::PUT, path, body).await
    }
}
