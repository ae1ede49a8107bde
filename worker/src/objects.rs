//! How objects are reached: a Durable Object each, by name.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    future::{self, Either},
};
use ruma::{RoomId, ServerName, UserId};
use serde::de::DeserializeOwned;
use skerry::{
    Error, Result,
    messages::{
        Ask as _, Command, destination, room,
        user::{self, Changes, GetChanges},
    },
    objects::user::limits,
    ports::{Clock as _, Objects},
};
use worker::{Delay, Env, Stub, WebsocketEvent, send::SendFuture};

use crate::{js::map_worker_error, limits::Charges, machine::EdgeClock, wire};

/// The bindings' names.
pub(crate) const ROOM: &str = "ROOM";
pub(crate) const USER: &str = "USER";
pub(crate) const DESTINATION: &str = "DESTINATION";

/// The longest wait for news that is granted, whatever was asked for.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// The status of an answer that comes with a socket.
const SWITCHING_PROTOCOLS: u16 = 101;

/// All objects.
#[derive(Clone)]
pub(crate) struct EdgeObjects {
    env: Env,
    charges: Charges,
}

impl EdgeObjects {
    /// The way for one request from outside, or for one object. `charges` is what the objects that
    /// are asked are to count of the request.
    pub(crate) fn new(env: Env, charges: Charges) -> Self {
        Self { env, charges }
    }

    /// The bindings.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn stub(&self, binding: &str, name: &str) -> Result<Stub> {
        let namespace = self.env.durable_object(binding).map_err(map_worker_error)?;
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
        let charges = self.charges.take_for(name);
        let request = wire::request(&command, &charges)?;
        let answer = self.stub(binding, name)?.fetch_with_request(request).await;
        let answer = match answer {
            Err(error) if command.is_repeatable() => {
                tracing::warn!(%error, binding, "a stub broke: its object is asked once more");
                let request = wire::request(&command, &[])?;
                self.stub(binding, name)?.fetch_with_request(request).await
            }
            answer => answer,
        };
        wire::reply(answer.map_err(map_worker_error)?).await
    }

    /// Waits at the other end of a WebSocket that the object has accepted for hibernation: the
    /// object sleeps meanwhile, and waiting costs the Worker no CPU.
    async fn wait(
        &self,
        user_id: &UserId,
        question: GetChanges,
        at_most: Duration,
    ) -> Result<Option<Box<Changes>>> {
        let deadline_ms = EdgeClock.now_ms().saturating_add(millis(at_most.min(MAX_WAIT)));
        let request = wire::waiting_request(&question.clone().into_command())?;
        let answer = self.stub(USER, user_id.as_str())?.fetch_with_request(request).await;
        let answer = answer.map_err(map_worker_error)?;
        if answer.status_code() != SWITCHING_PROTOCOLS {
            return Ok(GetChanges::from_reply(wire::reply(answer).await?));
        }
        let socket = answer.websocket();
        let socket = socket.ok_or_else(|| Error::internal("an object gave no socket"))?;
        let mut events = socket.events().map_err(map_worker_error)?;
        socket.accept().map_err(map_worker_error)?;
        let waited = future::select(events.next(), Delay::from(at_most.min(MAX_WAIT))).await;
        let message = match &waited {
            Either::Left((Some(Ok(WebsocketEvent::Message(message))), _)) => message.text(),
            Either::Left((Some(Err(error)), _)) => {
                tracing::warn!(%error, "a wait for news was cut short");
                None
            }
            // The time is up, or the object has ended the wait.
            Either::Left(_) | Either::Right(_) => None,
        };
        let closed_with = match &waited {
            Either::Left((Some(Ok(WebsocketEvent::Close(event))), _)) => Some(event.code()),
            _ => None,
        };
        drop(waited);
        drop(events);
        // The other end may be closed already.
        let _ = socket.close(Some(wire::WAIT_IS_OVER), None::<&str>);
        match (message, closed_with) {
            (Some(message), _) => Ok(GetChanges::from_reply(serde_json::from_str(&message)?)),
            (None, Some(wire::PLACE_TAKEN)) => {
                self.wait_without_place(user_id, question, deadline_ms).await
            }
            // Also when the answer was too large for a socket.
            (None, Some(_)) => self.look(user_id, question).await,
            (None, None) => Ok(None),
        }
    }

    /// Waits for somebody whose place another client has taken, and who would take that of a third
    /// one if they asked again at once.
    async fn wait_without_place(
        &self,
        user_id: &UserId,
        question: GetChanges,
        deadline_ms: u64,
    ) -> Result<Option<Box<Changes>>> {
        loop {
            let left_ms = deadline_ms.saturating_sub(EdgeClock.now_ms());
            if left_ms == 0 {
                return Ok(None);
            }
            Delay::from(Duration::from_millis(left_ms.min(limits::WAITING_LOOK_MS))).await;
            if let Some(changes) = self.look(user_id, question.clone()).await? {
                return Ok(Some(changes));
            }
        }
    }

    async fn look(&self, user_id: &UserId, question: GetChanges) -> Result<Option<Box<Changes>>> {
        let reply = self.user(user_id, question.into_command()).await?;
        Ok(GetChanges::from_reply(reply).filter(|it| !it.is_empty()))
    }
}

/// Whole milliseconds of a wait.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Objects for EdgeObjects {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        SendFuture::new(self.ask(ROOM, room_id.as_str(), command)).await
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        SendFuture::new(self.ask(USER, user_id.as_str(), command)).await
    }

    async fn destination(
        &self,
        server: &ServerName,
        command: destination::Command,
    ) -> Result<destination::Reply> {
        SendFuture::new(self.ask(DESTINATION, server.as_str(), command)).await
    }

    async fn wait_for_changes(
        &self,
        user_id: &UserId,
        question: GetChanges,
        at_most: Duration,
    ) -> Result<Option<Box<Changes>>> {
        SendFuture::new(self.wait(user_id, question, at_most)).await
    }
}
