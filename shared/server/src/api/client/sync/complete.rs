//! A `/sync` response with all the fields that the specification's example shows ([spec]): ruma
//! leaves out what is empty or false, and there are clients that fail where it is missing.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

use std::collections::BTreeMap;

use js_int::UInt;
use ruma::{
    OneTimeKeyAlgorithm, OwnedEventId, RoomId,
    api::{
        OutgoingBodyJson, OutgoingResponse,
        client::sync::sync_events::{
            DeviceLists, UnreadNotificationsCount,
            v3::{self, JoinedRoom, LeftRoom, Request, Response, RoomSummary, State, StateEvents},
        },
        error::{DeserializationError, IntoHttpError},
    },
    serde::Raw,
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::gather::Gather as _;

use crate::api::patched::{Body, Patch};

/// A request that is answered with [`Complete`].
#[derive(Debug)]
pub struct AnsweredCompletely;

impl Patch<Request> for AnsweredCompletely {
    type Response = Complete;

    fn patch(_: &mut Body<'_>) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

/// The response, which is written with every field.
#[derive(Debug, OutgoingBodyJson)]
pub struct Complete(pub(super) Response);

impl OutgoingResponse for Complete {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::new(self))
    }
}

impl Serialize for Complete {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(response) = self;
        let rooms = &response.rooms;
        let invite = rooms.invite.iter().map(|(room_id, room)| {
            (&**room_id, Invite { invite_state: events(&room.invite_state.events) })
        });
        let knock = rooms.knock.iter().map(|(room_id, room)| {
            (&**room_id, Knock { knock_state: events(&room.knock_state.events) })
        });
        let whole = Whole {
            account_data: events(&response.account_data.events),
            device_lists: Some(&response.device_lists).filter(|it| !it.is_empty()),
            device_one_time_keys_count: &response.device_one_time_keys_count,
            device_unused_fallback_key_types: response
                .device_unused_fallback_key_types
                .as_deref()
                .unwrap_or_default(),
            next_batch: &response.next_batch,
            presence: events(&response.presence.events),
            rooms: Rooms {
                invite: invite.gather(),
                join: rooms.join.iter().map(|(room_id, room)| (&**room_id, joined(room))).gather(),
                knock: knock.gather(),
                leave: rooms.leave.iter().map(|(room_id, room)| (&**room_id, left(room))).gather(),
            },
            to_device: events(&response.to_device.events),
        };
        whole.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    account_data: Events<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_lists: Option<&'a DeviceLists>,
    device_one_time_keys_count: &'a BTreeMap<OneTimeKeyAlgorithm, UInt>,
    device_unused_fallback_key_types: &'a [OneTimeKeyAlgorithm],
    next_batch: &'a str,
    presence: Events<'a>,
    rooms: Rooms<'a>,
    to_device: Events<'a>,
}

#[derive(Serialize)]
struct Rooms<'a> {
    invite: BTreeMap<&'a RoomId, Invite<'a>>,
    join: BTreeMap<&'a RoomId, Joined<'a>>,
    knock: BTreeMap<&'a RoomId, Knock<'a>>,
    leave: BTreeMap<&'a RoomId, Left<'a>>,
}

#[derive(Serialize)]
struct Invite<'a> {
    invite_state: Events<'a>,
}

#[derive(Serialize)]
struct Knock<'a> {
    knock_state: Events<'a>,
}

#[derive(Serialize)]
struct Joined<'a> {
    ephemeral: Events<'a>,
    summary: &'a RoomSummary,
    unread_notifications: &'a UnreadNotificationsCount,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unread_thread_notifications: &'a BTreeMap<OwnedEventId, UnreadNotificationsCount>,
    #[serde(flatten)]
    room: Left<'a>,
}

/// What a room has whether it is joined or left.
#[derive(Serialize)]
struct Left<'a> {
    account_data: Events<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Events<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_after: Option<Events<'a>>,
    timeline: Timeline<'a>,
}

#[derive(Serialize)]
struct Timeline<'a> {
    events: Vec<&'a RawJsonValue>,
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<&'a str>,
}

