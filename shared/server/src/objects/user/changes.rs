//! What `/sync` asks: what changed since a token, and then that it was read.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, events::room::member::MembershipState,
};
use serde::Serialize;
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};
use skerry_core::{
    gather::Gather as _,
    presence::Status,
    sync_token::SyncToken,
    user_stream::{self, Ask, Change, Page, ReadPlan, RoomRead},
};

use super::{State, User, ephemeral};
use crate::{
    Result,
    messages::{
        RawJson,
        room::Position,
        user::{Changes, GetChanges, Read, Recorded, Reply, RoomChange, StreamPosition},
    },
    objects::Answer,
    store::user::{
        account_data::{self, AccountData},
        rooms::{self, RecordedRead},
    },
};

/// Account data as events, by room, each with the position of the stream at which it changed.
type AccountDataEvents = BTreeMap<String, Vec<(StreamPosition, RawJson)>>;

impl User {
    /// What changed since a token. Writes nothing, but that the client has what came with it.
    pub(super) async fn changes(self: &Arc<Self>, ask: GetChanges) -> Result<Box<Changes>> {
        let mut state = self.lock().await?;
        let device_id = self.authenticate(&mut state, &ask.access_hash).await?.caller.device_id;
        if let Some(asked) = ask.presence.clone() {
            self.presence_of_asking(&mut state, &device_id, asked).await?;
        }
        self.find_changes(&mut state, ask, device_id).await
    }

    /// What changed since a token, and whether it is anything that a client waits for.
    pub(super) async fn changes_if_any(self: &Arc<Self>, ask: GetChanges) -> Result<Answer<Reply>> {
        let mut state = self.lock().await?;
        let device_id = self.authenticate(&mut state, &ask.access_hash).await?.caller.device_id;
        if let Some(asked) = ask.presence.clone() {
            self.presence_of_asking(&mut state, &device_id, asked).await?;
        }
        let position = state.seq;
        let can_wait = !ask.full_state && ask.since.is_some_and(|it| it.newest() <= position);
        let is_looked_at = ask.looked_at.is_some_and(|it| position <= it);
        if can_wait
            && is_looked_at
            && let Some(since) = ask.since
            && state.ephemeral.since(since).is_empty()
            && self.new_statuses(&mut state, Some(since)).is_empty()
        {
            let key_counts = self.key_counts(&mut state, &device_id).await?;
            let nothing = Changes { key_counts, ..*self.no_changes(&state, device_id) };
            return Ok(Answer::NothingNew(Reply::GetChanges(Box::new(nothing))));
        }
        let changes = self.find_changes(&mut state, ask, device_id).await?;
        Ok(match can_wait && changes.is_empty() {
            true => Answer::NothingNew(Reply::GetChanges(changes)),
            false => Answer::News(Reply::GetChanges(changes)),
        })
    }

    /// No changes for a device, up to now.
    fn no_changes(&self, state: &State, device_id: OwnedDeviceId) -> Box<Changes> {
        Box::new(Changes::none(
            state.seq,
            self.host.clock().instant_us(),
            state.heard.instance(),
            state.ephemeral.newest(),
            device_id,
        ))
    }

    async fn find_changes(
        &self,
        state: &mut State,
        ask: GetChanges,
        device_id: OwnedDeviceId,
    ) -> Result<Box<Changes>> {
        let position = state.seq;
        // A token beyond the stream is another server's, or from before a backup was restored.
        let since = ask.since.filter(|it| it.newest() <= position);
        state.ephemeral.asked(&device_id, self.host.clock().now_ms());
        self.acknowledge(state, &device_id, since).await?;
        let inbox = self.inbox(state, &device_id).await?;
        let ephemeral = since.map(|it| state.ephemeral.since(it)).unwrap_or_default();
        let statuses = self.new_statuses(state, since);
        let rooms = self.candidates(state, since.filter(|_| !ask.full_state), &ephemeral).await?;
        let mut account_data = self.account_data_since(state, since).await?;
        let ignored_users = self.ignored_users(state).await?.clone();
        let key_changes = self.key_changes_since(state, since).await?;
        let key_counts = self.key_counts(state, &device_id).await?;
        if ask.lazy_loads {
            state.sent_members.confirm(&device_id, since);
        }
        let wanted = Ask { since, include_leave: ask.include_leave, full_state: ask.full_state };
        let mut changes = self.no_changes(state, device_id);
        changes.is_from_beginning = since.is_none();
        changes.statuses = statuses;
        changes.has_lost_statuses = since.is_some_and(|it| state.ephemeral.given(it).is_none());
        changes.inbox = inbox;
        (changes.key_changes, changes.key_counts) = (key_changes, key_counts);
        let global = account_data.remove(account_data::GLOBAL).unwrap_or_default();
        changes.account_data = unseen(global, since.map(|it| it.base));
        let mut candidates = Vec::with_capacity(rooms.len());
        for room in rooms {
            let seen = wanted.read_position(&room.entry, &room.marks);
            let events = account_data.remove(room.room_id.as_str()).unwrap_or_default();
            let known = since.and_then(|it| it.seen_of(room.entry.membership_seq));
            let events = unseen(events, known.map(|it| it.base));
            let change = user_stream::change(&room.entry, seen, !events.is_empty(), &wanted);
            let is_ephemeral = ephemeral::names(&ephemeral, &room.room_id)
                && room.entry.membership == MembershipState::Join;
            candidates.push(Candidate { room, change, events, seen, is_ephemeral });
        }
        let to_page: Vec<_> = candidates.iter().filter_map(Candidate::to_page).collect();
        let page = Page::cut(&to_page, &wanted, ask.limit);
        changes.rest = page.rest;
        for candidate in candidates {
            if candidate.to_page().is_none_or(|it| page.gives(&it)) {
                candidate.add(&mut changes, &ignored_users);
            }
        }
        changes.ignored_users = ignored_users;
        self.add_account_data_of_new(&mut changes, since).await?;
        add_known_members(state, &mut changes, &ask);
        Ok(changes)
    }

