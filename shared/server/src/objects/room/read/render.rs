//! Stored events to client events.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use ruma::events::room::member::MembershipState;
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    client_event::{self, Rendered, Unsigned},
    gather::Gather as _,
    visibility::Timeline,
};

use crate::{
    Error, Result,
    messages::{RawJson, room::SentBy},
    objects::room::{
        Room,
        read::{
            audience::{Audience, ClientFormat, Format},
            found_states::FoundStates,
        },
    },
    store::room::events::{self, StoredEvent},
};

impl Room {
    /// Turns stored events into what the requester gets. What other events tell of these is there
    /// where the requester may see those events.
    pub(crate) async fn render(
        &self,
        audience: Audience<'_>,
        events: &[StoredEvent],
    ) -> Result<Vec<RawJson>> {
        let Audience { timeline, format, .. } = audience;
        let Format::Client(client) = format else {
            let raw = |it: &StoredEvent| RawJsonValue::from_string(it.json.clone());
            return Ok(events.iter().map(raw).collect::<Result<_, _>>()?);
        };
        let (sql, scope, now) = (self.sql(), self.scope(), self.now_ms());
        let others: BTreeSet<_> =
            events.iter().flat_map(|it| [it.replaces, it.redacted_by]).flatten().gather();
        let others: Vec<_> = others.into_iter().collect();
        let others: HashMap<_, _> =
            events::list(sql, scope, &others).await?.into_iter().map(|it| (it.num, it)).collect();
        let mut rendered = Vec::with_capacity(events.len());
        let mut found = FoundStates::default();
        for event in events {
            let mut unsigned = unsigned(timeline, client, event)?;
            if let Some(replaced) = event.replaces.and_then(|it| others.get(&it))
                && self.may_see_replaced(audience, event, replaced, &mut found).await?
            {
                unsigned.prev_content = Some(content_of(&replaced.json)?);
                unsigned.prev_sender = Some(replaced.sender.clone());
                unsigned.replaces_state = Some(replaced.event_id.to_string());
            }
            if let Some(redaction) = event.redacted_by.and_then(|it| others.get(&it))
                && self.may_see_by(audience, redaction, &mut found).await?
            {
                let redaction = Rendered {
                    json: &redaction.json,
                    event_id: &redaction.event_id,
                    room_id: client.room_id,
                    redacts_in_content: client.redacts_in_content,
                    unsigned: self::unsigned(timeline, client, redaction)?,
                };
                unsigned.redacted_because = Some(client_event::render(redaction, now)?);
            }
            let event = Rendered {
                json: &event.json,
                event_id: &event.event_id,
                room_id: client.room_id,
                redacts_in_content: client.redacts_in_content,
                unsigned,
            };
            rendered.push(client_event::render(event, now)?);
        }
        Ok(rendered)
    }
}

/// What this server adds to an event for this client, but for what other events tell.
fn unsigned<'a>(
    timeline: &Timeline,
    client: ClientFormat<'_>,
    event: &StoredEvent,
) -> Result<Unsigned<'a>> {
    let membership = timeline.membership_at(event.position);
    let mut unsigned =
        Unsigned { membership: Some(membership_text(&membership)), ..Unsigned::default() };
    if let Some(sent_by) = &event.sent_by
        && event.sender == client.caller.user_id.as_str()
    {
        let sent_by: SentBy = serde_json::from_str(sent_by)?;
        if sent_by.device_id == client.caller.device_id {
            unsigned.transaction_id = Some(Cow::Owned(sent_by.transaction_id.to_string()));
        }
    }
    Ok(unsigned)
}

/// The text of a membership, borrowed where it is one that everybody has.
fn membership_text(membership: &MembershipState) -> Cow<'static, str> {
    match membership {
        MembershipState::Ban => Cow::Borrowed("ban"),
        MembershipState::Invite => Cow::Borrowed("invite"),
        MembershipState::Join => Cow::Borrowed("join"),
        MembershipState::Knock => Cow::Borrowed("knock"),
        MembershipState::Leave => Cow::Borrowed("leave"),
        other => Cow::Owned(other.to_string()),
    }
}

/// The content of a stored event.
pub(crate) fn content_of(json: &str) -> Result<RawJson> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        content: &'a RawJsonValue,
    }
    let event: Event<'_> = serde_json::from_str(json).map_err(Error::internal)?;
    Ok(event.content.to_owned())
}
