//! An event that somebody wants to send, before it is made.

use ruma::{CanonicalJsonObject, EventId, UserId};

use crate::messages::room::SentBy;

/// The request an event came from.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    /// The device and its transaction ID.
    pub(crate) sent_by: SentBy,
    /// What a transaction ID is unique within ([spec]): the rest of the path, ID included.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
    pub(crate) path: String,
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
