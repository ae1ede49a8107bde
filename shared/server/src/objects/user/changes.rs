//! What `/sync` asks: what changed since a token, and then that it was read.

use std::collections::BTreeMap;

use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, events::room::member::MembershipState,
};
use serde::Serialize;
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};
use skerry_core::{
    sync_token::SyncToken,
    user_stream::{self, Ask, Change, ReadPlan, RoomRead},
};

use super::{State, User, ephemeral};
use crate::{
    Result,
    messages::{
        RawJson,
        room::Position,
        user::{Changes, GetChanges, Read, RoomChange},
    },
    store::user::{
        account_data::{self, AccountData},
        rooms::{self, RecordedRead},
    },
};

/// Account data as events, by room.
type Events = BTreeMap<String, Vec<RawJson>>;

impl User {
    /// What changed since a token. Writes nothing.
    pub(super) async fn changes(&self, ask: GetChanges) -> Result<Box<Changes>> {
        let mut state = self.lock().await?;
        let device_id = self.authenticate(&mut state, &ask.access_hash).await?.caller.device_id;
        self.find_changes(&mut state, ask, device_id).await
    }

    /// What changed since a token, if anything that a client waits for.
    pub(super) async fn changes_if_any(&self, ask: GetChanges) -> Result<Option<Box<Changes>>> {
        let mut state = self.lock().await?;
        let device_id = self.authenticate(&mut state, &ask.access_hash).await?.caller.device_id;
        let position = state.seq;
        let can_wait = !ask.full_state && ask.since.is_some_and(|it| it.newest() <= position);
        let is_looked_at = ask.looked_at.is_some_and(|it| position <= it);
        if can_wait
            && is_looked_at
            && ask.since.is_some_and(|it| state.ephemeral.since(it).is_empty())
        {
            return Ok(None);
        }
        let changes = self.find_changes(&mut state, ask, device_id).await?;
        Ok((!can_wait || !changes.is_empty()).then_some(changes))
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
        let ephemeral = since.map(|it| state.ephemeral.since(it)).unwrap_or_default();
        let rooms = self.candidates(state, since.filter(|_| !ask.full_state), &ephemeral).await?;
        let mut account_data = self.account_data_since(state, since).await?;
        let ignored_users = self.ignored_users(state).await?;
        if ask.lazy_loads {
            state.sent_members.confirm(&device_id, since);
        }
        let wanted = Ask { since, include_leave: ask.include_leave, full_state: ask.full_state };
        let mut changes = Box::new(Changes::none(
            position,
            state.heard.instance(),
            state.ephemeral.newest(),
            device_id,
        ));
        changes.is_from_beginning = since.is_none();
        changes.account_data = account_data.remove(account_data::GLOBAL).unwrap_or_default();
        let mut candidates = Vec::with_capacity(rooms.len());
        for room in rooms {
            let events = account_data.remove(room.room_id.as_str()).unwrap_or_default();
            let seen = since.and_then(|it| room.marks.seen_by(it));
            let change = user_stream::change(&room.entry, seen, !events.is_empty(), &wanted);
            let is_ephemeral = ephemeral::names(&ephemeral, &room.room_id)
                && room.entry.membership == MembershipState::Join;
            candidates.push(Candidate { room, change, events, seen, is_ephemeral });
        }
        cut_page(&mut changes, &mut candidates, since, ask.limit);
        for candidate in candidates {
            candidate.add(&mut changes, &ignored_users);
        }
        changes.ignored_users = ignored_users;
        self.add_older_account_data(&mut changes, since).await?;
        add_known_members(state, &mut changes, &ask);
        Ok(changes)
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
    ) -> Result<Events> {
        let base = since.map_or(0, |it| it.base);
        let is_quiet = state.account_data_quiet_since.is_some_and(|it| it <= base);
        if is_quiet || base == state.seq {
            return Ok(Events::new());
        }
        let found = account_data::list_since(self.sql(), self.scope(), base).await?;
        if found.is_empty() {
            state.account_data_quiet_since = Some(base);
        }
        to_events(found)
    }

