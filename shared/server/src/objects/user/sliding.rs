//! What changed for a connection of sliding sync ([MSC4186]). Which rooms a client wants, and what
//! of them, is decided in [`skerry_core::sliding_sync`].
//!
//! [MSC4186]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

use std::collections::{BTreeMap, BTreeSet};

use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, events::room::member::MembershipState,
};
use skerry_core::{
    integer,
    sliding_sync::{
        Besides, Connection, Filters, MAX_PROBES, Pos, Request, Step, Wanted, Windows, step, wanted,
    },
    sync_token::SyncToken,
    user_stream::{self, Ask, Change},
};

use super::{
    State, User,
    changes::{AccountDataEvents, to_event},
    connections::{Open, unknown_pos},
    ephemeral, limits,
    room_index::{Indexed, is_listed},
};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::Position,
        user::{AskSliding, Changes, Inbox, SlidingChanges, SlidingRoom},
    },
    store::user::{
        account_data::{self, GLOBAL},
        rooms,
    },
};

impl User {
    /// What changed for a connection. Writes nothing, but that the client has what came before.
    pub(super) async fn sliding_changes(
        &self,
        state: &mut State,
        asked: AskSliding,
        device_id: OwnedDeviceId,
    ) -> Result<Box<Changes>> {
        let key = (device_id.clone(), asked.request.conn_id.clone());
        let (open, pos) = self.resume(state, &asked, &key).await?;
        let found = self.find_sliding(state, &asked, &open.connection, pos, device_id).await;
        // A connection that begins is there when it was given something.
        if pos.is_some() {
            state.connections.keep(key, open);
        }
        found
    }

    /// The connection of a request, where its client is.
    async fn resume(
        &self,
        state: &mut State,
        asked: &AskSliding,
        key: &(OwnedDeviceId, String),
    ) -> Result<(Open, Option<Pos>)> {
        let asked_us = asked.asked_us;
        let Some(text) = &asked.pos else {
            return Ok((Open { connection: Connection::new(asked.nonce), asked_us }, None));
        };
        let pos: Pos = text.parse().map_err(|_| unknown_pos())?;
        let mut open = self.take_connection(state, key).await?.ok_or_else(unknown_pos)?;
        let is_late = open.asked_us > asked_us;
        let is_known = match asked.continues {
            Some(number) => open.connection.is_answered_with(number),
            None => !is_late && open.connection.resume(pos).is_ok(),
        };
        // A backup was restored that is older than what the client has been given.
        let is_ahead = open.connection.token().0.is_some_and(|it| it.newest() > state.seq);
        if is_late || !is_known || is_ahead {
            state.connections.keep(key.clone(), open);
            return Err(unknown_pos());
        }
        open.asked_us = asked_us;
        Ok((open, Some(pos)))
    }

    async fn find_sliding(
        &self,
        state: &mut State,
        asked: &AskSliding,
        connection: &Connection,
        pos: Option<Pos>,
        device_id: OwnedDeviceId,
    ) -> Result<Box<Changes>> {
        // Where the server-default rules have changed, this is news.
        let push_rules = self.push_rules(state).await?.clone();
        let now_ms = self.host.clock().now_ms();
        state.ephemeral.asked(&device_id, now_ms);
        let extensions = &asked.request.extensions;
        let (base, given_us) = connection.token();
        let base = asked.token.or(base);
        let seen = pos.and_then(|it| it.token.ephemeral);
        // Who continues has seen what came meanwhile.
        let seen = asked.token.and_then(|it| it.ephemeral).or(seen);
        let since = base.map(|it| SyncToken { ephemeral: seen, rest: None, ..it });
        let mut changes = self.no_changes(state, device_id.clone());
        changes.is_from_beginning = pos.is_none();
        changes.inbox = self.sliding_inbox(state, asked, &device_id).await?;
        if extensions.e2ee.enabled {
            changes.key_changes = self.key_changes_since(state, since).await?;
            changes.key_counts = self.key_counts(state, &device_id).await?;
        }
        changes.has_new_push_rules = extensions.account_data.enabled
            && since.is_some_and(|it| push_rules.revision > it.base);
        changes.push_rules = push_rules;
        changes.ignored_users = self.ignored_users(state).await?.clone();
        self.refresh_index(state).await?;
        if let Some(places) = &asked.places {
            state.index.place(places, asked.placed_at);
        }
        let mut sliding = SlidingChanges {
            pos: connection.pos().with_ephemeral(state.ephemeral.newest()).to_string(),
            is_initial: pos.is_none(),
            given_us,
            index_version: state.index.version(),
            version: state.index.version() + state.ephemeral.newest().version,
            ..SlidingChanges::default()
        };
        let windows = self.windows(state, asked, connection, &changes.ignored_users);
        if asked.places.is_none() {
            sliding.unplaced = unplaced(state, &asked.request, &windows);
            if !sliding.unplaced.is_empty() {
                changes.sliding = Some(Box::new(sliding));
                return Ok(changes);
            }
        }
        sliding.counts.clone_from(&windows.counts);
        let news = match since {
            Some(since) => state.ephemeral.since(since),
            None => Vec::new(),
        };
        for (room_id, wanted) in &windows.rooms {
            if sliding.rooms.len() >= limits::ROOMS_PER_ANSWER {
                break;
            }
            let is_new = ephemeral::names(&news, room_id);
            let room = sliding_room(state, asked, connection, (room_id, wanted), is_new);
            sliding.rooms.extend(room);
        }
        self.add_stripped(&mut sliding.rooms).await?;
        if extensions.e2ee.enabled {
            sliding.devices = self.rooms_with_devices(state, since).await?;
        }
        if extensions.account_data.enabled {
            let events = self.account_data_since(state, since).await?;
            self.add_account_data(&mut changes, &mut sliding, (events, since), (asked, connection))
                .await?;
        }
        changes.sliding = Some(Box::new(sliding));
        Ok(changes)
    }

