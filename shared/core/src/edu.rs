//! What other servers say that is no event ([spec]): who is typing, what has been read, and who is
//! there. It is believed of the users of the server that says it; whether those are in the room,
//! and whether the room lets the server in, is for the room to know. What is malformed is passed
//! over, and so is what is of another type.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#edus

use std::collections::BTreeMap;

use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, ServerName, UserId,
    api::federation::transactions::edu::{
        PresenceUpdate, ReceiptContent, ReceiptData, TypingContent,
    },
    events::receipt::ReceiptThread,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue as RawJsonValue;

use crate::{
    identifier::MAX_ID_BYTES,
    presence::{MAX_STATUSES, Status},
};

/// Bytes of one that is read; a larger one is passed over.
pub const MAX_EDU_BYTES: usize = 256 * 1024;

/// Rooms of which those of one transaction are read.
pub const MAX_ROOMS: usize = 100;

/// Receipts that are read of one transaction.
pub const MAX_RECEIPTS: usize = 500;

/// A public read receipt, as it goes from server to server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadReceipt {
    /// Whose.
    pub user_id: OwnedUserId,
    /// The last event read.
    pub event_id: OwnedEventId,
    /// The thread. Unthreaded is said by leaving it out: ruma reads no other form of it.
    #[serde(default, skip_serializing_if = "ruma::serde::is_default")]
    pub thread: ReceiptThread,
    /// When it was read, in milliseconds since the Unix epoch, if that is said.
    pub ts_ms: Option<u64>,
}

/// What a server says of one room. What was said last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomEdus {
    /// Who types, and who does not any more.
    pub typing: BTreeMap<OwnedUserId, bool>,
    /// One for each user and thread.
    pub receipts: Vec<ReadReceipt>,
}

impl RoomEdus {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.typing.is_empty() && self.receipts.is_empty()
    }

    fn put(&mut self, receipt: ReadReceipt) {
        self.receipts.retain(|it| it.user_id != receipt.user_id || it.thread != receipt.thread);
        self.receipts.push(receipt);
    }
}

/// What a server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edus {
    /// Of rooms.
    pub rooms: BTreeMap<OwnedRoomId, RoomEdus>,
    /// Of its users. What was said last counts.
    pub statuses: BTreeMap<OwnedUserId, Status>,
}

/// What is believed of what a server says now: the JSON of its EDUs, in their order.
pub fn read<'a>(origin: &ServerName, edus: impl IntoIterator<Item = &'a str>, now_ms: u64) -> Edus {
    #[derive(Deserialize)]
    struct Edu<'a> {
        edu_type: String,
        #[serde(borrow)]
        content: &'a RawJsonValue,
    }
    let mut said = Said { origin, now_ms, edus: Edus::default(), receipts: 0 };
    for json in edus.into_iter().filter(|it| it.len() <= MAX_EDU_BYTES) {
        let Ok(Edu { edu_type, content }) = serde_json::from_str(json) else { continue };
        match edu_type.as_str() {
            "m.typing" => said.typing(content),
            "m.receipt" => said.receipts(content),
            "m.presence" => said.presence(content),
            _ => {}
        }
    }
    said.edus.rooms.retain(|_, it| !it.is_empty());
    said.edus
}

/// What has been read so far.
struct Said<'a> {
    origin: &'a ServerName,
    now_ms: u64,
    edus: Edus,
    receipts: usize,
}

