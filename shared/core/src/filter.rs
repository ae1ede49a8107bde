//! What a client's filter lets through ([spec]): the one place where filters are matched.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId,
    api::client::filter::{EventFormat, Filter, FilterDefinition, RoomEventFilter, UrlFilter},
};
use serde::Deserialize;
use serde_json::{
    Map as JsonMap, Value as JsonValue,
    value::{RawValue as RawJsonValue, to_raw_value},
};

/// Why a filter is not well-formed, beyond what can be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// The format of events is none of the specification's.
    #[error("`event_format` is neither `client` nor `federation`")]
    EventFormat,
}

/// Checks a filter that a client gives.
///
/// # Errors
///
/// See [`InvalidFilter`].
pub fn check(filter: &FilterDefinition) -> Result<(), InvalidFilter> {
    match filter.event_format {
        EventFormat::Client | EventFormat::Federation => Ok(()),
        _ => Err(InvalidFilter::EventFormat),
    }
}

/// What a filter looks at in an event.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its type.
    pub event_type: &'a str,
    /// Its sender; account data, typing and receipts have none.
    pub sender: Option<&'a str>,
    /// Whether its content has a `url` that is a string.
    pub has_url: bool,
}

/// Whether a filter that holds rooms by name lets this room through.
pub fn passes_room(
    rooms: Option<&[OwnedRoomId]>,
    not_rooms: &[OwnedRoomId],
    room_id: &RoomId,
) -> bool {
    rooms.is_none_or(|rooms| rooms.iter().any(|it| it == room_id))
        && !not_rooms.iter().any(|it| it == room_id)
}

/// Whether a filter for the events of rooms lets this event of this room through.
pub fn passes_room_event(filter: &RoomEventFilter, room_id: &RoomId, event: Subject<'_>) -> bool {
    passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id)
        && passes_type(filter.types.as_deref(), &filter.not_types, event.event_type)
        && passes_sender(filter.senders.as_deref(), &filter.not_senders, event.sender)
        && match filter.url_filter {
            None => true,
            Some(UrlFilter::EventsWithUrl) => event.has_url,
            Some(UrlFilter::EventsWithoutUrl) => !event.has_url,
        }
}

/// Whether a filter for what belongs to no room lets this event through.
pub fn passes_event(filter: &Filter, event: Subject<'_>) -> bool {
    passes_type(filter.types.as_deref(), &filter.not_types, event.event_type)
        && passes_sender(filter.senders.as_deref(), &filter.not_senders, event.sender)
}

/// Whether a content has a `url` that is a string.
pub fn has_url(content: &RawJsonValue) -> bool {
    #[derive(Deserialize)]
    struct Content {
        url: JsonValue,
    }
    serde_json::from_str::<Content>(content.get()).is_ok_and(|it| it.url.is_string())
}

fn passes_type(types: Option<&[String]>, not_types: &[String], event_type: &str) -> bool {
    types.is_none_or(|types| types.iter().any(|it| matches_wildcard(it, event_type)))
        && !not_types.iter().any(|it| matches_wildcard(it, event_type))
}

/// What has no sender passes no list of senders, and is excluded by none.
fn passes_sender(
    senders: Option<&[OwnedUserId]>,
    not_senders: &[OwnedUserId],
    sender: Option<&str>,
) -> bool {
    let is_among = |list: &[OwnedUserId]| {
        sender.is_some_and(|sender| list.iter().any(|it| it.as_str() == sender))
    };
    senders.is_none_or(is_among) && !is_among(not_senders)
}

/// Whether the whole text matches a pattern in which `*` stands for any sequence of characters.
///
/// Each piece between two stars is searched once, behind the piece before it: taking the first
/// place it fits never spoils a later piece, so there is no backtracking.
pub fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

/// The fields a client wants of each event (`event_fields`): paths whose parts are divided by
/// dots, `\` before a dot or a `\` that belongs to a name.
#[derive(Clone, Debug)]
pub struct EventFields(Vec<Vec<String>>);

impl EventFields {
    /// Reads the paths.
    pub fn new(fields: &[String]) -> Self {
        Self(fields.iter().map(|it| parse_path(it)).collect())
    }

    /// The event with these fields alone.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object.
    pub fn keep(&self, event: &RawJsonValue) -> Result<Box<RawJsonValue>, serde_json::Error> {
        let event: JsonMap<String, JsonValue> = serde_json::from_str(event.get())?;
        let mut kept = JsonMap::new();
        for path in &self.0 {
            copy_path(&event, &mut kept, path);
        }
        to_raw_value(&kept)
    }
}

fn parse_path(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = path.chars().peekable();
    while let Some(it) = chars.next() {
        match (it, chars.peek()) {
            ('\\', Some(&escaped @ ('.' | '\\'))) => {
                part.push(escaped);
                chars.next();
            }
            ('.', _) => parts.push(std::mem::take(&mut part)),
            _ => part.push(it),
        }
    }
    parts.push(part);
    parts
}

