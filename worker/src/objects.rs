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
use worker::{Delay, Env, EventStream, Stub, WebsocketEvent, send::SendFuture};

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
    ) -> Result<Box<Changes>> {
        let deadline_ms = EdgeClock.now_ms().saturating_add(millis(at_most.min(MAX_WAIT)));
        let request = wire::waiting_request(&question.clone().into_command())?;
        let answer = self.stub(USER, user_id.as_str())?.fetch_with_request(request).await;
        let answer = answer.map_err(map_worker_error)?;
        if answer.status_code() != SWITCHING_PROTOCOLS {
            return changes(wire::reply(answer).await?);
        }
        let socket = answer.websocket();
        let socket = socket.ok_or_else(|| Error::internal("an object gave no socket"))?;
        let mut events = socket.events().map_err(map_worker_error)?;
        socket.accept().map_err(map_worker_error)?;
        let heard = listen(&mut events, at_most.min(MAX_WAIT)).await;
        drop(events);
        // The other end may be closed already.
        let _ = socket.close(Some(wire::WAIT_IS_OVER), None::<&str>);
        match heard? {
            Heard::Answer(changes) => Ok(changes),
            Heard::End(wire::PLACE_TAKEN) => {
                self.wait_without_place(user_id, question, deadline_ms).await
            }
            // Also when the answer was too large for a socket.
            Heard::End(_) => self.look(user_id, question).await,
        }
    }

    /// Waits for somebody whose place another client has taken, and who would take that of a third
    /// one if they asked again at once.
    async fn wait_without_place(
        &self,
        user_id: &UserId,
        question: GetChanges,
        deadline_ms: u64,
    ) -> Result<Box<Changes>> {
        loop {
            let left_ms = deadline_ms.saturating_sub(EdgeClock.now_ms());
            Delay::from(Duration::from_millis(left_ms.min(limits::WAITING_LOOK_MS))).await;
            let changes = self.look(user_id, question.clone()).await?;
            if !changes.is_empty() || left_ms <= limits::WAITING_LOOK_MS {
                return Ok(changes);
            }
        }
    }

    async fn look(&self, user_id: &UserId, question: GetChanges) -> Result<Box<Changes>> {
        changes(self.user(user_id, question.into_command()).await?)
    }
}

/// What an object says on the socket behind which somebody waits.
enum Heard {
    /// What they wait for; or what it said last of there being nothing, when the time is up.
    Answer(Box<Changes>),
    /// The wait has come to an end, with this code, without an answer.
    End(u16),
}

/// Listens until what somebody waits for has come, or the time is up.
async fn listen(events: &mut EventStream<'_>, at_most: Duration) -> Result<Heard> {
    let (mut time, mut nothing_new) = (Delay::from(at_most), None);
    loop {
        match future::select(events.next(), &mut time).await {
            Either::Left((Some(Ok(WebsocketEvent::Message(message))), _)) => {
                let message = message.text().unwrap_or_default();
                let changes = changes(serde_json::from_str(&message)?)?;
                if !changes.is_empty() {
                    return Ok(Heard::Answer(changes));
                }
                nothing_new = Some(changes);
            }
            Either::Left((Some(Ok(WebsocketEvent::Close(event))), _)) => {
                return Ok(Heard::End(event.code()));
            }
            Either::Left((Some(Err(error)), _)) => {
                tracing::warn!(%error, "a wait for news was cut short");
                return Ok(Heard::End(wire::WAIT_IS_OVER));
            }
            Either::Left((None, _)) => return Ok(Heard::End(wire::WAIT_IS_OVER)),
            Either::Right(_) => {
                return Ok(nothing_new.map_or(Heard::End(wire::WAIT_IS_OVER), Heard::Answer));
            }
        }
    }
}

fn changes(reply: user::Reply) -> Result<Box<Changes>> {
    let changes = GetChanges::from_reply(reply);
    changes.ok_or_else(|| Error::internal("a question for changes was answered otherwise"))
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
    ) -> Result<Box<Changes>> {
        SendFuture::new(self.wait(user_id, question, at_most)).await
    }
}
