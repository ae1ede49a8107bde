//! Sending events and redactions.

use ruma::{OwnedDeviceId, OwnedEventId, OwnedTransactionId};
use serde::{Deserialize, Serialize};

use crate::messages::{Caller, RawJson};

/// Send a message or state event; the answer names it (or the one that had been sent by the
/// same transaction).
#[derive(Debug, Serialize, Deserialize)]
pub struct Send {
    /// The sender.
    pub caller: Caller,
    /// Event type.
    pub event_type: String,
    /// State key of a state event.
    pub state_key: Option<String>,
    /// Content: a JSON object.
    pub content: RawJson,
    /// Makes a repeated request from the same device give the same event.
    pub transaction_id: Option<OwnedTransactionId>,
    /// `origin_server_ts` wished for by an application service.
    pub timestamp_ms: Option<u64>,
}

/// Redact an event; the answer names the redaction.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redact {
    /// The sender of the redaction.
    pub caller: Caller,
    /// The event to redact.
    pub event_id: OwnedEventId,
    /// Why.
    pub reason: Option<String>,
    /// As in [`Send`].
    pub transaction_id: OwnedTransactionId,
}

/// Which device sent an event under which transaction ID, known to that device alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SentBy {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The transaction.
    pub transaction_id: OwnedTransactionId,
}
