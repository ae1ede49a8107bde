//! Trees of spaces ([spec]): their children, and how a client goes on in one.
//!
//! A tree is walked depth first, and what is given to a client goes on where the page before has
//! ended: a token says which way leads there, and which spaces were walked through, so that none
//! is twice. A client that forges one walks another way, and is shown on it what it may see.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy

use std::{collections::BTreeSet, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    OwnedRoomId, OwnedServerName, RoomId,
    events::space::child::{HierarchySpaceChildEvent, SpaceChildOrd as _},
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};
use sha2::{Digest as _, Sha256};

/// Children of a space that are looked at.
pub const MAX_CHILDREN: usize = 1_000;

/// Bytes of the events by which it has them, about: those that stand behind these are left out.
const MAX_CHILDREN_BYTES: usize = 512 * 1024;

/// How far below its root a tree is walked.
pub const MAX_DEPTH: u64 = 5;

/// Spaces of one tree whose children are walked through.
pub const MAX_SPACES: usize = 100;

/// Bytes of a token: it is part of a URL.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A child of a space.
#[derive(Clone, Debug)]
pub struct Child {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers that may be in it.
    pub via: Vec<OwnedServerName>,
    /// The event that says so, as it is shown.
    pub event: Box<RawJsonValue>,
}

/// The children that these events give to a space, in their order. Events that say it no longer, or
/// not rightly, are left out.
pub fn children<'a>(events: impl IntoIterator<Item = &'a str>, suggested_only: bool) -> Vec<Child> {
    let read = |json: &'a str| {
        let event: HierarchySpaceChildEvent = serde_json::from_str(json).ok()?;
        let shown: Shown<'_> = serde_json::from_str(json).ok()?;
        let is_child = shown.event_type == "m.space.child" && !event.content.via.is_empty();
        let is_wanted = is_child && (event.content.suggested || !suggested_only);
        is_wanted.then_some((event, to_raw_value(&shown).ok()?))
    };
    let mut found: Vec<_> = events.into_iter().filter_map(read).collect();
    found.sort_by(|(one, _), (other, _)| one.cmp_space_child(other));
    let mut known = BTreeSet::new();
    found.retain(|(event, _)| known.insert(event.state_key.clone()));
    found.truncate(MAX_CHILDREN);
    let mut bytes = 0_usize;
    let is_over = |(_, shown): &(HierarchySpaceChildEvent, Box<RawJsonValue>)| {
        bytes += shown.get().len();
        bytes > MAX_CHILDREN_BYTES
    };
    let fitting = found.iter().position(is_over).unwrap_or(found.len());
    found.truncate(fitting);
    let child = |(event, shown): (HierarchySpaceChildEvent, _)| Child {
        room_id: event.state_key,
        via: event.content.via,
        event: shown,
    };
    found.into_iter().map(child).collect()
}

/// What is shown of the event of a child.
#[derive(Deserialize, Serialize)]
struct Shown<'a> {
    #[serde(borrow)]
    content: &'a RawJsonValue,
    #[serde(borrow)]
    origin_server_ts: &'a RawJsonValue,
    #[serde(borrow)]
    sender: &'a RawJsonValue,
    #[serde(borrow)]
    state_key: &'a RawJsonValue,
    #[serde(rename = "type")]
    event_type: String,
}

/// Where a client goes on in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// How far below the root it walks.
    #[serde(rename = "d")]
    pub max_depth: u64,
    /// Whether it walks through suggested rooms alone.
    #[serde(rename = "s")]
    pub suggested_only: bool,
    /// The spaces on the way, from the root on.
    #[serde(rename = "w")]
    pub way: Vec<Place>,
    /// The spaces that were walked through ([`sign`]).
    #[serde(rename = "k")]
    pub known: Vec<u64>,
}

/// How far a space was walked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The space.
    #[serde(rename = "r")]
    pub room_id: OwnedRoomId,
    /// The last of its children that was looked at. None: none was.
    #[serde(rename = "a")]
    pub after: Option<OwnedRoomId>,
}

