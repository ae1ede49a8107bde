//! An answer in the making. ruma's has not all of what the proposal names by now: what has two
//! names is there under both.

use std::collections::BTreeMap;

use ruma::{OneTimeKeyAlgorithm, OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde::Serialize;
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry_core::{
    client_event::{self, Rendered, Unsigned},
    push_rules,
    sliding_sync::Request,
};

use super::read_rooms::Read;
use crate::{
    Result,
    api::patched::Json,
    messages::{
        Caller, RawJson,
        room::{DeviceChanges, Hero, RoomSlide},
        user::{Ending, Inbox, KeyCounts, PushRules, SlidingRoom},
    },
};

/// An answer in the making.
pub(super) struct Builder<'a> {
    request: &'a Request,
    response: Response<'a>,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_id: Option<&'a str>,
    pos: String,
    lists: BTreeMap<String, List>,
    rooms: BTreeMap<OwnedRoomId, Room>,
    extensions: Extensions,
}

#[derive(Serialize)]
struct List {
    count: u64,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Default, Serialize)]
struct Room {
    #[serde(skip_serializing_if = "Option::is_none")]
    bump_stamp: Option<u64>,
    membership: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lists: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    initial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<JsonValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<JsonValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heroes: Option<Vec<Hero>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_dm: Option<bool>,
    #[serde(skip_serializing_if = "is_false")]
    expanded_timeline: bool,
    #[serde(skip_serializing_if = "is_false")]
    unstable_expanded_timeline: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_state: Vec<RawJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timeline: Vec<RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_live: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_state: Option<Vec<RawJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripped_state: Option<Vec<RawJson>>,
}

#[derive(Default, Serialize)]
struct Extensions {
    #[serde(skip_serializing_if = "Option::is_none")]
    to_device: Option<ToDevice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e2ee: Option<E2ee>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_data: Option<AccountData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<Ephemeral>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing: Option<Ephemeral>,
}

#[derive(Serialize)]
struct ToDevice {
    next_batch: String,
    events: Vec<RawJson>,
}

#[expect(clippy::struct_field_names, reason = "as the proposal calls them")]
#[derive(Default, Serialize)]
struct E2ee {
    #[serde(skip_serializing_if = "Option::is_none")]
    device_lists: Option<DeviceLists>,
    device_one_time_keys_count: BTreeMap<String, u64>,
    device_unused_fallback_key_types: Vec<String>,
}

#[derive(Serialize)]
struct DeviceLists {
    changed: Vec<OwnedUserId>,
    left: Vec<OwnedUserId>,
}

#[derive(Default, Serialize)]
struct AccountData {
    global: Vec<RawJson>,
    rooms: BTreeMap<OwnedRoomId, Vec<RawJson>>,
}

#[derive(Default, Serialize)]
struct Ephemeral {
    rooms: BTreeMap<OwnedRoomId, RawJson>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(it: &bool) -> bool {
    !it
}

impl<'a> Builder<'a> {
    /// An answer to a request, in whose lists there are so many rooms.
    pub(super) fn new(request: &'a Request, counts: BTreeMap<String, u64>) -> Self {
        let lists = counts.into_iter().map(|(name, count)| (name, List { count })).collect();
        let wanted = &request.extensions;
        let since = wanted.to_device.since.clone().unwrap_or_else(|| "0".to_owned());
        let extensions = Extensions {
            to_device: wanted
                .to_device
                .enabled
                .then(|| ToDevice { next_batch: since, events: Vec::new() }),
            e2ee: wanted.e2ee.enabled.then(E2ee::default),
            account_data: wanted.account_data.enabled.then(AccountData::default),
            receipts: wanted.receipts.enabled.then(Ephemeral::default),
            typing: wanted.typing.enabled.then(Ephemeral::default),
        };
        let txn_id = request.txn_id.as_deref();
        let (pos, rooms) = (String::new(), BTreeMap::new());
        Self { request, response: Response { txn_id, pos, lists, rooms, extensions } }
    }

    /// Whether there is nothing in it that a client waits for.
    pub(super) fn is_empty(&self) -> bool {
        let Extensions { to_device, e2ee, account_data, receipts, typing } =
            &self.response.extensions;
        let has_ephemeral = [receipts, typing].into_iter().flatten().any(|it| !it.rooms.is_empty());
        self.response.rooms.is_empty()
            && to_device.as_ref().is_none_or(|it| it.events.is_empty())
            && e2ee.as_ref().is_none_or(|it| it.device_lists.is_none())
            && account_data.as_ref().is_none_or(|it| it.global.is_empty() && it.rooms.is_empty())
            && !has_ephemeral
    }

    /// The answer.
    pub(super) fn finish(mut self, pos: String) -> Result<Json> {
        self.response.pos = pos;
        Ok(Json::of(&self.response)?)
    }

    /// Adds how many keys the device has left.
    pub(super) fn add_key_counts(&mut self, counts: KeyCounts) {
        let Some(e2ee) = &mut self.response.extensions.e2ee else { return };
        let KeyCounts { one_time_keys, unused_fallback } = counts;
        // Clients take a missing count for an old server's.
        let none = (OneTimeKeyAlgorithm::SignedCurve25519.to_string(), 0);
        e2ee.device_one_time_keys_count = [none].into_iter().chain(one_time_keys).collect();
        e2ee.device_unused_fallback_key_types = unused_fallback;
    }

    /// Adds of whom keys are to be asked for anew.
    pub(super) fn add_devices(&mut self, changes: DeviceChanges) {
        let Some(e2ee) = &mut self.response.extensions.e2ee else { return };
        let DeviceChanges { changed, left } = changes;
        let is_empty = changed.is_empty() && left.is_empty();
        e2ee.device_lists = (!is_empty).then_some(DeviceLists { changed, left });
    }

