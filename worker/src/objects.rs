//! How objects are reached: a Durable Object each, by name.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    future::{self, Either},
};
use ruma::{RoomId, UserId};
use serde::de::DeserializeOwned;
use skerry::{
    Error, Result,
    messages::{Command, room, user},
    ports::Objects,
};
use worker::{Delay, Env, Headers, Request, RequestInit, Stub, send::SendFuture};

use crate::{js::map_worker_error, wire};

/// The bindings' names.
pub(crate) const ROOM: &str = "ROOM";
pub(crate) const USER: &str = "USER";

/// The longest wait for news that is granted, whatever was asked for.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// All objects.
#[derive(Clone)]
pub(crate) struct EdgeObjects(pub(crate) Env);

impl EdgeObjects {
    pub(crate) fn stub(&self, binding: &str, name: &str) -> Result<Stub> {
        let namespace = self.0.durable_object(binding).map_err(map_worker_error)?;
        namespace.get_by_name(name).map_err(map_worker_error)
    }

    /// Asks an object. A stub that breaks (its object is moved, or was given a new program) says
    /// nothing of whether the command was carried out: one that may be repeated is, once.
    async fn ask<T: DeserializeOwned>(
        &self,
        binding: &str,
        name: &str,
        command: impl Command,
    ) -> Result<T> {
        let answer = self.stub(binding, name)?.fetch_with_request(wire::request(&command)?).await;
        let answer = match answer {
            Err(error) if command.is_repeatable() => {
                tracing::warn!(%error, binding, "a stub broke: its object is asked once more");
                let request = wire::request(&command)?;
                self.stub(binding, name)?.fetch_with_request(request).await
            }
            answer => answer,
        };
        wire::reply(answer.map_err(map_worker_error)?).await
    }

    /// Waits at the other end of a WebSocket that the object has accepted for hibernation: the
    /// object sleeps meanwhile, and waiting costs the Worker no CPU.
    async fn wait_for_news(&self, user_id: &UserId, after: u64, at_most: Duration) -> Result<()> {
        let headers = Headers::new();
        headers.set("Upgrade", "websocket").map_err(map_worker_error)?;
        let mut init = RequestInit::new();
        init.with_headers(headers);
        let request =
            Request::new_with_init(&wire::wait_url(after), &init).map_err(map_worker_error)?;
        let answer = self.stub(USER, user_id.as_str())?.fetch_with_request(request).await;
        let answer = answer.map_err(map_worker_error)?;
        let status = answer.status_code();
        let Some(socket) = answer.websocket() else {
            return Err(Error::internal(format!("an object refused to be waited for: {status}")));
        };
        let mut events = socket.events().map_err(map_worker_error)?;
        socket.accept().map_err(map_worker_error)?;
        // Any event ends the wait: news, or the object is gone and the client asks again.
        let waited = future::select(events.next(), Delay::from(at_most.min(MAX_WAIT))).await;
        if let Either::Left((Some(Err(error)), _)) = &waited {
            tracing::warn!(%error, "a wait for news was cut short");
        }
        drop(waited);
        drop(events);
        socket.close(Some(1000), None::<&str>).map_err(map_worker_error)
    }
}

#[async_trait]
impl Objects for EdgeObjects {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        SendFuture::new(self.ask(ROOM, room_id.as_str(), command)).await
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        SendFuture::new(self.ask(USER, user_id.as_str(), command)).await
    }

    async fn wait(&self, user_id: &UserId, position: u64, timeout: Duration) -> Result<()> {
        SendFuture::new(self.wait_for_news(user_id, position, timeout)).await
    }
}
