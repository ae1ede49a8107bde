//! Messages that clients have sent and that are not written yet.

use std::collections::VecDeque;

use ruma::{CanonicalJsonObject, OwnedEventId};
use tokio::sync::oneshot;

use crate::{
    Result,
    messages::Caller,
    objects::room::loaded::draft::{Draft, Transaction},
};

/// A message that a client has sent.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) caller: Caller,
    pub(crate) event_type: String,
    pub(crate) content: CanonicalJsonObject,
    pub(crate) timestamp_ms: Option<u64>,
    pub(crate) transaction: Option<Transaction>,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is this event.
    Sent(OwnedEventId),
    /// Nothing yet: the policy server of the room has to sign it first.
    Unsigned(Box<Message>),
}

/// A message that is to be written. Nobody waits for it any more when its `reply` is closed.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    pub(crate) reply: oneshot::Sender<Result<Answer>>,
}

impl Message {
    /// The event that it is to be.
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft {
            sender: &self.caller.user_id,
            event_type: &self.event_type,
            state_key: None,
            content: self.content.clone(),
            redacts: None,
            timestamp_ms: self.timestamp_ms,
            transaction: self.transaction.clone(),
        }
    }
}

impl Outgoing {
    /// Answers whoever waits for it.
    pub(crate) fn answer(self, result: Result<OwnedEventId>) {
        // A client that went away asks again with the same transaction.
        let _ = self.reply.send(result.map(Answer::Sent));
    }

    /// Gives it back to whoever waits for it.
    pub(crate) fn give_back(self) {
        let _ = self.reply.send(Ok(Answer::Unsigned(Box::new(self.message))));
    }
}

/// Takes the next messages, at most so many, and leaves out those for which nobody waits.
pub(crate) fn next(queue: &mut VecDeque<Outgoing>, at_most: usize) -> Vec<Outgoing> {
    let mut next = Vec::new();
    while next.len() < at_most
        && let Some(message) = queue.pop_front()
    {
        if !message.reply.is_closed() {
            next.push(message);
        }
    }
    next
}

/// Removes the messages for which nobody waits.
pub(crate) fn remove_abandoned(queue: &mut VecDeque<Outgoing>) {
    queue.retain(|message| !message.reply.is_closed());
}
