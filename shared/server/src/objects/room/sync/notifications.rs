//! What of a room is in the list of a member's notifications ([`skerry_core::notifications`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ruma::push::Action;
use skerry_core::push_rules::evaluate::{Budget, Context, Evaluator, Level};

use super::{
    ruled::Asked,
    start_of_stay,
    unread::{MAIN, Reader},
};
use crate::{
    Result,
    messages::{
        Requester,
        room::{ListNotifications, Notification, Notifications, Position},
    },
    objects::room::{
        Room, limits,
        loaded::{Loaded, memory::Tally},
    },
    store::room::{
        events, stored_us,
        unread::{self, Whole},
    },
};

/// An event that notifies.
struct Found {
    position: Position,
    thread: Option<String>,
    actions: Vec<Action>,
    stored_us: u64,
}

/// What has been found so far.
struct Search<'a> {
    ask: &'a ListNotifications,
    evaluator: Evaluator,
    budget: Budget,
    /// Where the next page of events begins.
    before: Position,
    found: Vec<Found>,
    looked_at: usize,
    bytes: usize,
    last_us: Option<u64>,
    looked_back_to_us: Option<u64>,
}

/// How far a member has read.
struct Read {
    everywhere: Position,
    by_thread: BTreeMap<String, Position>,
}

impl Room {
    /// What notifies a member, back from an instant.
    pub(in crate::objects::room) async fn list_notifications(
        self: &Arc<Self>,
        ask: ListNotifications,
    ) -> Result<Box<Notifications>> {
        let room = self.read().await?;
        let user_id = &ask.caller.user_id;
        self.check_joined(&room, user_id).await?;
        let view = self.view_in_sync(&room, user_id).await?;
        let joined_at = start_of_stay(&view.timeline.memberships);
        let reader = Reader::new(user_id, &ask.ignored_users);
        let search = self.search_notifications(&room, reader, &ask, joined_at).await?;
        let read = match search.found.is_empty() {
            true => Read { everywhere: 0, by_thread: BTreeMap::new() },
            false => self.read_by(reader, joined_at).await?,
        };
        let requester = Requester::User(ask.caller.clone());
        let audience = self.audience(&room, &requester, &view.timeline).in_sync(false);
        let nums: Vec<_> = search.found.iter().map(|it| it.position).collect();
        let stored = events::list(self.sql(), self.scope(), &nums).await?;
        let rendered = self.render(audience, &stored).await?;
        let nums = stored.iter().map(|it| it.num);
        let mut rendered: HashMap<_, _> = nums.zip(rendered).collect();
        let notifications = search.found.into_iter().filter_map(|found| {
            let event = rendered.remove(&found.position)?;
            let is_read = read.has(&found);
            let Found { actions, stored_us, .. } = found;
            Some(Notification { event, actions, is_read, stored_us })
        });
        Ok(Box::new(Notifications {
            notifications: notifications.collect(),
            looked_back_to_us: search.looked_back_to_us,
            searched_kib: u32::try_from(search.bytes / 1024).unwrap_or(u32::MAX),
        }))
    }

