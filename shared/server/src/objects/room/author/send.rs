//! Sending a message or state event.

use std::sync::Arc;

use ruma::{CanonicalJsonObject, OwnedEventId, events::room::member::MembershipState};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{pdu, policy, state_content};
use tokio::sync::oneshot;

use crate::{
    Error, Result,
    messages::{Caller, room::Send},
    objects::room::{
        Room,
        author::{not_built, transaction::transaction},
        loaded::{
            Loaded,
            draft::{Draft, Endpoint},
            in_memory,
            outgoing::{Answer, Message, Outgoing},
            plan::Plan,
            state_event::membership_of,
        },
    },
};

impl Room {
    /// Sends an event.
    pub(crate) async fn send(self: &Arc<Self>, command: Send) -> Result<OwnedEventId> {
        let Send { caller, event_type, state_key, content, transaction_id, timestamp_ms } = command;
        let content = pdu::parse_content(&content).map_err(not_built)?;
        let transaction = transaction_id
            .as_deref()
            .map(|it| transaction(&caller, (Endpoint::Send, &event_type), it));
        if let Some(state_key) = state_key {
            let draft = Draft {
                timestamp_ms,
                transaction,
                ..Draft::state(&caller.user_id, &event_type, &state_key, content)
            };
            return self.send_state(&caller, &state_key, draft).await;
        }
        if event_type == "m.room.redaction" {
            return self.send_redaction(&caller, content, transaction).await;
        }
        let (reply, answer) = oneshot::channel();
        let message = Message { caller, event_type, content, timestamp_ms, transaction };
        match self.send_message(Outgoing { message, reply }, answer).await? {
            Answer::Sent(event_id) => Ok(event_id),
            Answer::Unsigned(message) => self.send_message_by_policy(*message).await,
        }
    }

    /// Sends a state event.
    async fn send_state(
        self: &Arc<Self>,
        caller: &Caller,
        state_key: &str,
        mut draft: Draft<'_>,
    ) -> Result<OwnedEventId> {
        if draft.event_type == "m.room.member" {
            // Only this server says in whose name somebody joins a restricted room, after it has
            // checked that the rule admits them.
            draft.content.remove("join_authorised_via_users_server");
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        self.check_joined(room, &caller.user_id).await?;
        let before = self.state_event(room, draft.event_type, state_key).await?;
        let same = before.filter(|(_, before)| {
            before.sender == caller.user_id && is_same_content(&before.content, &draft.content)
        });
        if draft.event_type == "m.room.create" {
            // Whoever sets it to what it is gets its event, as from other servers.
            let same = same.map(|(_, it)| it.event_id.clone());
            return same.ok_or_else(|| Error::forbidden("a room is created once"));
        }
        self.check_content(room, &draft, state_key).await?;
        self.check_target(&draft)?;
        let membership = membership_in(&draft)?;
        let transaction = draft.transaction.clone();
        let mut plan = Plan::new(room);
        if let Some((_, same)) = same {
            // A client that sets what is set already gets the event that did, if it may still set
            // it: the plan is made for that, and goes nowhere.
            self.plan_event(room, &mut plan, draft).await?;
            return Ok(same.event_id.clone());
        }
        if !policy::is_exempt(draft.event_type, draft.state_key)
            && self.policy_server(room).await?.is_some()
        {
            drop(guard);
            let join = MembershipState::Join;
            let count = || membership.map_or(Ok(()), |it| self.count_membership(&join, &it));
            return self.send_by_policy(draft, count).await;
        }
        match self.plan_and_commit(room, &mut plan, draft, membership).await {
            Ok(event_id) => {
                self.deliver_plan(guard, plan).await;
                Ok(event_id)
            }
            Err(error) => self.refusal(caller, transaction.as_ref(), error).await,
        }
    }

    /// Refuses a content that is not well-formed.
    pub(super) async fn check_content(
        &self,
        room: &Loaded,
        draft: &Draft<'_>,
        key: &str,
    ) -> Result<()> {
        let creators = match draft.event_type {
            "m.room.power_levels" => self.power_levels(room).await?.rules.privileged_creators,
            _ => None,
        };
        let creators: Vec<_> = creators.into_iter().flatten().collect();
        let of = (draft.event_type, key);
        state_content::check(of, &draft.content, &self.server.name, &creators)
            .map_err(|it| Error::bad_json(format!("{}: {it}", draft.event_type)))
    }

    async fn plan_and_commit(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        draft: Draft<'_>,
        membership: Option<MembershipState>,
    ) -> Result<OwnedEventId> {
        let pdu = self.plan_event(room, plan, draft).await?;
        if let Some(membership) = membership {
            // Who may write state is in the room: it is nobody's join.
            self.count_membership(&MembershipState::Join, &membership)?;
        }
        self.commit(room, plan).await?;
        Ok(pdu.event_id.clone())
    }
}

/// The membership that a draft of a state event says, if it is one of a member.
fn membership_in(draft: &Draft<'_>) -> Result<Option<MembershipState>> {
    match draft.event_type {
        "m.room.member" => Ok(Some(membership_of(&serde_json::to_string(&draft.content)?))),
        _ => Ok(None),
    }
}

/// Whether stored content is the same as content to be sent.
fn is_same_content(stored: &RawJsonValue, content: &CanonicalJsonObject) -> bool {
    pdu::parse_content(stored).is_ok_and(|it| it == *content)
}