impl Token {
    /// Reads a token. None: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let token: Self = serde_json::from_slice(&json).ok()?;
        let is_possible = token.max_depth <= MAX_DEPTH
            && u64::try_from(token.way.len()).is_ok_and(|it| it <= token.max_depth.max(1))
            && !token.way.is_empty()
            && token.known.len() <= MAX_SPACES;
        is_possible.then_some(token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        formatter.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

/// A few bytes by which a space is known again.
pub fn sign(room_id: &RoomId) -> u64 {
    let hash = Sha256::digest(room_id.as_bytes());
    hash.iter().take(6).fold(0, |sign, byte| sign << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, room_id};
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn event(child: &str, ts: u64, content: JsonValue) -> String {
        let mut event = json!({ "type": "m.space.child", "sender": "@a:x.y", "state_key": child,
            "origin_server_ts": ts, "hashes": {}, "room_id": "!s:x.y" });
        event["content"] = content;
        event.to_string()
    }

    fn ids(children: &[Child]) -> Vec<&str> {
        children.iter().map(|it| it.room_id.as_str()).collect()
    }

    #[test]
    fn children_come_in_their_order() {
        let via = json!(["x.y"]);
        let events = [
            event("!none-late:x.y", 9, json!({ "via": via })),
            event("!none-early:x.y", 1, json!({ "via": via })),
            event("!b:x.y", 5, json!({ "via": via, "order": "b", "suggested": true })),
            event("!a:x.y", 7, json!({ "via": via, "order": "a" })),
            event("!bad-order:x.y", 3, json!({ "via": via, "order": 5 })),
            event("!b:x.y", 6, json!({ "via": via, "order": "c" })),
            event("!gone:x.y", 1, json!({})),
            event("!no-via:x.y", 1, json!({ "via": [] })),
            event("!odd-via:x.y", 1, json!({ "via": "x.y" })),
            event("no room", 1, json!({ "via": via })),
            event("!other:x.y", 1, json!({ "via": via }))
                .replace("m.space.child", "m.space.parent"),
            "7".to_owned(),
        ];
        let texts = || events.iter().map(String::as_str);
        let all = children(texts(), false);
        let expected = ["!a:x.y", "!b:x.y", "!none-early:x.y", "!bad-order:x.y", "!none-late:x.y"];
        assert_eq!(ids(&all), expected);
        assert_eq!(ids(&children(texts(), true)), ["!b:x.y"]);
        let shown: JsonValue = serde_json::from_str(all[0].event.get()).unwrap();
        let expected = json!({ "type": "m.space.child", "sender": "@a:x.y", "state_key": "!a:x.y",
            "origin_server_ts": 7, "content": { "via": via, "order": "a" } });
        assert_eq!(shown, expected, "and nothing else of it");
        let many: Vec<_> = (0..2 * MAX_CHILDREN)
            .map(|it| event(&format!("!{it}:x.y"), 1, json!({ "via": via })))
            .collect();
        assert_eq!(children(many.iter().map(String::as_str), false).len(), MAX_CHILDREN);
        let long = json!({ "via": via, "more": "x".repeat(60_000) });
        let large: Vec<_> =
            (0..20).map(|it| event(&format!("!{it}:x.y"), 1, long.clone())).collect();
        let fitting = children(large.iter().map(String::as_str), false).len();
        assert!((6..10).contains(&fitting), "{fitting}");
    }

    fn token() -> Token {
        Token {
            max_depth: 2,
            suggested_only: true,
            way: vec![
                Place { room_id: owned_room_id!("!a:x.y"), after: Some(owned_room_id!("!b:x.y")) },
                Place { room_id: owned_room_id!("!b:x.y"), after: None },
            ],
            known: vec![sign(room_id!("!a:x.y"))],
        }
    }

    #[test]
    fn a_token_comes_back_as_it_went() {
        assert_eq!(Token::parse(&token().to_string()), Some(token()));
    }

    #[test]
    fn what_no_page_has_ended_with_is_no_token() {
        let deep = Token { max_depth: MAX_DEPTH + 1, ..token() };
        let long = Token { way: vec![token().way[0].clone(); 3], ..token() };
        let nowhere = Token { way: Vec::new(), ..token() };
        let many = Token { known: vec![1; MAX_SPACES + 1], ..token() };
        let texts = [deep, long, nowhere, many].map(|it| it.to_string());
        let odd = ["", "x", "e30", "bnVsbA", "!!!!"].map(str::to_owned);
        for text in texts.into_iter().chain(odd).chain(["A".repeat(MAX_TOKEN_BYTES + 1)]) {
            assert_eq!(Token::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_sign_is_a_number_that_json_holds() {
        assert!(sign(room_id!("!a:x.y")) < 1 << 48);
        assert_ne!(sign(room_id!("!a:x.y")), sign(room_id!("!b:x.y")));
    }
}