    async fn search_notifications<'a>(
        &self,
        room: &Loaded,
        reader: Reader<'_>,
        ask: &'a ListNotifications,
        joined_at: Position,
    ) -> Result<Search<'a>> {
        let (sql, scope) = (self.sql(), self.scope());
        let Reader { user_id, ignored, .. } = reader;
        let evaluator = Evaluator::new(ask.push_rules.as_ref(), user_id, &self.id);
        let asked = Asked { display_name: evaluator.asks_for_display_name(), powers: true };
        let (name, powers) = self.asked_of_room(room, reader, asked).await?;
        let context = Context {
            room_id: &self.id,
            member_count: room.joined,
            display_name: name.as_deref(),
            power_levels: powers.as_ref(),
        };
        let before = match ask.before_us {
            Some(at_us) => stored_us::find_position_before(sql, scope, at_us).await? + 1,
            None => room.head + 1,
        };
        let mut search = Search::new(ask, evaluator, before);
        if search.evaluator.constant() == Some(Level::Nothing) {
            return Ok(search);
        }
        for _ in 0..limits::NOTIFICATION_RANGES {
            // What cannot notify is passed over without a look, and may be much.
            let after = search.before.saturating_sub(limits::NOTIFICATION_POSITIONS).max(joined_at);
            let (range, page) = ((after, search.before), limits::NOTIFICATION_EVENTS);
            let events =
                unread::list_whole(sql, scope, range, user_id, ignored, page as u64).await?;
            let is_whole = events.len() < page;
            for event in events {
                if !search.look_at(event, &context, reader) {
                    return Ok(search);
                }
            }
            if is_whole {
                let next = unread::find_before(sql, scope, after + 1).await?;
                let Some((position, at_us)) = next.filter(|(it, _)| *it > joined_at) else {
                    search.looked_back_to_us = None;
                    return Ok(search);
                };
                search.before = position + 1;
                search.looked_back_to_us = Some(at_us + 1);
            } else {
                search.looked_back_to_us = search.last_us;
            }
        }
        Ok(search)
    }

    /// How far a member has read: by receipts, and by what they have sent.
    async fn read_by(&self, reader: Reader<'_>, joined_at: Position) -> Result<Read> {
        let tally = self.new_tally(reader, joined_at).await?;
        let Tally { everywhere, by_thread, .. } = tally;
        let mut read = Read { everywhere, by_thread };
        let (sql, scope) = (self.sql(), self.scope());
        let scanned = limits::UNREAD_SCANNED_EVENTS;
        let own = unread::list_last_own(sql, scope, joined_at, reader.user_id, scanned).await?;
        for (thread, position) in own {
            let at = match thread {
                Some(thread) => read.by_thread.entry(thread).or_default(),
                None => &mut read.everywhere,
            };
            *at = position.max(*at);
        }
        Ok(read)
    }
}

impl Read {
    fn has(&self, it: &Found) -> bool {
        let of_thread = self.by_thread.get(it.thread.as_deref().unwrap_or(MAIN));
        it.position <= self.everywhere || of_thread.is_some_and(|read| it.position <= *read)
    }
}

impl<'a> Search<'a> {
    fn new(ask: &'a ListNotifications, evaluator: Evaluator, before: Position) -> Self {
        Self {
            ask,
            evaluator,
            budget: Budget::default(),
            before,
            found: Vec::new(),
            looked_at: 0,
            bytes: 0,
            last_us: None,
            looked_back_to_us: None,
        }
    }

    /// Looks at the next event. Whether there may be another one.
    fn look_at(&mut self, event: Whole, context: &Context<'_>, reader: Reader<'_>) -> bool {
        let is_full = self.found.len() as u64 >= self.ask.limit
            || self.looked_at >= limits::NOTIFICATION_EVENTS
            || self.bytes >= limits::RULED_BYTES;
        // What was stored at one instant is looked at together: the next page is before it.
        if is_full && self.last_us.is_some_and(|it| event.stored_us < it) {
            self.looked_back_to_us = self.last_us;
            return false;
        }
        let Whole { unread, event_id, json, stored_us } = event;
        self.looked_at += 1;
        self.bytes += json.len();
        self.last_us = Some(stored_us);
        self.before = unread.position;
        if unread.sender == reader.user_id.as_str() {
            return true;
        }
        let Self { evaluator, budget, .. } = self;
        let actions = evaluator.actions((&event_id, &json), context, budget).unwrap_or_default();
        let is_loud = actions.iter().any(Action::is_highlight);
        let notifies = actions.iter().any(Action::should_notify);
        if notifies && (is_loud || !self.ask.highlights_only) {
            let (position, thread) = (unread.position, unread.thread);
            self.found.push(Found { position, thread, actions, stored_us });
        }
        true
    }
}
