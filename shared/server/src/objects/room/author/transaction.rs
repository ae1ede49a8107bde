//! Requests that are repeated: the same transaction of the same device gives the same event.

use ruma::{OwnedEventId, TransactionId, UserId};

use crate::{
    Error, Result,
    messages::{Caller, room::SentBy},
    objects::room::{
        Room,
        loaded::draft::{Endpoint, Transaction},
    },
    store::room::events,
};

impl Room {
    /// The event that this transaction of a device of the sender has made already.
    pub(crate) async fn repeated(
        &self,
        sender: &UserId,
        transaction: Option<&Transaction>,
    ) -> Result<Option<OwnedEventId>> {
        let Some(transaction) = transaction else { return Ok(None) };
        let (sql, scope) = (self.sql(), self.scope());
        events::find_by_transaction(sql, scope, sender, transaction.key()).await
    }

    /// What is answered where an event could not be sent: the event of the same transaction, if
    /// the request is a repeated one. That is read only now: a repeated one violates the key of
    /// its transaction, and the others need not wait for a reading.
    pub(crate) async fn refusal(
        &self,
        caller: &Caller,
        transaction: Option<&Transaction>,
        error: Error,
    ) -> Result<OwnedEventId> {
        match self.repeated(&caller.user_id, transaction).await? {
            Some(event_id) => {
                if matches!(error, Error::Conflict) {
                    // It was refused for the transaction's key, and left nothing behind.
                    self.doubt.clear();
                }
                Ok(event_id)
            }
            None => Err(error),
        }
    }
}

/// The request an event comes from. `subject` is what stands before the ID in its path.
pub(crate) fn transaction(
    caller: &Caller,
    (endpoint, subject): (Endpoint, &str),
    transaction_id: &TransactionId,
) -> Transaction {
    let device_id = caller.device_id.clone();
    let sent_by = SentBy { device_id, transaction_id: transaction_id.to_owned() };
    Transaction { sent_by, endpoint, subject: subject.to_owned() }
}
