//! Events that the room's policy server signs before anybody sees them ([spec]).
//!
//! It is asked under no lock: the event is made as the current state allows it, and received when
//! it comes back. Until then nothing is written, so that one that is refused leaves no trace.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#asking-for-a-policy-server-signature-on-an-event

use std::{sync::Arc, time::Duration};

use futures_util::future::{self, Either};
use http::StatusCode;
use ruma::{OwnedEventId, api::error::ErrorKind};
use skerry_core::rate_limits::Bucket;
use tokio::sync::MutexGuard;

use crate::{
    Error, Result,
    objects::room::{
        Room, limits,
        loaded::{draft::Draft, outgoing::Message},
    },
};

impl Room {
    /// Sends a message.
    pub(super) async fn send_message_by_policy(
        self: &Arc<Self>,
        message: Message,
    ) -> Result<OwnedEventId> {
        let count = || {
            let (limits, now_ms) = (self.host.limits(), self.now_ms());
            limits.take(Bucket::MessagesRoom, self.id.as_str(), 1, now_ms)
        };
        self.send_by_policy(message.draft(), count).await
    }

    /// Sends an event, signed by the policy server that the room uses by then. `count` is called
    /// when the room allows the event.
    pub(super) async fn send_by_policy(
        self: &Arc<Self>,
        draft: Draft<'_>,
        count: impl FnOnce() -> Result<()> + Send,
    ) -> Result<OwnedEventId> {
        let _turn = self.policy_turn().await?;
        let transaction = draft.transaction.clone();
        let (mut pdu, policy, rules) = {
            let room = self.read().await?;
            // A request that is repeated waits here for the first one.
            if let Some(event_id) = self.repeated(draft.sender, transaction.as_ref()).await? {
                return Ok(event_id);
            }
            let policy = self.policy_server(&room).await?;
            (self.template(&room, draft).await?, policy, room.rules.clone())
        };
        count()?;
        if let Some(policy) = policy {
            pdu.json = self.sign_by_policy(&policy, &pdu.json, &rules).await?.into_boxed_str();
        }
        self.receive_own(pdu, transaction).await
    }

    /// Waits until the policy server may be asked about an event of this server.
    async fn policy_turn(&self) -> Result<MutexGuard<'_, ()>> {
        let turn = std::pin::pin!(self.policy.turn.lock());
        let timeout = self.host.sleep(Duration::from_millis(limits::POLICY_WAIT_MS));
        match future::select(turn, timeout).await {
            Either::Left((turn, _)) => Ok(turn),
            Either::Right(_) => {
                let message = "the room's policy server is slow: try again later";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(Error::with_status(status, ErrorKind::Unknown, message))
            }
        }
    }
}