impl Said<'_> {
    fn typing(&mut self, content: &RawJsonValue) {
        let Ok(content) = serde_json::from_str::<TypingContent>(content.get()) else { return };
        if self.is_own(&content.user_id)
            && let Some(room) = self.room(content.room_id)
        {
            room.typing.insert(content.user_id, content.typing);
        }
    }

    fn receipts(&mut self, content: &RawJsonValue) {
        let Ok(content) = serde_json::from_str::<ReceiptContent>(content.get()) else { return };
        for (room_id, receipts) in content.receipts {
            for (user_id, data) in receipts.read {
                if self.receipts == MAX_RECEIPTS {
                    return;
                }
                if self.is_own(&user_id)
                    && let Some(receipt) = receipt(user_id, data)
                    && let Some(room) = self.room(room_id.clone())
                {
                    room.put(receipt);
                    self.receipts += 1;
                }
            }
        }
    }

    fn presence(&mut self, content: &RawJsonValue) {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            push: Vec<&'a RawJsonValue>,
        }
        let Ok(content) = serde_json::from_str::<Content<'_>>(content.get()) else { return };
        for update in content.push {
            let Ok(update) = serde_json::from_str::<PresenceUpdate>(update.get()) else { continue };
            if self.is_own(&update.user_id)
                && let Some(status) = Status::received(update, self.now_ms)
                && (self.edus.statuses.len() < MAX_STATUSES
                    || self.edus.statuses.contains_key(&status.user_id))
            {
                self.edus.statuses.insert(status.user_id.clone(), status);
            }
        }
    }

    /// Nobody speaks for another server's users.
    fn is_own(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.origin && user_id.as_str().len() <= MAX_ID_BYTES
    }

    fn room(&mut self, room_id: OwnedRoomId) -> Option<&mut RoomEdus> {
        let rooms = &mut self.edus.rooms;
        let has_space = rooms.len() < MAX_ROOMS || rooms.contains_key(&room_id);
        has_space.then(|| rooms.entry(room_id).or_default())
    }
}

/// A receipt that is at one event, and in a thread that can be one.
fn receipt(user_id: OwnedUserId, data: ReceiptData) -> Option<ReadReceipt> {
    let ReceiptData { data, event_ids, .. } = data;
    let [event_id] = <[OwnedEventId; 1]>::try_from(event_ids).ok()?;
    let is_short = |it: &EventId| it.as_str().len() <= MAX_ID_BYTES;
    let is_thread = match &data.thread {
        ReceiptThread::Unthreaded | ReceiptThread::Main => true,
        ReceiptThread::Thread(root) => is_short(root),
        _ => false,
    };
    let ts_ms = data.ts.map(|it| it.get().into());
    let receipt = ReadReceipt { user_id, event_id, thread: data.thread, ts_ms };
    Some(receipt).filter(|it| is_thread && is_short(&it.event_id))
}

/// Whether a receipt takes the place of the one that is known of its user and thread: of that its
/// event, and where it stands. A receipt never goes backward. Where the event is not here, nobody
/// knows which one is newer: the user's server says first what came first.
pub fn replaces(known: Option<(&str, u64)>, event_id: &str, position: Option<u64>) -> bool {
    match (known, position) {
        (None, _) => true,
        (Some((_, known)), Some(position)) => position > known,
        (Some((known, _)), None) => known != event_id,
    }
}

#[cfg(test)]
mod tests {
    use ruma::{
        owned_event_id, owned_room_id, owned_user_id, presence::PresenceState, room_id, server_name,
    };
    use serde_json::{Value as JsonValue, json};

    use super::*;
    use crate::presence::MAX_STATUS_MSG_BYTES;

    fn heard(edus: &[JsonValue]) -> Edus {
        let edus: Vec<_> = edus.iter().map(JsonValue::to_string).collect();
        read(server_name!("b.example"), edus.iter().map(String::as_str), 9_000)
    }

    fn said(edus: &[JsonValue]) -> BTreeMap<OwnedRoomId, RoomEdus> {
        heard(edus).rooms
    }

    fn typing(user: &str, is_typing: impl Into<JsonValue>) -> JsonValue {
        let is_typing = is_typing.into();
        let content = json!({ "room_id": "!r:a", "user_id": user, "typing": is_typing });
        json!({ "edu_type": "m.typing", "content": content })
    }

    fn receipts(content: &JsonValue) -> JsonValue {
        json!({ "edu_type": "m.receipt", "content": content })
    }

    /// Of `@ann:b.example` in one room.
    fn receipt(kind: &str, receipt: &JsonValue) -> JsonValue {
        receipts(&json!({ "!r:a": { kind: { "@ann:b.example": receipt } } }))
    }

