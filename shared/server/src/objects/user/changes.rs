//! What `/sync` asks: what changed since a token, and then that it was read.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, RoomId};
use serde::Serialize;
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};
use skerry_core::{
    sync_token::SyncToken,
    user_stream::{self, Ask, Change, MAX_MARKS_PER_ROOM, RoomRead},
};

use super::{State, User};
use crate::{
    Result,
    messages::{
        RawJson,
        room::Position,
        user::{Changes, GetChanges, Read, RoomChange, StreamPosition},
    },
    ports::Stmt,
    store::user::{
        account_data::{self, AccountData},
        marks, rooms,
    },
};

/// Account data as events, by room.
type Events = BTreeMap<String, Vec<RawJson>>;

impl User {
    /// What changed since a token. Writes nothing.
    pub(super) async fn changes(&self, ask: GetChanges) -> Result<Box<Changes>> {
        let mut state = self.lock().await?;
        let position = state.seq;
        // A token beyond the stream is another server's, or from before a backup was restored.
        let since = ask.since.filter(|it| it.newest() <= position);
        let (sql, scope) = (self.sql(), self.scope());
        let rooms = match since {
            Some(token) if !ask.full_state => rooms::list_changed(sql, scope, token).await?,
            token => rooms::list(sql, scope, token).await?,
        };
        let mut account_data = self.account_data_since(&mut state, since).await?;
        let ignored_users = self.ignored_users(&mut state).await?;
        if let Some(device_id) = &ask.lazy_loads {
            state.sent_members.confirm(device_id, since);
        }
        let wanted = Ask { since, include_leave: ask.include_leave, full_state: ask.full_state };
        let mut changes = Changes {
            position,
            account_data: account_data.remove(account_data::GLOBAL).unwrap_or_default(),
            ..Changes::default()
        };
        for room in rooms {
            let events = account_data.remove(room.room_id.as_str()).unwrap_or_default();
            let change = user_stream::change(&room.entry, room.seen, !events.is_empty(), &wanted);
            let to_read = |from, has_events| RoomChange {
                room_id: room.room_id.clone(),
                from,
                has_events,
                account_data: events,
                known_members: Vec::new(),
            };
            match change {
                None => {}
                Some(Change::Joined { from, has_events }) => {
                    changes.joined.push(to_read(from, has_events));
                }
                Some(Change::Left { from }) => changes.left.push(to_read(from, true)),
                Some(Change::Invited) if Self::is_ignored(&ignored_users, &room.sender) => {}
                Some(Change::Invited) => changes.invited.push((room.room_id, room.stripped_state)),
                Some(Change::Knocked) => changes.knocked.push((room.room_id, room.stripped_state)),
            }
        }
        changes.ignored_users = ignored_users;
        self.add_older_account_data(&mut changes, since).await?;
        add_known_members(&mut state, &mut changes, &ask);
        Ok(Box::new(changes))
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
        let to: BTreeMap<&RoomId, Position> =
            read.rooms.iter().map(|it| (&*it.room_id, it.to)).collect();
        let room_ids: Vec<_> = to.keys().copied().collect();
        let before = match room_ids.is_empty() {
            true => Vec::new(),
            false => rooms::list_before_read(self.sql(), self.scope(), &room_ids, base).await?,
        };
        let (mut marked, mut raised, mut crowded) = (Vec::new(), Vec::new(), Vec::new());
        for room in &before {
            let Some(&to) = to.get(&*room.room_id) else { continue };
            let plan = user_stream::plan_read(&RoomRead {
                to,
                seen_at_base: room.seen_at_base,
                known_position: room.known_position,
            });
            if plan.marks {
                marked.push((&*room.room_id, to));
                if room.marks >= MAX_MARKS_PER_ROOM as u64 {
                    crowded.push(&*room.room_id);
                }
            }
            // A room the user has left tells them nothing more, whatever its position is.
            if plan.raises && room.is_joined {
                state.heard.remove(&room.room_id);
                raised.push(&*room.room_id);
            }
        }
        let mut token = SyncToken::at(base);
        if !marked.is_empty() {
            let (scope, seq) = (self.scope(), state.seq + 1);
            let room_ids: Vec<_> = marked.iter().map(|it| it.0).collect();
            let mut stmts = vec![
                marks::insert_list(scope, &marked, seq)?,
                rooms::update_read_list(scope, &room_ids, seq)?,
            ];
            if !raised.is_empty() {
                stmts.push(rooms::update_known_list(scope, &raised, seq)?);
            }
            stmts.extend(self.thin_out(&crowded, seq).await?);
            self.commit(&mut state, stmts, None).await?;
            token = SyncToken::after_read(base, seq);
            if !raised.is_empty() {
                self.host.wake(seq);
            }
        }
        state.sent_members.insert(&read.device_id, read.rooms, token.newest());
        Ok(token)
    }

    /// Removes marks from rooms that have too many.
    async fn thin_out(&self, rooms: &[&RoomId], seq: StreamPosition) -> Result<Vec<Stmt>> {
        let mut stmts = Vec::new();
        for room_id in rooms {
            let all = marks::list(self.sql(), self.scope(), room_id).await?;
            let dropped = user_stream::thin_out(&all, seq);
            stmts.push(marks::remove_list(self.scope(), room_id, &dropped)?);
        }
        Ok(stmts)
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
    let Some(device_id) = &ask.lazy_loads else { return };
    for room in changes.joined.iter_mut().chain(&mut changes.left) {
        match room.from {
            Some(_) => room.known_members = state.sent_members.list(device_id, &room.room_id),
            None => state.sent_members.forget_room(device_id, &room.room_id),
        }
    }
}