    /// Statuses that are new to a client with this token; all, where there is none.
    fn new_statuses(&self, state: &mut State, token: Option<SyncToken>) -> Vec<Status> {
        let given = token.and_then(|it| state.ephemeral.given(it)).unwrap_or(0);
        state.statuses_since(given, self.host.clock().now_ms())
    }

    /// The rooms that may have something new for a token.
    async fn candidates(
        &self,
        state: &State,
        since: Option<SyncToken>,
        ephemeral: &[OwnedRoomId],
    ) -> Result<Vec<rooms::Room>> {
        let (sql, scope) = (self.sql(), self.scope());
        match since.and_then(|it| state.changed.since(it)) {
            Some(mut candidates) => {
                candidates.extend(ephemeral.iter().cloned());
                rooms::list_some(sql, scope, candidates.iter().map(|it| &**it)).await
            }
            None => rooms::list(sql, scope).await,
        }
    }

    async fn account_data_since(
        &self,
        state: &mut State,
        since: Option<SyncToken>,
    ) -> Result<AccountDataEvents> {
        let oldest = since.map_or(0, |it| it.oldest());
        let is_quiet = state.account_data_quiet_since.is_some_and(|it| it <= oldest);
        if is_quiet || oldest == state.seq {
            return Ok(AccountDataEvents::new());
        }
        let found = account_data::list_since(self.sql(), self.scope(), oldest).await?;
        if found.is_empty() {
            state.account_data_quiet_since = Some(oldest);
        }
        let mut events = AccountDataEvents::new();
        for (seq, it) in found {
            let event = to_event(&it)?;
            events.entry(it.room_id).or_default().push((seq, event));
        }
        Ok(events)
    }

    /// A room that is new to the client comes with all of its account data.
    async fn add_account_data_of_new(
        &self,
        changes: &mut Changes,
        since: Option<SyncToken>,
    ) -> Result<()> {
        if since.is_none() {
            return Ok(());
        }
        let is_new = |it: &&mut RoomChange| it.from.is_none();
        let mut new: BTreeMap<_, _> = changes
            .joined
            .iter_mut()
            .chain(&mut changes.left)
            .filter(is_new)
            .map(|it| (it.room_id.to_string(), (it.room_id.clone(), &mut it.account_data)))
            .gather();
        if new.is_empty() {
            return Ok(());
        }
        let room_ids: Vec<&RoomId> = new.values().map(|(room_id, _)| &**room_id).collect();
        let found = account_data::list_of(self.sql(), self.scope(), &room_ids).await?;
        for (_, events) in new.values_mut() {
            events.clear();
        }
        for it in found {
            if let Some((_, events)) = new.get_mut(&it.room_id) {
                events.push(to_event(&it)?);
            }
        }
        Ok(())
    }

