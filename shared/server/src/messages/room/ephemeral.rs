//! Receipts, typing, and who is there.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedServerName, OwnedUserId, events::receipt::ReceiptThread};
use serde::{Deserialize, Serialize};
use skerry_core::{edu::ReadReceipt, presence::Status};

/// Set or clear that a user is typing.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetTyping {
    /// The user.
    pub user_id: OwnedUserId,
    /// For how many milliseconds; none: they stopped.
    pub typing_for_ms: Option<u64>,
}

/// A receipt's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// `m.read`, seen by all.
    Read,
    /// `m.read.private`, seen by its user alone.
    ReadPrivate,
}

/// Set receipts of one user: all of them, or none.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetReceipts {
    /// Whose receipts.
    pub user_id: OwnedUserId,
    /// Which.
    pub receipts: Vec<NewReceipt>,
}

/// A receipt to be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewReceipt {
    /// Public or private.
    pub kind: ReceiptKind,
    /// The last event read.
    pub event_id: OwnedEventId,
    /// The thread. Unthreaded is said by leaving it out: ruma reads no other form of it.
    #[serde(default, skip_serializing_if = "ruma::serde::is_default")]
    pub thread: ReceiptThread,
}

/// Another server says of its users who is typing and what they have read. What cannot be believed
/// is passed over.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReceiveEdus {
    /// The server, whose request was verified.
    pub server: OwnedServerName,
    /// Who types, and who does not any more.
    pub typing: BTreeMap<OwnedUserId, bool>,
    /// What they have read.
    pub receipts: Vec<ReadReceipt>,
}

/// Users have these statuses, the newest that there are. The answer says whom that concerns: the
/// room tells nobody, since they may share other rooms with the users.
#[derive(Debug, Serialize, Deserialize)]
pub struct NoteStatuses {
    /// The statuses.
    pub statuses: Vec<Status>,
    /// Other servers are to be told.
    pub to_servers: bool,
}

/// The answer to [`NoteStatuses`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Audience {
    /// Those of the users who are in the room.
    pub joined: Vec<OwnedUserId>,
    /// Local users who read the room.
    pub users: Vec<OwnedUserId>,
    /// Other servers in the room, if they are to be told.
    pub servers: Vec<OwnedServerName>,
}

/// Whether a server is in the room.
#[derive(Debug, Serialize, Deserialize)]
pub struct HasServer {
    /// The server.
    pub server: OwnedServerName,
}

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_user_id};
    use serde_json::{Value as JsonValue, json};

    use super::*;
    use crate::messages::{Ask as _, room::Command};

    #[test]
    fn a_receipt_survives_the_wire_in_every_thread() {
        let threads = [
            (ReceiptThread::Unthreaded, json!(null)),
            (ReceiptThread::Main, json!("main")),
            (ReceiptThread::Thread(owned_event_id!("$root")), json!("$root")),
        ];
        for (thread, on_the_wire) in threads {
            let receipt = NewReceipt {
                kind: ReceiptKind::Read,
                event_id: owned_event_id!("$event"),
                thread: thread.clone(),
            };
            let question = SetReceipts { user_id: owned_user_id!("@a:b"), receipts: vec![receipt] };
            let wire = serde_json::to_value(question.into_command()).unwrap();
            let sent = wire.pointer("/set_receipts/receipts/0/thread").unwrap_or(&JsonValue::Null);
            assert_eq!(*sent, on_the_wire);
            match serde_json::from_value(wire).unwrap() {
                Command::SetReceipts(it) => assert_eq!(it.receipts[0].thread, thread),
                other => panic!("{other:?}"),
            }
        }
    }
}
