//! Stored events to client events, and which of them pass a filter.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use ruma::{RoomId, api::client::filter::RoomEventFilter, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    client_event::{self, Served, Unsigned},
    filter::{self, Subject},
    visibility::Timeline,
};

use super::{Room, limits, load::Loaded};
use crate::{
    Error, Result,
    messages::{
        Caller, RawJson,
        room::{Direction, Position, SentBy},
    },
    store::room::events::{self, Stored},
};

/// What the served form of an event depends on besides the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    /// Who asks.
    pub(super) caller: &'a Caller,
    /// Their memberships.
    pub(super) timeline: &'a Timeline,
    /// Events are wanted as other servers get them.
    pub(super) federation_format: bool,
    /// The room's version has `redacts` in the content.
    pub(super) redacts_in_content: bool,
    /// The room ID, where the response does not say it.
    pub(super) room_id: Option<&'a RoomId>,
}

/// A part of history that has been read.
#[derive(Debug)]
pub(super) struct Scan {
    /// The events found, in the direction of reading.
    pub(super) events: Vec<Stored>,
    /// Reading can go on from here; none: the end was reached.
    pub(super) next: Option<Position>,
}

impl Room {
    /// Turns stored events into what the asker gets.
    pub(super) async fn serve(&self, asker: Asker<'_>, events: &[Stored]) -> Result<Vec<RawJson>> {
        if asker.federation_format {
            let raw = |it: &Stored| RawJsonValue::from_string(it.json.clone());
            return Ok(events.iter().map(raw).collect::<Result<_, _>>()?);
        }
        let (sql, scope, now) = (self.sql(), self.scope(), self.now_ms());
        let others: BTreeSet<_> =
            events.iter().flat_map(|it| [it.replaces, it.redacted_by]).flatten().collect();
        let others: Vec<_> = others.into_iter().collect();
        let others: HashMap<_, _> =
            events::list(sql, scope, &others).await?.into_iter().map(|it| (it.num, it)).collect();
        let mut served = Vec::with_capacity(events.len());
        for event in events {
            let mut unsigned = unsigned(asker, event)?;
            if let Some(replaced) = event.replaces.and_then(|it| others.get(&it)) {
                unsigned.prev_content = Some(content_of(&replaced.json)?);
                unsigned.prev_sender = Some(replaced.sender.clone());
                unsigned.replaces_state = Some(replaced.event_id.to_string());
            }
            if let Some(redaction) = event.redacted_by.and_then(|it| others.get(&it)) {
                let served = Served {
                    json: &redaction.json,
                    event_id: &redaction.event_id,
                    room_id: asker.room_id,
                    redacts_in_content: asker.redacts_in_content,
                    unsigned: self::unsigned(asker, redaction)?,
                };
                unsigned.redacted_because = Some(client_event::serve(served, now)?);
            }
            let event = Served {
                json: &event.json,
                event_id: &event.event_id,
                room_id: asker.room_id,
                redacts_in_content: asker.redacts_in_content,
                unsigned,
            };
            served.push(client_event::serve(event, now)?);
        }
        Ok(served)
    }

    /// Reads history with `after < position <= upto` until `limit` events are found that the
    /// asker may see and the filter lets through.
    pub(super) async fn scan(
        &self,
        room: &Loaded,
        asker: Asker<'_>,
        (after, upto): (Position, Position),
        direction: Direction,
        limit: u64,
        filter: &RoomEventFilter,
    ) -> Result<Scan> {
        let (mut after, mut upto) = (after, upto);
        let mut events = Vec::new();
        let mut scanned = 0;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let nothing = passes_nothing(filter, &self.id);
        while events.len() < wanted && after < upto && !nothing && scanned < limits::SCANNED_EVENTS
        {
            let page_size = (limit + 1).clamp(MIN_PAGE, MAX_PAGE);
            let page = self.page(room, (after, upto), direction, page_size).await?;
            let is_last = (page.len() as u64) < page_size;
            scanned += page.len();
            let mut page = page.into_iter();
            while events.len() < wanted
                && let Some(event) = page.next()
            {
                match direction {
                    Direction::Backward => upto = event.position - 1,
                    Direction::Forward => after = event.position,
                }
                let user_id = &asker.caller.user_id;
                if passes(filter, &self.id, &event)
                    && self.may_see(asker.timeline, user_id, &event).await?
                {
                    events.push(event);
                }
            }
            // Positions that are left may be those of receipts: only events count.
            if is_last && page.len() == 0 {
                return Ok(Scan { events, next: None });
            }
        }
        let next = match direction {
            Direction::Backward => upto,
            Direction::Forward => after,
        };
        Ok(Scan { events, next: (after < upto && !nothing).then_some(next) })
    }

    /// Events with `after < position <= upto`: from memory when it has them, else from the store.
    async fn page(
        &self,
        room: &Loaded,
        (after, upto): (Position, Position),
        direction: Direction,
        limit: u64,
    ) -> Result<Vec<Stored>> {
        if direction == Direction::Backward {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if let Some(known) = room.memory.newest((after, upto), limit) {
                return Ok(known);
            }
        }
        events::page(self.sql(), self.scope(), after, upto, direction, limit).await
    }
}

/// Events in one read of a scan.
const MIN_PAGE: u64 = 8;
const MAX_PAGE: u64 = 200;

/// Whether a filter lets a stored event of this room through.
pub(super) fn passes(filter: &RoomEventFilter, room_id: &RoomId, event: &Stored) -> bool {
    // The content is read only where the filter asks for it.
    let has_url = filter.url_filter.is_some()
        && content_of(&event.json).is_ok_and(|content| filter::has_url(&content));
    let subject = Subject { event_type: &event.event_type, sender: Some(&event.sender), has_url };
    filter::passes_room_event(filter, room_id, subject)
}

/// Whether a filter lets no event of this room through, whatever it is.
fn passes_nothing(filter: &RoomEventFilter, room_id: &RoomId) -> bool {
    filter.types.as_ref().is_some_and(Vec::is_empty)
        || filter.senders.as_ref().is_some_and(Vec::is_empty)
        || !filter::passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id)
}

/// What the server adds to an event for this asker, but for what other events tell.
fn unsigned<'a>(asker: Asker<'_>, event: &Stored) -> Result<Unsigned<'a>> {
    let membership = asker.timeline.membership_at(event.position);
    let mut unsigned =
        Unsigned { membership: Some(membership_text(&membership)), ..Unsigned::default() };
    if let Some(sent_by) = &event.sent_by
        && event.sender == asker.caller.user_id.as_str()
    {
        let sent_by: SentBy = serde_json::from_str(sent_by)?;
        if sent_by.device_id == asker.caller.device_id {
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
pub(super) fn content_of(json: &str) -> Result<RawJson> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        content: &'a RawJsonValue,
    }
    let event: Event<'_> = serde_json::from_str(json).map_err(Error::internal)?;
    Ok(event.content.to_owned())
}
