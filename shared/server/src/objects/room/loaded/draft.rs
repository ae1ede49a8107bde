//! An event that somebody wants to send, before it is made.

use ruma::{CanonicalJsonObject, EventId, UserId};

use crate::{messages::room::SentBy, store::room::events::TransactionKey};

/// The request an event came from.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    /// The device and its transaction ID.
    pub(crate) sent_by: SentBy,
    /// The endpoint, which a transaction ID is unique within.
    pub(crate) endpoint: Endpoint,
    /// What stands before the ID in the path: the event's type, or the event to be redacted.
    pub(crate) subject: String,
}

impl Transaction {
    /// What tells it from others of its sender.
    pub(crate) fn key(&self) -> TransactionKey<'_> {
        TransactionKey {
            device_id: &self.sent_by.device_id,
            endpoint: match self.endpoint {
                Endpoint::Send => "send",
                Endpoint::Redact => "redact",
            },
            subject: &self.subject,
            transaction_id: &self.sent_by.transaction_id,
        }
    }
}

/// An endpoint that takes transaction IDs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint {
    /// `/rooms/{roomId}/send/{eventType}/{txnId}`
    Send,
    /// `/rooms/{roomId}/redact/{eventId}/{txnId}`
    Redact,
}

/// An event somebody wants to send.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) sender: &'a UserId,
    pub(crate) event_type: &'a str,
    pub(crate) state_key: Option<&'a str>,
    pub(crate) content: CanonicalJsonObject,
    pub(crate) redacts: Option<&'a EventId>,
    pub(crate) timestamp_ms: Option<u64>,
    pub(crate) transaction: Option<Transaction>,
}

impl<'a> Draft<'a> {
    /// A state event.
    pub(crate) fn state(
        sender: &'a UserId,
        event_type: &'a str,
        state_key: &'a str,
        content: CanonicalJsonObject,
    ) -> Self {
        let state_key = Some(state_key);
        Self {
            sender,
            event_type,
            state_key,
            content,
            redacts: None,
            timestamp_ms: None,
            transaction: None,
        }
    }
}
