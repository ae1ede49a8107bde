//! Sending messages. While one batch is written, the messages that come meanwhile wait for the
//! room's lock; whoever is given the lock plans and writes all of them in one batch.

use std::sync::Arc;

use futures_util::future::{self, Either};
use ruma::OwnedEventId;
use skerry_core::{pdu::MAX_PREV_EVENTS, rate_limits::Bucket};
use tokio::sync::{RwLockWriteGuard, oneshot};

use crate::{
    Error, Result,
    objects::room::{
        Room, limits,
        loaded::{
            Loaded, in_memory,
            outgoing::{self, Answer, Message, Outgoing},
            plan::Plan,
        },
    },
};

impl Room {
    /// Sends a message, together with those that wait. The reply is to come by `answer`.
    pub(crate) async fn send_message(
        self: &Arc<Self>,
        message: Outgoing,
        mut answer: oneshot::Receiver<Result<Answer>>,
    ) -> Result<Answer> {
        self.outgoing().push_back(message);
        loop {
            let lock = std::pin::pin!(self.lock());
            let mut guard = match future::select(&mut answer, lock).await {
                Either::Left((answer, _)) => return answered(answer),
                Either::Right((guard, _)) => guard,
            };
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Closed) => return Err(lost()),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            if let Err(error) = self.load_into(&mut guard).await {
                // Under the lock: nobody can send it between this answer and its removal.
                answer.close();
                outgoing::remove_abandoned(&mut self.outgoing());
                return Err(error);
            }
            self.send_outgoing(guard).await;
        }
    }

    /// Sends the messages that have waited longest in one batch, and delivers them.
    async fn send_outgoing(self: &Arc<Self>, mut guard: RwLockWriteGuard<'_, Option<Loaded>>) {
        if let Ok(room) = in_memory(&mut guard) {
            // An event that names only some of the extremities is decided on what is written.
            let at_most = match room.extremities.len() > MAX_PREV_EVENTS {
                true => 1,
                false => limits::SENDS_A_BATCH,
            };
            let messages = outgoing::next(&mut self.outgoing(), at_most);
            self.send_together(room, messages).await;
        }
        self.deliver_changes(guard, Vec::new()).await;
    }

    /// Writes messages in one batch, or each in one of its own, and answers each of them.
    async fn send_together(&self, room: &mut Loaded, messages: Vec<Outgoing>) {
        for message in self.send_batch(room, messages).await {
            match self.doubt.is_set() {
                true => message.answer(Err(lost())),
                // Of one message nothing is left to be tried again.
                false => drop(self.send_batch(room, vec![message]).await),
            }
        }
    }

    /// Writes messages in one batch and answers them, but for those that it gives back: they are to
    /// be tried one by one.
    async fn send_batch(&self, room: &mut Loaded, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        let mut plan = Plan::new(room);
        let mut planned = Vec::with_capacity(messages.len());
        for message in messages {
            match self.plan_message(room, &mut plan, &message.message).await {
                Ok(Some(event_id)) => planned.push((message, event_id)),
                Ok(None) => message.give_back(),
                Err(error) => self.refuse(message, error).await,
            }
        }
        if planned.is_empty() {
            return Vec::new();
        }
        match self.commit(room, &mut plan).await {
            Ok(()) => {
                for (message, event_id) in planned {
                    message.answer(Ok(event_id));
                }
            }
            Err(Error::Conflict) if planned.len() > 1 => {
                // One of them repeats a request that was carried out. All were rolled back.
                self.doubt.clear();
                return planned.into_iter().map(|(message, _)| message).collect();
            }
            Err(error) => self.refuse_all(planned, error).await,
        }
        Vec::new()
    }

    /// Plans a message. None: the room's policy server has to sign it first.
    async fn plan_message(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        message: &Message,
    ) -> Result<Option<OwnedEventId>> {
        self.check_joined(room, &message.caller.user_id).await?;
        if self.policy_server(room).await?.is_some() {
            return Ok(None);
        }
        let (limits, room_id, now_ms) = (self.host.limits(), self.id.as_str(), self.now_ms());
        limits.check(Bucket::MessagesRoom, room_id, now_ms)?;
        let pdu = self.plan_event(room, plan, message.draft()).await?;
        // Under the lock: there is still one. What is refused counts for nothing.
        limits.take(Bucket::MessagesRoom, room_id, 1, now_ms)?;
        Ok(Some(pdu.event_id.clone()))
    }

    async fn refuse(&self, outgoing: Outgoing, error: Error) {
        let Message { caller, transaction, .. } = &outgoing.message;
        let answer = self.refusal(caller, transaction.as_ref(), error).await;
        outgoing.answer(answer);
    }

    /// Nobody knows whether the batch was written: who repeats the request will be told.
    async fn refuse_all(&self, planned: Vec<(Outgoing, OwnedEventId)>, error: Error) {
        let cause = error.to_string();
        let mut error = Some(error);
        for (message, _) in planned {
            let error = error.take().unwrap_or_else(|| Error::internal(cause.clone()));
            self.refuse(message, error).await;
        }
    }
}

fn answered(answer: Result<Result<Answer>, oneshot::error::RecvError>) -> Result<Answer> {
    answer.map_err(|_| lost())?
}

fn lost() -> Error {
    Error::internal("what became of the batch that this message was in is not known")
}