    /// The rooms were read: records how far, where that is further than the token knows already.
    pub(super) async fn read(self: &Arc<Self>, read: Read) -> Result<Recorded> {
        let mut state = self.lock().await?;
        if let Some(at_ms) = read.active_ms {
            self.presence_of_acting(&mut state, at_ms).await?;
        }
        let base = read.position.min(state.seq);
        let seq = state.seq + 1;
        let room_ids = read.rooms.iter().map(|it| &*it.room_id);
        let before = rooms::list_some(self.sql(), self.scope(), room_ids).await?;
        let is_same_instance = read.instance == state.heard.instance();
        let mut plans = Vec::with_capacity(before.len());
        for room in &before {
            let to = read.rooms.iter().find(|it| it.room_id == room.room_id).map_or(0, |it| it.to);
            let dropped = state.heard.dropped(&room.room_id);
            let read = RoomRead { to, base, dropped, is_same_instance };
            let plan = user_stream::plan_read(&room.entry, &room.marks, &read, seq);
            plans.extend(plan.map(|plan| (&*room.room_id, plan)));
        }
        let mut token = SyncToken::at(base);
        if !plans.is_empty() {
            self.record(&mut state, &plans).await?;
            token = SyncToken::after_read(base, seq);
        }
        state.sent_members.insert(&read.device_id, read.rooms, token.newest());
        let inbox = self.inbox(&mut state, &read.device_id).await?;
        Ok(Recorded { token, inbox })
    }

    async fn record(&self, state: &mut State, plans: &[(&RoomId, ReadPlan)]) -> Result<()> {
        let seq = state.seq + 1;
        let recorded = plans.iter().map(|(room_id, plan)| {
            let entry = &plan.entry;
            let (known_position, known_seq) = (entry.known_position, entry.known_seq);
            RecordedRead(room_id, &plan.marks, entry.read_position, known_position, known_seq)
        });
        let recorded: Vec<_> = recorded.collect();
        let stmt = rooms::update_read_list(self.scope(), &recorded, seq)?;
        self.commit_step(state, vec![stmt], None).await?;
        for (room_id, plan) in plans {
            let room_id = (*room_id).to_owned();
            state.heard.recorded(&room_id, plan);
            state.changed.changed(&room_id, seq, plan.entry.is_unread());
        }
        if plans.iter().any(|(_, plan)| plan.raises) {
            self.host.wake();
        }
        Ok(())
    }
}

/// A room of which a client may be given something.
struct Candidate {
    room: rooms::Room,
    change: Option<Change>,
    /// Its account data that changed.
    events: Vec<RawJson>,
    /// How far the client has read it.
    seen: Option<Position>,
    /// Whether receipts or typing may be new.
    is_ephemeral: bool,
}

impl Candidate {
    /// What its place on a page depends on.
    fn to_page(&self) -> Option<user_stream::Candidate> {
        let membership_seq = self.room.entry.membership_seq;
        self.change.map(|change| user_stream::Candidate { change, membership_seq })
    }

    fn add(self, changes: &mut Changes, ignored_users: &[OwnedUserId]) {
        let Self { room, change, events, seen, is_ephemeral } = self;
        let to_read = |from, has_events, is_ephemeral| RoomChange {
            room_id: room.room_id.clone(),
            from,
            has_events,
            is_ephemeral,
            membership_seq: room.entry.membership_seq,
            account_data: events,
            known_members: Vec::new(),
            ending: None,
        };
        let ending = room.remote.and_then(|it| it.ending);
        match change {
            None if is_ephemeral => changes.joined.push(to_read(seen, true, true)),
            None => {}
            Some(Change::Joined { from, has_events: false }) if is_ephemeral => {
                changes.joined.push(to_read(from, true, true));
            }
            Some(Change::Joined { from, has_events }) => {
                changes.joined.push(to_read(from, has_events, false));
            }
            Some(Change::Left { from }) => {
                changes.left.push(RoomChange { ending, ..to_read(from, true, false) });
            }
            Some(Change::Invited) if User::is_ignored(ignored_users, &room.sender) => {}
            Some(Change::Invited) => changes.invited.push((room.room_id, room.stripped_state)),
            Some(Change::Knocked) => changes.knocked.push((room.room_id, room.stripped_state)),
        }
    }
}

/// Those that changed after a position; all, where there is none.
fn unseen(events: Vec<(StreamPosition, RawJson)>, since: Option<StreamPosition>) -> Vec<RawJson> {
    let is_unseen = |seq| since.is_none_or(|since| seq > since);
    events.into_iter().filter(|(seq, _)| is_unseen(*seq)).map(|(_, event)| event).collect()
}

fn to_event(it: &AccountData) -> Result<RawJson> {
    #[derive(Serialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        event_type: &'a str,
        content: &'a RawJsonValue,
    }
    let content: &RawJsonValue = serde_json::from_str(&it.content)?;
    Ok(to_raw_value(&Event { event_type: &it.event_type, content })?)
}

fn add_known_members(state: &mut State, changes: &mut Changes, ask: &GetChanges) {
    if !ask.lazy_loads {
        return;
    }
    let device_id = changes.device_id.clone();
    let device_id = &device_id;
    for room in changes.joined.iter_mut().chain(&mut changes.left) {
        match room.from {
            Some(_) => room.known_members = state.sent_members.list(device_id, &room.room_id),
            None => state.sent_members.forget_room(device_id, &room.room_id),
        }
    }
}