/// Copies what stands at the path, if anything does. Recursion is as deep as the event.
fn copy_path(
    from: &JsonMap<String, JsonValue>,
    to: &mut JsonMap<String, JsonValue>,
    path: &[String],
) {
    let Some((name, rest)) = path.split_first() else { return };
    let Some(value) = from.get(name) else { return };
    if rest.is_empty() {
        to.insert(name.clone(), value.clone());
        return;
    }
    let Some(inner) = value.as_object() else { return };
    let mut kept = match to.remove(name) {
        Some(JsonValue::Object(kept)) => kept,
        _ => JsonMap::new(),
    };
    copy_path(inner, &mut kept, rest);
    if !kept.is_empty() {
        to.insert(name.clone(), kept.into());
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_format_of_events_is_one_of_two() {
        let checked = |json: &str| check(&serde_json::from_str(json).unwrap());
        for json in ["{}", r#"{"event_format":"client"}"#, r#"{"event_format":"federation"}"#] {
            assert_eq!(checked(json), Ok(()), "{json}");
        }
        for json in [r#"{"event_format":"nonsense"}"#, r#"{"event_format":""}"#] {
            assert_eq!(checked(json), Err(InvalidFilter::EventFormat), "{json}");
        }
    }

    #[test]
    fn what_a_pattern_matches() {
        let cases = [
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.messages", false),
            ("m.room", "m.room.message", false),
            ("*", "", true),
            ("*", "m.room.message", true),
            ("m.room.*", "m.room.message", true),
            ("m.room.*", "m.room.", true),
            ("m.room.*", "m.reaction", false),
            ("*.message", "m.room.message", true),
            ("*.message", "m.room.message.old", false),
            ("m.*.message", "m.room.message", true),
            ("m.*.message", "m.message", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aba", false),
            ("a**b", "ab", true),
            ("*b*c", "abcbc", true),
            ("", "", true),
            ("", "m", false),
            ("*ö*", "schön", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches_wildcard(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_their_number() {
        let pattern = "*a".repeat(10_000) + "*b";
        assert!(!matches_wildcard(&pattern, &"a".repeat(20_000)));
    }

    #[test]
    fn what_a_filter_of_room_events_lets_through() {
        let message = Subject {
            event_type: "m.room.message",
            sender: Some("@ann:example.org"),
            has_url: false,
        };
        let image = Subject { has_url: true, ..message };
        let typing = Subject { event_type: "m.typing", sender: None, has_url: false };
        let cases = [
            (json!({}), message, true),
            (json!({"types": ["m.room.*"]}), message, true),
            (json!({"types": []}), message, false),
            (json!({"types": ["m.room.*"], "not_types": ["*.message"]}), message, false),
            (json!({"not_types": ["m.typing"]}), typing, false),
            (json!({"senders": ["@ann:example.org"]}), message, true),
            (json!({"senders": ["@bob:example.org"]}), message, false),
            (json!({"senders": ["@ann:example.org"]}), typing, false),
            (json!({"not_senders": ["@ann:example.org"]}), message, false),
            (json!({"not_senders": ["@ann:example.org"]}), typing, true),
            (
                json!({"senders": ["@ann:example.org"], "not_senders": ["@ann:example.org"]}),
                message,
                false,
            ),
            (json!({"rooms": ["!a:example.org"]}), message, true),
            (json!({"rooms": ["!b:example.org"]}), message, false),
            (json!({"not_rooms": ["!a:example.org"]}), message, false),
            (json!({"contains_url": true}), message, false),
            (json!({"contains_url": true}), image, true),
            (json!({"contains_url": false}), image, false),
            (json!({"contains_url": false}), message, true),
        ];
        for (filter, event, expected) in cases {
            let parsed: RoomEventFilter = serde_json::from_value(filter.clone()).unwrap();
            let got = passes_room_event(&parsed, room_id!("!a:example.org"), event);
            assert_eq!(got, expected, "{filter} on {event:?}");
        }
    }

    #[test]
    fn what_a_filter_of_other_events_lets_through() {
        let direct = Subject { event_type: "m.direct", sender: None, has_url: false };
        let cases = [
            (json!({}), true),
            (json!({"types": ["m.direct"]}), true),
            (json!({"not_types": ["m.*"]}), false),
            (json!({"senders": ["@ann:example.org"]}), false),
        ];
        for (filter, expected) in cases {
            let parsed: Filter = serde_json::from_value(filter.clone()).unwrap();
            assert_eq!(passes_event(&parsed, direct), expected, "{filter}");
        }
    }

    #[test]
    fn a_url_counts_when_it_is_a_string() {
        let cases =
            [(json!({"url": "mxc://a/b"}), true), (json!({"url": 1}), false), (json!({}), false)];
        for (content, expected) in cases {
            assert_eq!(has_url(&to_raw_value(&content).unwrap()), expected, "{content}");
        }
    }

    #[test]
    fn which_fields_are_kept() {
        let event = json!({
            "type": "m.room.message",
            "content": {"body": "hi", "msgtype": "m.text", "m.relates_to": {"event_id": "$a"}},
        });
        let cases = [
            (vec!["type"], json!({"type": "m.room.message"})),
            (vec!["content.body"], json!({"content": {"body": "hi"}})),
            (
                vec!["content.body", "content.msgtype"],
                json!({"content": {"body": "hi", "msgtype": "m.text"}}),
            ),
            (
                vec![r"content.m\.relates_to.event_id"],
                json!({"content": {"m.relates_to": {"event_id": "$a"}}}),
            ),
            (vec!["content.m.relates_to"], json!({})),
            (vec!["type.deeper", "nowhere", ""], json!({})),
            (vec!["content", "content.body"], json!({"content": event["content"]})),
        ];
        for (fields, expected) in cases {
            let fields: Vec<_> = fields.into_iter().map(str::to_owned).collect();
            let kept = EventFields::new(&fields).keep(&to_raw_value(&event).unwrap()).unwrap();
            let kept: JsonValue = serde_json::from_str(kept.get()).unwrap();
            assert_eq!(kept, expected, "{fields:?}");
        }
    }
}