    /// What waits for the device, where the client wants it. It has what it says to have.
    async fn sliding_inbox(
        &self,
        state: &mut State,
        asked: &AskSliding,
        device_id: &OwnedDeviceId,
    ) -> Result<Inbox> {
        let wanted = &asked.request.extensions.to_device;
        if !wanted.enabled {
            return Ok(Inbox::default());
        }
        if let Some(since) = &wanted.since {
            let upto = integer::parse(since).ok_or_else(|| {
                Error::invalid_param("`since` of `to_device` is not a `next_batch` of this server")
            })?;
            let token = SyncToken::at(0).with_to_device(Some(upto));
            self.acknowledge(state, device_id, Some(token)).await?;
        }
        let most = wanted.limit.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
        self.inbox_of(state, device_id, most).await
    }

    /// The rooms that the request asks for.
    fn windows(
        &self,
        state: &State,
        asked: &AskSliding,
        connection: &Connection,
        ignored_users: &[OwnedUserId],
    ) -> Windows {
        let rooms = state.index.in_order();
        let given = |room_id: &RoomId| connection.room(room_id).map(|it| it.0.membership_seq);
        let listed: Vec<_> = rooms
            .into_iter()
            .filter(|(room_id, room)| is_listed(room, &self.id, ignored_users, given(room_id)))
            .collect();
        let in_lists = listed.iter().map(|(room_id, room)| (&***room_id, &room.traits));
        let may_subscribe = |room_id: &RoomId| {
            state.index.get(room_id).is_some_and(|room| {
                let was_there = room.entry.read_position.is_some() && !room.entry.forgotten;
                let has_left =
                    matches!(room.entry.membership, MembershipState::Leave | MembershipState::Ban);
                is_listed(room, &self.id, ignored_users, given(room_id)) || (has_left && was_there)
            })
        };
        wanted(&asked.request, &in_lists, may_subscribe, &asked.children)
    }

    /// What invitations and knocks show of their rooms, and how others ended that are not here.
    async fn add_stripped(&self, found: &mut [SlidingRoom]) -> Result<()> {
        let of_row = |it: &&SlidingRoom| it.membership != MembershipState::Join;
        let room_ids: Vec<_> = found.iter().filter(of_row).map(|it| it.room_id.clone()).collect();
        let rows =
            rooms::list_some(self.sql(), self.scope(), room_ids.iter().map(|it| &**it)).await?;
        for row in rows {
            if let Some(room) = found.iter_mut().find(|it| it.room_id == row.room_id) {
                room.stripped_state = row.stripped_state;
                room.ending = row.remote.and_then(|it| it.ending);
            }
        }
        Ok(())
    }

    /// Rooms that may know of devices which have changed, and up to where they were read.
    async fn rooms_with_devices(
        &self,
        state: &State,
        since: Option<SyncToken>,
    ) -> Result<Vec<(OwnedRoomId, Option<Position>)>> {
        if since.is_none() {
            return Ok(begins_to_hear(state));
        }
        let ask = Ask { since, ..Ask::default() };
        let mut found = Vec::new();
        for room in self.candidates(state, since, &[]).await? {
            // A client that begins asks for the keys of those in a room when it is given it: the
            // first that was given it after that was up to date then.
            let began = since.is_some_and(|it| room.entry.membership_seq <= it.base);
            let first = room.marks.oldest().unwrap_or(room.entry.known_position);
            let read = ask.read_position(&room.entry, &room.marks);
            let read = read.or(Some(first).filter(|_| began));
            let change = user_stream::change(&room.entry, read, false, &ask);
            if let Some(Change::Joined { from, .. } | Change::Left { from }) = change {
                found.push((room.room_id, from));
            }
        }
        match found.len() > limits::ROOMS_WITH_DEVICES {
            true => Err(unknown_pos()),
            false => Ok(found),
        }
    }