    /// Adds messages to the device.
    pub(super) fn add_to_device(&mut self, inbox: Inbox) {
        let Some(to_device) = &mut self.response.extensions.to_device else { return };
        if let Some(upto) = inbox.upto {
            to_device.next_batch = upto.to_string();
        }
        to_device.events = inbox.events;
    }

    /// Adds account data, the push rules with it where the client does not know them.
    pub(super) fn add_account_data(
        &mut self,
        caller: &Caller,
        rules: Option<&PushRules>,
        mut global: Vec<RawJson>,
        rooms: BTreeMap<OwnedRoomId, Vec<RawJson>>,
    ) -> Result<()> {
        let Some(account_data) = &mut self.response.extensions.account_data else { return Ok(()) };
        if let Some(PushRules { rules, .. }) = rules {
            let content = json!({ "global": push_rules::render(&rules.all(&caller.user_id))? });
            let event = json!({ "type": "m.push_rules", "content": content });
            global.push(to_raw_value(&event)?);
        }
        *account_data = AccountData { global, rooms };
        Ok(())
    }

    /// Adds a room, unless there is nothing to see of it.
    pub(super) fn add_room(&mut self, caller: &Caller, read: Read, now_ms: u64) -> Result<()> {
        let Read { room, slide } = read;
        let room_id = room.room_id.clone();
        let is_initial = room.from.is_none();
        let shown = match (&room.membership, slide) {
            (MembershipState::Invite | MembershipState::Knock, _) => Some(stripped(&room)),
            (_, Some(mut slide)) => {
                self.add_ephemeral(&room_id, &mut slide);
                let is_seen = is_initial || room.tells_dm || has_something(caller, &room, &slide);
                is_seen.then(|| given(&room, *slide))
            }
            (MembershipState::Join, None) => Some(Room::default()),
            (_, None) => Some(ended(room.ending.as_ref(), now_ms)?),
        };
        let Some(shown) = shown else { return Ok(()) };
        let is_dm = (room.tells_dm || (is_initial && room.is_dm)).then_some(room.is_dm);
        let membership = room.membership.to_string();
        let lists = room.wanted.lists;
        let shown = Room { membership, lists, is_dm, ..shown };
        self.response.rooms.insert(room_id, shown);
        debug_assert!(self.request.lists.len() >= self.response.lists.len());
        Ok(())
    }

    fn add_ephemeral(&mut self, room_id: &OwnedRoomId, slide: &mut RoomSlide) {
        let Extensions { receipts, typing, .. } = &mut self.response.extensions;
        if let (Some(receipts), Some(it)) = (receipts, &slide.receipts) {
            receipts.rooms.insert(room_id.clone(), it.clone());
        }
        if let (Some(typing), Some(it)) = (typing, slide.typing.take()) {
            typing.rooms.insert(room_id.clone(), it);
        }
    }
}

/// Whether there is anything to see of a room that the client knows. Their own receipt changes what
/// is unread.
fn has_something(caller: &Caller, room: &SlidingRoom, slide: &RoomSlide) -> bool {
    let is_own = |it: &RawJson| it.get().contains(caller.user_id.as_str());
    !slide.is_joined
        || room.expands
        || slide.limited
        || !slide.timeline.is_empty()
        || !slide.required_state.is_empty()
        || slide.shown.is_some()
        || slide.counts.is_some()
        || slide.heroes.is_some()
        || slide.receipts.as_ref().is_some_and(is_own)
}

/// What is given of an invitation or a knock.
fn stripped(room: &SlidingRoom) -> Room {
    Room {
        initial: true,
        bump_stamp: Some(room.active_us),
        invite_state: Some(room.stripped_state.clone()),
        stripped_state: Some(room.stripped_state.clone()),
        ..Room::default()
    }
}

/// What is given of a room that was read.
fn given(room: &SlidingRoom, slide: RoomSlide) -> Room {
    let initial = room.from.is_none();
    let expanded = room.expands && !initial;
    let has_page = initial || slide.limited || !slide.timeline.is_empty();
    let mut given = Room {
        initial,
        bump_stamp: Some(if slide.is_joined { slide.bump_us } else { room.active_us }),
        expanded_timeline: expanded,
        unstable_expanded_timeline: expanded,
        required_state: slide.required_state,
        timeline: slide.timeline,
        prev_batch: has_page.then(|| format!("t{}", slide.prev_batch)),
        limited: slide.limited,
        num_live: Some(slide.num_live),
        heroes: slide.heroes,
        joined_count: slide.counts.map(|it| it.0),
        invited_count: slide.counts.map(|it| it.1),
        ..Room::default()
    };
    if let Some(shown) = slide.shown {
        // What is not there in a room that begins has not been there.
        let told = |it: Option<String>| match it {
            Some(text) => Some(JsonValue::String(text)),
            None => (!initial).then_some(JsonValue::Null),
        };
        (given.name, given.avatar) = (told(shown.name), told(shown.avatar));
    }
    if slide.is_joined {
        given.notification_count = Some(slide.unread.notifications);
        given.highlight_count = Some(slide.unread.highlights);
    }
    given
}

/// What is given of an invitation or a knock that is over, to a room that is not here.
fn ended(ending: Option<&Ending>, now_ms: u64) -> Result<Room> {
    let Some(ending) = ending else { return Ok(Room::default()) };
    let rendered = Rendered {
        json: ending.event.get(),
        event_id: &ending.event_id,
        room_id: None,
        redacts_in_content: true,
        unsigned: Unsigned::default(),
    };
    let event = client_event::render(rendered, now_ms)?;
    Ok(Room { required_state: vec![event.clone()], timeline: vec![event], ..Room::default() })
}