    /// A room that is new to the client comes with all of its account data.
    async fn add_older_account_data(
        &self,
        changes: &mut Changes,
        since: Option<SyncToken>,
    ) -> Result<()> {
        let Some(since) = since else { return Ok(()) };
        let is_new = |it: &&mut RoomChange| it.from.is_none();
        let mut new: Vec<_> =
            changes.joined.iter_mut().chain(&mut changes.left).filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let room_ids: Vec<&RoomId> = new.iter().map(|it| &*it.room_id).collect();
        let (sql, scope) = (self.sql(), self.scope());
        let older = account_data::list_older(sql, scope, &room_ids, since.base).await?;
        let mut older = to_events(older)?;
        for room in &mut new {
            room.account_data.extend(older.remove(room.room_id.as_str()).unwrap_or_default());
        }
        Ok(())
    }

    async fn ignored_users(&self, state: &mut State) -> Result<Vec<OwnedUserId>> {
        if state.ignored_users.is_none() {
            state.ignored_users = Some(self.find_ignored_users().await?);
        }
        Ok(state.ignored_users.clone().unwrap_or_default())
    }

    /// The rooms were read: records how far, where that is further than the token knows already.
    pub(super) async fn read(&self, read: Read) -> Result<SyncToken> {
        let mut state = self.lock().await?;
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
        Ok(token)
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
    fn is_new(&self) -> bool {
        matches!(self.change, Some(Change::Joined { from: None, .. }))
    }

    fn has_events(&self) -> bool {
        matches!(self.change, Some(Change::Joined { has_events: true, .. }))
    }

    fn add(self, changes: &mut Changes, ignored_users: &[OwnedUserId]) {
        let Self { room, change, events, seen, is_ephemeral } = self;
        let to_read = |from, has_events, is_ephemeral| RoomChange {
            room_id: room.room_id.clone(),
            from,
            has_events,
            is_ephemeral,
            account_data: events,
            known_members: Vec::new(),
        };
        match change {
            None if is_ephemeral => changes.joined.push(to_read(seen, true, true)),
            None => {}
            Some(Change::Joined { from, has_events: false }) if is_ephemeral => {
                changes.joined.push(to_read(from, true, true));
            }
            Some(Change::Joined { from, has_events }) => {
                changes.joined.push(to_read(from, has_events, false));
            }
            Some(Change::Left { from }) => changes.left.push(to_read(from, true, false)),
            Some(Change::Invited) if User::is_ignored(ignored_users, &room.sender) => {}
            Some(Change::Invited) => changes.invited.push((room.room_id, room.stripped_state)),
            Some(Change::Knocked) => changes.knocked.push((room.room_id, room.stripped_state)),
        }
    }
}

/// Keeps about as many rooms as are wanted, and makes the changes lead to a token that knows of it:
/// of a client that begins, those who were joined last; of another, those that changed longest ago,
/// so that the position up to which it is told of all comes out smaller.
fn cut_page(
    changes: &mut Changes,
    candidates: &mut Vec<Candidate>,
    since: Option<SyncToken>,
    limit: usize,
) {
    if candidates.iter().filter(|it| it.has_events()).count() <= limit {
        return;
    }
    if since.is_none_or(|it| it.rest.is_some()) {
        candidates.sort_by_key(|it| std::cmp::Reverse(it.room.entry.membership_seq));
        let last = candidates.iter().filter(|it| it.is_new()).nth(limit.saturating_sub(1));
        changes.rest = last.map(|it| it.room.entry.membership_seq);
        let is_given = |it: &Candidate| {
            let lacks = changes.rest.is_some_and(|rest| it.room.entry.membership_seq < rest);
            !(it.is_new() && lacks)
        };
        candidates.retain(is_given);
    } else {
        candidates.sort_by_key(|it| it.room.last_seq);
        let last = candidates.iter().filter(|it| it.has_events()).nth(limit.saturating_sub(1));
        let Some(last_seq) = last.map(|it| it.room.last_seq) else { return };
        changes.position = last_seq.max(since.map_or(0, |it| it.base));
        candidates.retain(|it| !it.has_events() || it.room.last_seq <= last_seq);
    }
}

fn to_events(list: Vec<AccountData>) -> Result<Events> {
    #[derive(Serialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        event_type: &'a str,
        content: &'a RawJsonValue,
    }
    let mut events = Events::new();
    for it in list {
        let content: &RawJsonValue = serde_json::from_str(&it.content)?;
        let event = to_raw_value(&Event { event_type: &it.event_type, content })?;
        events.entry(it.room_id).or_default().push(event);
    }
    Ok(events)
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
