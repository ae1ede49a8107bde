//! Delivering to members that something waits ([`skerry_core::delivery`]).

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, Either},
    stream,
};
use skerry_core::delivery::{ANSWER_TIMEOUT_MS, Answer, DELIVERIES_PER_ROUND};

use crate::{
    Result,
    messages::{
        destination,
        room::Position,
        user::{Delivered, RoomActivity},
    },
    objects::room::{Room, limits},
    store::room::readers::{self, Reader},
};

impl Room {
    /// A reader is given everything up to the head: the next event is to be delivered to them.
    /// Called under the lock of the reading, so that what comes later finds them watching; a row
    /// says so before the answer goes out.
    pub(crate) async fn begin_reading(&self, reader: &Reader) -> Result<()> {
        let needs_row = self.deliveries().activity.read(reader);
        if needs_row {
            self.write_batch(vec![readers::insert(self.scope(), reader)], None).await?;
            self.deliveries().activity.row_written(reader);
        }
        Ok(())
    }

    /// Delivers what waits, after the reply.
    pub(crate) fn deliver_later(self: &Arc<Self>) {
        if !self.deliveries().activity.has_more() {
            return;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.deliver().await }));
    }

    /// Delivers what waits, round by round. What is left after the last round, the alarm delivers.
    pub(crate) async fn deliver(self: &Arc<Self>) {
        for _ in 0..limits::DELIVERY_ROUNDS {
            if !self.deliveries().activity.has_more() {
                return;
            }
            // Each is handed out when its turn comes: whoever the time does not suffice for comes
            // first the next time, and not behind those again who do not answer.
            let round = std::iter::from_fn(|| self.next_delivery()).take(DELIVERIES_PER_ROUND);
            let deliveries = stream::iter(round)
                .for_each_concurrent(limits::DELIVERIES_AT_ONCE, |(reader, position)| {
                    self.deliver_to(reader, position)
                });
            let timeout = self.host.sleep(Duration::from_millis(ANSWER_TIMEOUT_MS));
            if let Either::Right(_) = future::select(Box::pin(deliveries), timeout).await {
                tracing::warn!(room_id = %self.id, "members did not answer in time");
                return;
            }
        }
    }

    fn next_delivery(&self) -> Option<(Reader, Position)> {
        self.deliveries().activity.next_round(self.now_ms(), 1).pop()
    }

    async fn deliver_to(&self, reader: Reader, position: Position) {
        let (objects, room_id) = (self.host.objects(), self.id.clone());
        let answer = match &reader {
            Reader::User(user_id) => {
                objects.ask(&**user_id, RoomActivity { room_id, position }).await
            }
            Reader::Server(server) => {
                let activity = destination::RoomActivity { room_id, position, is_weak: false };
                objects.ask(&**server, activity).await
            }
        };
        let answer = match answer {
            Ok(Delivered::Noted) => Answer::Noted,
            Ok(Delivered::Unread) => Answer::Unread,
            Err(error) => {
                tracing::warn!(%error, ?reader, "activity could not be delivered to a reader");
                Answer::Unreachable
            }
        };
        self.deliveries().activity.answered(&reader, position, answer, self.now_ms());
    }
}