    /// Adds account data that changed: of no room, of rooms that the client knows, and all of those
    /// that are new to it.
    async fn add_account_data(
        &self,
        changes: &mut Changes,
        sliding: &mut SlidingChanges,
        (mut events, since): (AccountDataEvents, Option<SyncToken>),
        (asked, connection): (&AskSliding, &Connection),
    ) -> Result<()> {
        let scope = &asked.request.extensions.account_data;
        let only = |events: Vec<(u64, RawJson)>| events.into_iter().map(|it| it.1).collect();
        changes.account_data = events.remove(GLOBAL).map(only).unwrap_or_default();
        let covers = |it: &Wanted, room_id: &RoomId| {
            scope.covers(room_id.as_str(), &it.lists, it.is_subscribed)
        };
        let new: Vec<_> = sliding
            .rooms
            .iter()
            .filter(|it| it.from.is_none() && covers(&it.wanted, &it.room_id))
            .map(|it| it.room_id.clone())
            .collect();
        if since.is_some() {
            let room_ids: Vec<&RoomId> = new.iter().map(|it| &**it).collect();
            let mut all = BTreeMap::new();
            for it in account_data::list_of(self.sql(), self.scope(), &room_ids).await? {
                let event = to_event(&it)?;
                all.entry(it.room_id).or_insert_with(Vec::new).push((0, event));
            }
            events.extend(all);
        }
        for (room_id, events) in events {
            let Ok(room_id) = RoomId::parse(room_id) else { continue };
            let wanted = sliding.rooms.iter().find(|it| it.room_id == room_id);
            let is_wanted = match wanted {
                Some(room) => covers(&room.wanted, &room_id),
                // It was given once: what is not told now would never be.
                None => since.is_some() && connection.room(&room_id).is_some(),
            };
            if is_wanted {
                sliding.account_data.insert(room_id, only(events));
            }
        }
        Ok(())
    }
}

/// Rooms that have to say where they stand, because it is not sure without which rooms are shown: a
/// bounded number of them, those first in which something happened last. Where all that are not
/// sure are shown anyway, none has to.
fn unplaced(state: &State, request: &Request, windows: &Windows) -> Vec<OwnedRoomId> {
    let has =
        |looks_at: fn(&Filters) -> bool| request.lists.values().any(|it| looks_at(&it.filters));
    let (types, encryption) = (has(Filters::looks_at_types), has(|it| it.is_encrypted.is_some()));
    if !windows.is_partial && !types && !encryption {
        return Vec::new();
    }
    let is_unsure = |it: &Indexed| {
        let may_be_encrypted = encryption && !it.traits.is_encrypted;
        let is_unplaced = (windows.is_partial || may_be_encrypted) && !it.is_placed;
        is_unplaced || ((types || encryption) && !it.has_facts)
    };
    let rooms = state.index.in_order().into_iter().filter(|(_, room)| is_unsure(room));
    let rooms: Vec<_> = rooms.map(|(room_id, _)| room_id).collect();
    let shown: BTreeSet<_> = windows.rooms.iter().map(|(room_id, _)| room_id).collect();
    match rooms.iter().all(|it| shown.contains(it)) {
        true => Vec::new(),
        false => rooms.into_iter().take(MAX_PROBES).cloned().collect(),
    }
}

/// Encrypted rooms that would not tell of devices, because nobody has read them to their end: from
/// now on they do. A bounded number; the others tell when they are given.
fn begins_to_hear(state: &State) -> Vec<(OwnedRoomId, Option<Position>)> {
    // Nothing has changed since for a client that begins.
    let from = Some(integer::MAX_SAFE);
    let rooms = state.index.in_order().into_iter().filter(|(_, room)| {
        room.entry.is_unread() && (room.traits.is_encrypted || !room.has_facts)
    });
    let rooms = rooms.map(|(room_id, _)| (room_id.clone(), from));
    rooms.take(limits::ROOMS_WITH_DEVICES).collect()
}

/// What is to be given of a room, if anything.
fn sliding_room(
    state: &State,
    asked: &AskSliding,
    connection: &Connection,
    (room_id, wanted): (&OwnedRoomId, &Wanted),
    is_ephemeral: bool,
) -> Option<SlidingRoom> {
    let Indexed { entry, active_us, traits, .. } = state.index.get(room_id)?;
    let extensions = &asked.request.extensions;
    let (lists, is_subscribed) = (&*wanted.lists, wanted.is_subscribed);
    let receipts = extensions.receipts.covers(room_id.as_str(), lists, is_subscribed);
    let typing = extensions.typing.covers(room_id.as_str(), lists, is_subscribed);
    let besides = Besides {
        is_dm: traits.is_dm,
        receipts,
        is_ephemeral: is_ephemeral && (receipts || typing),
    };
    let given = connection.room(room_id);
    let Step {
        from,
        is_stripped: _,
        expands,
        added,
        receipts_from,
        is_read,
        is_ephemeral,
        dm_changed,
    } = step(entry, wanted, given, besides)?;
    Some(SlidingRoom {
        room_id: room_id.clone(),
        membership: entry.membership.clone(),
        membership_seq: entry.membership_seq,
        wanted: wanted.clone(),
        had_limit: given.map_or(0, |it| it.0.timeline_limit),
        from,
        expands,
        added_state: added,
        receipts,
        receipts_from,
        typing,
        is_read,
        is_ephemeral,
        is_dm: traits.is_dm,
        tells_dm: dm_changed,
        active_us: *active_us,
        stripped_state: Vec::new(),
        ending: None,
    })
}
