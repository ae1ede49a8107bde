//! What counts for a member who has push rules of their own ([`skerry_core::push_rules`]).
//!
//! Events are looked at when their reader reads, and only those that they have not read. Members
//! with the server-default rules have theirs counted by what was written of each event.

use ruma::{events::room::member::RoomMemberEventContent, push::PushConditionPowerLevelsCtx};
use skerry_core::{
    notify,
    push_rules::{
        CountingRules,
        evaluate::{Budget, Context, Evaluator, Level},
    },
};

use super::unread::{Reader, matters};
use crate::{
    Result,
    messages::room::Position,
    objects::room::{Room, limits, loaded::Loaded},
    store::room::unread::{self, Unread, Whole},
};

impl Room {
    /// What matters to a member by their own rules, oldest first. Where that is too much to be
    /// looked at, the newest of it.
    pub(super) async fn ruled_events(
        &self,
        room: &Loaded,
        reader: Reader<'_>,
        rules: &CountingRules,
        after: Position,
    ) -> Result<Vec<Unread>> {
        let known = room.memory.events_after(after, |it| {
            matters(it, reader, true).then(|| Whole {
                unread: it.unread.clone(),
                event_id: it.stored.event_id.clone(),
                json: it.stored.json.clone(),
                stored_us: 0,
            })
        });
        if known.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let evaluator = Evaluator::new(Some(rules), reader.user_id, &self.id);
        if evaluator.constant() == Some(Level::Nothing) {
            return Ok(Vec::new());
        }
        let events = match known {
            Some(mut events) => {
                events.reverse();
                events
            }
            None => self.list_whole(room, reader, after).await?,
        };
        let asked = Asked::of(&evaluator, &events);
        let (name, powers) = self.asked_of_room(room, reader, asked).await?;
        let context = Context {
            room_id: &self.id,
            member_count: room.joined,
            display_name: name.as_deref(),
            power_levels: powers.as_ref(),
        };
        let mut counted = evaluated(&evaluator, &context, reader, events);
        counted.reverse();
        Ok(counted)
    }

    /// Events that may count, newest first.
    async fn list_whole(
        &self,
        room: &Loaded,
        reader: Reader<'_>,
        after: Position,
    ) -> Result<Vec<Whole>> {
        let after = after.max(room.head.saturating_sub(limits::UNREAD_SCANNED_EVENTS));
        let (mut events, mut bytes, mut before) = (Vec::new(), 0, room.head + 1);
        loop {
            let Reader { user_id, ignored, .. } = reader;
            let (range, page) = ((after, before), limits::RULED_PAGE);
            let (sql, scope) = (self.sql(), self.scope());
            let found = unread::list_whole(sql, scope, range, user_id, ignored, page).await?;
            let is_last = (found.len() as u64) < page;
            before = found.last().map_or(before, |it| it.unread.position);
            bytes += found.iter().map(|it| it.json.len()).sum::<usize>();
            events.extend(found);
            let is_full = events.len() as u64 >= limits::UNREAD_EVENTS;
            if is_last || is_full || bytes >= limits::RULED_BYTES {
                return Ok(events);
            }
        }
    }

    /// What rules ask of the room.
    pub(super) async fn asked_of_room(
        &self,
        room: &Loaded,
        reader: Reader<'_>,
        asked: Asked,
    ) -> Result<(Option<String>, Option<PushConditionPowerLevelsCtx>)> {
        let (mut name, mut powers) = (None, None);
        if asked.display_name {
            let member = self.state_event(room, "m.room.member", reader.user_id.as_str()).await?;
            name = member.and_then(|(_, it)| display_name(it.content.get()));
        }
        if asked.powers {
            powers = Some(self.power_levels(room).await?.into());
        }
        Ok((name, powers))
    }
}

/// The display name in the content of a membership.
fn display_name(content: &str) -> Option<String> {
    serde_json::from_str::<RoomMemberEventContent>(content).ok()?.displayname
}

/// What has to be known of the room.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) display_name: bool,
    pub(super) powers: bool,
}

impl Asked {
    fn of(evaluator: &Evaluator, events: &[Whole]) -> Self {
        Self {
            display_name: evaluator.asks_for_display_name(),
            powers: evaluator.asks_for_powers()
                || events.iter().any(|it| notify::may_mention_room(&it.json)),
        }
    }
}

/// Events with what they come to, newest first, as far back as they matter.
fn evaluated(
    evaluator: &Evaluator,
    context: &Context<'_>,
    reader: Reader<'_>,
    events: Vec<Whole>,
) -> Vec<Unread> {
    let mut budget = Budget::default();
    let mut counted = Vec::with_capacity(events.len());
    for Whole { unread, event_id, json, .. } in events {
        if unread.sender == reader.user_id.as_str() {
            // What came before it has been read.
            let is_all_read = unread.thread.is_none();
            counted.push(unread);
            if is_all_read {
                break;
            }
            continue;
        }
        let Some(level) = evaluator.evaluate((&event_id, &json), context, &mut budget) else {
            break;
        };
        let notifies = match level {
            Level::Nothing => continue,
            Level::Notify => 1,
            Level::Highlight => 2,
        };
        counted.push(Unread { notifies, mentions: None, ..unread });
    }
    counted
}