#[derive(Serialize)]
struct Events<'a> {
    events: Vec<&'a RawJsonValue>,
}

fn events<T>(events: &[Raw<T>]) -> Events<'_> {
    Events { events: raw(events) }
}

fn raw<T>(events: &[Raw<T>]) -> Vec<&RawJsonValue> {
    events.iter().map(Raw::json).collect()
}

fn joined(room: &JoinedRoom) -> Joined<'_> {
    let timeline = timeline(&room.timeline);
    Joined {
        ephemeral: events(&room.ephemeral.events),
        summary: &room.summary,
        unread_notifications: &room.unread_notifications,
        unread_thread_notifications: &room.unread_thread_notifications,
        room: with_state(&room.state, events(&room.account_data.events), timeline),
    }
}

fn left(room: &LeftRoom) -> Left<'_> {
    with_state(&room.state, events(&room.account_data.events), timeline(&room.timeline))
}

fn timeline(timeline: &v3::Timeline) -> Timeline<'_> {
    Timeline {
        events: raw(&timeline.events),
        limited: timeline.limited,
        prev_batch: timeline.prev_batch.as_deref(),
    }
}

fn with_state<'a>(state: &'a State, account_data: Events<'a>, timeline: Timeline<'a>) -> Left<'a> {
    let listed = |it: &'a StateEvents| Some(events(&it.events));
    let (state, state_after) = match state {
        State::Before(state) => (listed(state), None),
        State::After(state) => (None, listed(state)),
        _ => (None, None),
    };
    Left { account_data, state, state_after, timeline }
}

#[cfg(test)]
mod tests {
    use ruma::{
        api::client::sync::sync_events::v3::{InvitedRoom, KnockState, KnockedRoom},
        room_id,
    };
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn written(response: Response) -> JsonValue {
        serde_json::to_value(Complete(response)).unwrap()
    }

    #[test]
    fn what_is_empty_is_there() {
        let none = json!({ "events": [] });
        let written = written(Response::new("s1".to_owned()));
        let expected = json!({
            "account_data": none, "device_one_time_keys_count": {}, "next_batch": "s1",
            "device_unused_fallback_key_types": [],
            "presence": none, "to_device": none,
            "rooms": { "invite": {}, "join": {}, "knock": {}, "leave": {} },
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn every_room_has_its_parts() {
        let mut response = Response::new("s1".to_owned());
        let room_id = room_id!("!a:x.y").to_owned();
        let mut after = JoinedRoom::new();
        after.state = State::After(StateEvents::default());
        after.timeline.prev_batch = Some("t1".to_owned());
        let rooms = &mut response.rooms;
        rooms.join.insert(room_id.clone(), JoinedRoom::new());
        rooms.join.insert(room_id!("!b:x.y").to_owned(), after);
        rooms.leave.insert(room_id.clone(), LeftRoom::new());
        rooms.invite.insert(room_id.clone(), InvitedRoom::new());
        rooms.knock.insert(room_id, KnockedRoom::from(KnockState::new()));
        let written = written(response);
        let none = json!({ "events": [] });
        let timeline = json!({ "events": [], "limited": false });
        let joined = json!({
            "account_data": none, "ephemeral": none, "state": none, "summary": {},
            "timeline": timeline, "unread_notifications": {},
        });
        assert_eq!(written["rooms"]["join"]["!a:x.y"], joined);
        let after = &written["rooms"]["join"]["!b:x.y"];
        assert_eq!(after["state_after"], none);
        assert_eq!(after.get("state"), None, "what is after the timeline is not before it");
        assert_eq!(after["timeline"]["prev_batch"], "t1");
        let left = json!({ "account_data": none, "state": none, "timeline": timeline });
        assert_eq!(written["rooms"]["leave"]["!a:x.y"], left);
        assert_eq!(written["rooms"]["invite"]["!a:x.y"], json!({ "invite_state": none }));
        assert_eq!(written["rooms"]["knock"]["!a:x.y"], json!({ "knock_state": none }));
    }
}
