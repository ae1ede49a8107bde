//! Sending to the server what waits for it: one transaction at a time, in the order of each room.
//! What rooms have that is no event goes with it, and alone where there is no event.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedTransactionId, UInt,
    api::federation::transactions::{edu::Edu, send_transaction_message::v1::Request},
    serde::Raw,
};
use skerry_core::{
    destination::{LONG_OUTAGE_MS, Space, presence_edus, receipt_edus},
    edu::ReadReceipt,
};

use super::{Destination, devices::Updates, rooms::Read};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{Departures, GetOutgoing, Outgoing},
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
    /// What waited in rows of its own, and the number of the last of it.
    queued: Vec<RawJson>,
    queued_until: Option<u64>,
    receipts: Vec<(OwnedRoomId, Vec<ReadReceipt>)>,
    typing: Vec<Edu>,
    statuses: Vec<Edu>,
    devices: Updates,
    read: Vec<Read>,
}

impl Transaction {
    /// Whether the server is told nothing by it.
    fn is_empty(&self) -> bool {
        self.pdus.is_empty()
            && self.queued.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && self.statuses.is_empty()
            && self.devices.edus.is_empty()
    }
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
        let send = || async {
            if let Err(error) = self.send_all().await {
                tracing::warn!(server = %self.name, ?error, "nothing can be sent");
            }
        };
        self.sending.run(send).await;
    }

    async fn send_all(&self) -> Result<()> {
        let mut behind = None;
        while self.send_next(&mut behind).await? == Step::Sent {}
        Ok(())
    }

    /// Sends one transaction. `behind`: the last room that was looked at.
    async fn send_next(&self, behind: &mut Option<OwnedRoomId>) -> Result<Step> {
        let now_ms = self.host.clock().now_ms();
        let (waiting, typing, statuses, failures) = {
            let mut state = self.lock().await?;
            if state.is_left_alone(now_ms) {
                return Ok(Step::Over);
            }
            let waiting = state.waiting(behind.as_ref());
            let statuses = presence_edus(state.statuses.take(), now_ms);
            (waiting, state.typing.take(now_ms), statuses, state.failures)
        };
        let newest_only = failures.is_some_and(|it| it.since_ms + LONG_OUTAGE_MS < now_ms);
        let mut next = self.gather(waiting, newest_only, behind).await;
        (next.typing, next.statuses) = (typing, statuses);
        (next.queued, next.queued_until) = self.queued_edus().await?;
        if next.is_empty() {
            if next.read.is_empty() {
                return Ok(Step::Over);
            }
            self.acknowledged(next.read, next.devices.sent, None).await?;
            return Ok(Step::Sent);
        }
        let (read, queued_until) = (std::mem::take(&mut next.read), next.queued_until);
        let sent = std::mem::take(&mut next.devices.sent);
        let transaction = self.transaction(next, now_ms)?;
        match self.peers().ask(&self.name, transaction, LIMITS).await {
            Ok(answer) => {
                for (event_id, _) in answer.pdus.iter().filter(|(_, result)| result.is_err()) {
                    tracing::debug!(server = %self.name, %event_id, "an event was refused");
                }
                self.acknowledged(read, sent, queued_until).await?;
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
        let (mut next, mut space) = (Transaction::default(), Space::default());
        for (room_id, mark) in waiting {
            if space.is_full() {
                break;
            }
            let question = GetOutgoing {
                server: self.name.clone(),
                after: mark.sent,
                limit: space.pdus as u64,
                newest_only,
                receipts: space.receipts as u64,
                devices: Some(space.users as u64),
            };
            let outgoing = match self.host.objects().ask(&*room_id, question).await {
                Ok(outgoing) => *outgoing,
                // Who is not in the room any more has nothing to say there.
                Err(Error::UnknownRoom) => {
                    Outgoing { upto: mark.waiting, is_over: true, ..Outgoing::default() }
                }
                Err(error) => {
                    tracing::warn!(server = %self.name, %room_id, ?error, "it was not read");
                    continue;
                }
            };
            let Outgoing { mut pdus, receipts, devices, upto, has_more, is_over, departures } =
                outgoing;
            let departures = Departures { are_all: departures.are_all || is_over, ..departures };
            // Before the mark says that they were read.
            if let Err(error) = self.take_departures(&room_id, &departures).await {
                tracing::warn!(server = %self.name, %room_id, ?error, "lists were not forgotten");
                continue;
            }
            space.take(pdus.len(), receipts.len(), devices.len());
            if let Err(error) = self.add_updates(&mut next.devices, devices).await {
                tracing::warn!(server = %self.name, %room_id, ?error, "devices were not read");
                continue;
            }
            next.pdus.append(&mut pdus);
            if !receipts.is_empty() {
                next.receipts.push((room_id.clone(), receipts));
            }
            *behind = Some(room_id.clone());
            next.read.push(Read { room_id, upto, has_more, is_over });
        }
        next
    }

    /// A transaction, whose ID no other has had: what is in it is read anew for each attempt.
    fn transaction(&self, next: Transaction, now_ms: u64) -> Result<Request> {
        let random = URL_SAFE_NO_PAD.encode(self.host.random().number()?.to_le_bytes());
        let id = OwnedTransactionId::from(format!("{now_ms}-{random}"));
        let now = MilliSecondsSinceUnixEpoch(UInt::new_saturating(now_ms));
        let mut request = Request::new(id, self.server.name.clone(), now);
        request.pdus = next.pdus;
        let edus = next.typing.into_iter().chain(next.statuses);
        let edus = edus.chain(receipt_edus(next.receipts));
        let edus = edus.map(|it| Raw::new(&it)).collect::<Result<Vec<_>, _>>()?;
        // What devices there are is known before what they send.
        let kept = next.devices.edus.into_iter().chain(next.queued);
        request.edus = kept.map(Raw::from_json).chain(edus).collect();
        Ok(request)
    }
}
