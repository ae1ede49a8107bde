//! Sending a message or state event.

use std::sync::Arc;

use ruma::{CanonicalJsonObject, OwnedEventId};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::pdu;

use crate::{
    Error, Result,
    messages::room::Send,
    objects::room::{
        Room,
        author::{not_built, transaction::transaction},
        loaded::{Loaded, draft::Draft, in_memory, plan::Plan},
    },
};

impl Room {
    /// Sends an event.
    pub(crate) async fn send(self: &Arc<Self>, command: Send) -> Result<OwnedEventId> {
        let Send { caller, event_type, state_key, content, transaction_id, timestamp_ms } = command;
        let mut content = pdu::parse_content(&content).map_err(not_built)?;
        if event_type == "m.room.member" {
            // Only this server says in whose name somebody joins a restricted room, after it has
            // checked that the rule admits them.
            content.remove("join_authorised_via_users_server");
        }
        if event_type == "m.room.redaction" && state_key.is_none() {
            return self.send_redaction(&caller, content, transaction_id.as_deref()).await;
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &caller.user_id).await?;
        let transaction = transaction(&caller, transaction_id.as_deref(), &event_type);
        if let Some(key) = &state_key
            && let Some((_, same)) = self.state_event(room, &event_type, key).await?
            && same.sender == caller.user_id
            && is_same_content(&same.content, &content)
        {
            // A client that sets what is set already gets the event that did.
            return Ok(same.event_id.clone());
        }
        let draft = Draft {
            sender: &caller.user_id,
            event_type: &event_type,
            state_key: state_key.as_deref(),
            content,
            redacts: None,
            timestamp_ms,
            transaction: transaction.clone(),
        };
        self.check_target(&draft)?;
        let mut plan = Plan::new(room);
        match self.plan_and_commit(room, &mut plan, draft).await {
            Ok(event_id) => {
                self.deliver_plan(guard, plan).await;
                Ok(event_id)
            }
            // Whether the request is a repeated one is read only now: a repeated one violates the
            // key of its transaction, and the others need not wait for a reading.
            Err(error) => match self.repeated(&caller, transaction.as_ref()).await? {
                Some(event_id) => {
                    if matches!(error, Error::Conflict) {
                        // It was refused for the transaction's key, and left nothing behind.
                        self.doubt.clear();
                    }
                    Ok(event_id)
                }
                None => Err(error),
            },
        }
    }

    async fn plan_and_commit(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
    ) -> Result<OwnedEventId> {
        let pdu = self.plan_event(room, plan, draft).await?;
        self.commit(room, plan).await?;
        Ok(pdu.event_id.clone())
    }
}

/// Whether stored content is the same as content to be sent.
fn is_same_content(stored: &RawJsonValue, content: &CanonicalJsonObject) -> bool {
    pdu::parse_content(stored).is_ok_and(|it| it == *content)
}
