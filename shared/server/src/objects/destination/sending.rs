//! Sending to the server what waits for it: one transaction at a time, in the order of each room.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedTransactionId, UInt,
    api::federation::transactions::send_transaction_message::v1::Request,
};
use skerry_core::destination::{LONG_OUTAGE_MS, MAX_PDUS};

use super::{Destination, rooms::Read};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{GetOutgoing, Outgoing},
    },
    peers::Limits,
    store::destination::rooms::Mark,
};

/// What the answer to a transaction may take.
const LIMITS: Limits = Limits { max_answer_bytes: 256 * 1024, timeout: Duration::from_mins(1) };

/// What goes out next.
#[derive(Debug, Default)]
struct Transaction {
    pdus: Vec<RawJson>,
    read: Vec<Read>,
}

/// What came of looking for what waits.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// There may be more.
    Sent,
    /// Nothing waits that can be read, or the server does not answer.
    Over,
}

impl Destination {
    /// Sends what waits, after the reply.
    pub(super) fn send_later(self: &Arc<Self>) {
        let destination = Arc::clone(self);
        self.host.defer(Box::pin(async move { destination.send().await }));
    }

    /// Sends what waits, until nothing does or the server does not answer. Whoever comes while
    /// somebody sends has them look once more.
    pub(super) async fn send(self: &Arc<Self>) {
        self.is_wanted.store(true, Ordering::SeqCst);
        while self.is_wanted.load(Ordering::SeqCst) {
            let Ok(_turn) = self.sending.try_lock() else { return };
            while self.is_wanted.swap(false, Ordering::SeqCst) {
                let step = self.send_all().await;
                if let Err(error) = step {
                    tracing::warn!(server = %self.name, ?error, "nothing can be sent");
                }
            }
        }
    }

    async fn send_all(&self) -> Result<()> {
        let mut behind = None;
        while self.send_next(&mut behind).await? == Step::Sent {}
        Ok(())
    }

    /// Sends one transaction. `behind`: the last room that was looked at.
    async fn send_next(&self, behind: &mut Option<OwnedRoomId>) -> Result<Step> {
        let now_ms = self.host.clock().now_ms();
        let (waiting, failures) = {
            let state = self.lock().await?;
            (state.waiting(behind.as_ref()), state.failures)
        };
        if waiting.is_empty() || failures.is_some_and(|it| it.next_ms > now_ms) {
            return Ok(Step::Over);
        }
        let newest_only = failures.is_some_and(|it| it.since_ms + LONG_OUTAGE_MS < now_ms);
        let next = self.gather(waiting, newest_only, behind).await;
        if next.read.is_empty() {
            return Ok(Step::Over);
        }
        if next.pdus.is_empty() {
            self.acknowledged(next.read).await?;
            return Ok(Step::Sent);
        }
        let transaction = self.transaction(next.pdus, now_ms)?;
        match self.peers().ask(&self.name, transaction, LIMITS).await {
            Ok(answer) => {
                for (event_id, _) in answer.pdus.iter().filter(|(_, result)| result.is_err()) {
                    tracing::debug!(server = %self.name, %event_id, "an event was refused");
                }
                self.acknowledged(next.read).await?;
                Ok(Step::Sent)
            }
            Err(error) => {
                tracing::debug!(server = %self.name, %error, "a transaction was not accepted");
                self.failed().await?;
                Ok(Step::Over)
            }
        }
    }

    /// Reads rooms until a transaction is full. One that fails keeps back nothing of the others:
    /// the alarm has it read again.
    async fn gather(
        &self,
        waiting: Vec<(OwnedRoomId, Mark)>,
        newest_only: bool,
        behind: &mut Option<OwnedRoomId>,
    ) -> Transaction {
        let mut next = Transaction::default();
        for (room_id, mark) in waiting {
            let left = MAX_PDUS.saturating_sub(next.pdus.len());
            if left == 0 {
                break;
            }
            let question = GetOutgoing {
                server: self.name.clone(),
                after: mark.sent,
                limit: left as u64,
                newest_only,
            };
            let Outgoing { mut pdus, upto, is_over } =
                match self.host.objects().ask(&*room_id, question).await {
                    Ok(outgoing) => *outgoing,
                    // Who is not in the room any more has nothing to say there.
                    Err(Error::UnknownRoom) => {
                        Outgoing { pdus: Vec::new(), upto: mark.waiting, is_over: true }
                    }
                    Err(error) => {
                        tracing::warn!(server = %self.name, %room_id, ?error, "it was not read");
                        continue;
                    }
                };
            next.pdus.append(&mut pdus);
            *behind = Some(room_id.clone());
            next.read.push(Read { room_id, upto, is_over });
        }
        next
    }

    /// A transaction, whose ID no other has had: what is in it is read anew for each attempt.
    fn transaction(&self, pdus: Vec<RawJson>, now_ms: u64) -> Result<Request> {
        let random = URL_SAFE_NO_PAD.encode(self.random()?.to_le_bytes());
        let id = OwnedTransactionId::from(format!("{now_ms}-{random}"));
        let now = MilliSecondsSinceUnixEpoch(UInt::new_saturating(now_ms));
        let mut request = Request::new(id, self.server.name.clone(), now);
        request.pdus = pdus;
        Ok(request)
    }

    pub(super) fn random(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.host.random().fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