    #[test]
    fn who_types_is_believed_of_the_users_of_the_server() {
        let ann = "@ann:b.example";
        let cases = [
            ("begins", vec![typing(ann, true)], Some(true)),
            ("stops", vec![typing(ann, false)], Some(false)),
            ("the last word counts", vec![typing(ann, true), typing(ann, false)], Some(false)),
            ("another server's user", vec![typing("@ann:a", true)], None),
            ("the same server on another port", vec![typing("@ann:b.example:1", true)], None),
            ("no user", vec![typing("ann", true)], None),
            (
                "a user whom no server has",
                vec![typing(&format!("@{}:b.example", "x".repeat(255)), true)],
                None,
            ),
            ("not said whether", vec![typing(ann, "yes")], None),
            (
                "a malformed one beside it",
                vec![
                    json!(7),
                    json!({ "edu_type": "m.typing" }),
                    json!({ "edu_type": 1, "content": {} }),
                    typing(ann, true),
                ],
                Some(true),
            ),
            ("what is not known", vec![json!({ "edu_type": "org.example", "content": [] })], None),
            ("too large", vec![typing(ann, "x".repeat(MAX_EDU_BYTES))], None),
        ];
        for (name, edus, expected) in cases {
            let rooms = said(&edus);
            let found = rooms.get(room_id!("!r:a")).map(|it| it.typing.clone());
            let expected = expected.map(|it| [(owned_user_id!("@ann:b.example"), it)].into());
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn receipts_are_believed_of_the_users_of_the_server() {
        let at = |thread: ReceiptThread| ReadReceipt {
            user_id: owned_user_id!("@ann:b.example"),
            event_id: owned_event_id!("$e"),
            thread,
            ts_ms: Some(5),
        };
        let in_thread = |thread: JsonValue| {
            let data = json!({ "ts": 5, "thread_id": thread });
            receipt("m.read", &json!({ "event_ids": ["$e"], "data": data }))
        };
        let with = |event_ids: JsonValue| {
            receipt("m.read", &json!({ "event_ids": event_ids, "data": { "ts": 5 } }))
        };
        let long = format!("${}", "x".repeat(255));
        let private = json!({ "event_ids": ["$e"], "data": { "ts": 5 } });
        let cases = [
            ("unthreaded", with(json!(["$e"])), Some(at(ReceiptThread::Unthreaded))),
            ("main", in_thread(json!("main")), Some(at(ReceiptThread::Main))),
            (
                "a thread",
                in_thread(json!("$root")),
                Some(at(ReceiptThread::Thread(owned_event_id!("$root")))),
            ),
            ("no thread", in_thread(json!("other")), None),
            ("an empty thread", in_thread(json!("")), None),
            ("a number as thread", in_thread(json!(1)), None),
            ("a long thread", in_thread(json!(long)), None),
            ("no event", with(json!([])), None),
            ("two events", with(json!(["$e", "$f"])), None),
            ("a long event", with(json!([long])), None),
            ("what is no event", with(json!(["e"])), None),
            ("private", receipt("m.read.private", &private), None),
            ("no data", receipt("m.read", &json!({ "event_ids": ["$e"] })), None),
            (
                "another server's user",
                receipts(&json!({ "!r:a": { "m.read": { "@ann:a":
                { "event_ids": ["$e"], "data": { "ts": 5 } } } } })),
                None,
            ),
        ];
        for (name, edu, expected) in cases {
            let rooms = said(&[edu]);
            let found = rooms.get(room_id!("!r:a")).map(|it| it.receipts.clone());
            assert_eq!(found, expected.map(|it| vec![it]), "{name}");
        }
    }

    #[test]
    fn who_is_there_is_believed_of_the_users_of_the_server() {
        let ann = "@ann:b.example";
        let of = |user: &str, presence: &str| {
            json!({ "user_id": user, "presence": presence, "last_active_ago": 5,
                "status_msg": "here", "currently_active": true })
        };
        let push = |push: Vec<JsonValue>| {
            json!({ "edu_type": "m.presence",
            "content": { "push": push } })
        };
        let long = json!({ "user_id": ann, "presence": "online", "last_active_ago": 1_u64 << 50,
            "status_msg": "x".repeat(MAX_STATUS_MSG_BYTES + 1) });
        let cases = [
            ("one", vec![push(vec![of(ann, "online")])], Some((PresenceState::Online, 8_995))),
            (
                "the last word counts",
                vec![push(vec![of(ann, "online"), of(ann, "offline")])],
                Some((PresenceState::Offline, 8_995)),
            ),
            (
                "a message that is too long is left out",
                vec![push(vec![long])],
                Some((PresenceState::Online, 0)),
            ),
            ("another server's user", vec![push(vec![of("@ann:a", "online")])], None),
            ("the same server on another port", vec![push(vec![of("@a:b.example:1", "x")])], None),
            ("no state of the specification", vec![push(vec![of(ann, "busy")])], None),
            ("no list", vec![json!({ "edu_type": "m.presence", "content": {} })], None),
            ("no user", vec![push(vec![of("ann", "online")])], None),
            (
                "a malformed one beside it",
                vec![push(vec![json!(7), of("ann", "x"), of(ann, "online")])],
                Some((PresenceState::Online, 8_995)),
            ),
        ];
        for (name, edus, expected) in cases {
            let statuses = heard(&edus).statuses;
            let found = statuses.get(&owned_user_id!("@ann:b.example"));
            let found = found.map(|it| (it.presence.clone(), it.active_ms.unwrap()));
            assert_eq!(found, expected, "{name}");
            assert!(statuses.len() <= 1, "{name}");
        }
        let many = (0..MAX_STATUSES + 9).map(|it| of(&format!("@{it}:b.example"), "online"));
        assert_eq!(heard(&[push(many.collect())]).statuses.len(), MAX_STATUSES);
    }

    #[test]
    fn the_last_receipt_of_a_user_in_a_thread_counts() {
        let at = |event: &str, thread: Option<&str>| {
            let mut data = json!({ "ts": 5 });
            if let Some(thread) = thread {
                data["thread_id"] = json!(thread);
            }
            receipt("m.read", &json!({ "event_ids": [event], "data": data }))
        };
        let rooms =
            said(&[at("$1", None), at("$2", Some("main")), at("$3", None), at("$4", Some("$r"))]);
        let receipts = &rooms[room_id!("!r:a")].receipts;
        let events: Vec<_> = receipts.iter().map(|it| it.event_id.as_str()).collect();
        assert_eq!(events, ["$2", "$3", "$4"]);
    }

    #[test]
    fn what_one_transaction_says_is_bounded() {
        let data = json!({ "event_ids": ["$e"], "data": { "ts": 5 } });
        let users = (0..MAX_RECEIPTS + 9).map(|it| (format!("@{it}:b.example"), data.clone()));
        let users: JsonValue = users.collect::<serde_json::Map<_, _>>().into();
        let rooms = said(&[receipts(&json!({ "!r:a": { "m.read": users } }))]);
        assert_eq!(rooms[room_id!("!r:a")].receipts.len(), MAX_RECEIPTS);
        let of_rooms = (0..MAX_ROOMS + 9)
            .map(|it| (format!("!{it}:a"), json!({ "m.read": { "@ann:b.example": data } })));
        let of_rooms: JsonValue = of_rooms.collect::<serde_json::Map<_, _>>().into();
        assert_eq!(said(&[receipts(&of_rooms)]).len(), MAX_ROOMS);
        assert!(!said(&[typing("@ann:b.example", true)]).contains_key(&owned_room_id!("!s:a")));
    }

    #[test]
    fn a_receipt_never_goes_backward() {
        let (old, new) = ("$old", "$new");
        let cases = [
            ("the first", None, new, Some(5), true),
            ("the first, of an event that is not here", None, new, None, true),
            ("a newer one", Some((old, 4)), new, Some(5), true),
            ("an older one", Some((old, 6)), new, Some(5), false),
            ("the same", Some((new, 5)), new, Some(5), false),
            ("its event has come", Some((new, 0)), new, Some(5), true),
            ("not here", Some((old, 4)), new, None, true),
            ("the same that is not here", Some((new, 0)), new, None, false),
        ];
        for (name, known, event_id, position, expected) in cases {
            assert_eq!(replaces(known, event_id, position), expected, "{name}");
        }
    }
}
