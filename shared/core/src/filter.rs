//! What a client's filter lets through ([spec]): the one place where filters are checked and
//! matched.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

mod fields;
mod matcher;

use ruma::{
    OwnedRoomId, RoomId,
    api::client::filter::{EventFormat, Filter, FilterDefinition, RoomEventFilter, RoomFilter},
};
use serde::Deserialize;
use serde_json::{Value as JsonValue, value::RawValue as RawJsonValue};

pub use self::{fields::EventFields, matcher::Matcher};

/// Names and patterns in a filter, in all its lists together. Clients name a dozen types and the
/// users who are ignored.
pub const MAX_NAMES: usize = 1_000;

/// Bytes of these together. The filters of known clients have less than one KiB.
pub const MAX_BYTES: usize = 32 * 1024;

/// Bytes of a pattern of types: as many as a type may have, so that a longer one is no use.
pub const MAX_PATTERN_BYTES: usize = 255;

/// `*` in one list of types. Each may cost a search through the type of every event that is
/// looked at; clients use one for a whole namespace.
pub const MAX_STARS: usize = 64;

/// Paths in `event_fields`. An event has about ten fields.
pub const MAX_FIELDS: usize = 100;

/// Why a filter is refused, beyond what can be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// The format of events is none of the specification's.
    #[error("`event_format` is neither `client` nor `federation`")]
    EventFormat,
    /// There are too many names.
    #[error("a filter has at most {MAX_NAMES} types, senders, rooms and fields")]
    Names,
    /// They are too long together.
    #[error("the types, senders, rooms and fields of a filter have at most {MAX_BYTES} bytes")]
    Bytes,
    /// A pattern is too long.
    #[error("a type in a filter has at most {MAX_PATTERN_BYTES} bytes")]
    Pattern,
    /// Patterns have too many wildcards.
    #[error("a list of types in a filter has at most {MAX_STARS} wildcards (`*`)")]
    Stars,
    /// Too many fields are named.
    #[error("`event_fields` has at most {MAX_FIELDS} fields")]
    Fields,
}

/// Checks a filter that a client gives.
///
/// # Errors
///
/// See [`InvalidFilter`].
pub fn check(filter: &FilterDefinition) -> Result<(), InvalidFilter> {
    if !matches!(filter.event_format, EventFormat::Client | EventFormat::Federation) {
        return Err(InvalidFilter::EventFormat);
    }
    let fields = filter.event_fields.as_deref().unwrap_or_default();
    if fields.len() > MAX_FIELDS {
        return Err(InvalidFilter::Fields);
    }
    let mut size = Size::default();
    size.add(fields);
    size.add_filter(&filter.presence)?;
    size.add_filter(&filter.account_data)?;
    let RoomFilter { rooms, not_rooms, .. } = &filter.room;
    size.add(rooms.iter().flatten().chain(not_rooms));
    let RoomFilter { account_data, timeline, ephemeral, state, .. } = &filter.room;
    for filter in [account_data, timeline, ephemeral, state] {
        size.add_room_filter(filter)?;
    }
    size.check()
}

/// Checks a filter for the events of rooms that a client gives.
///
/// # Errors
///
/// See [`InvalidFilter`].
pub fn check_room_filter(filter: &RoomEventFilter) -> Result<(), InvalidFilter> {
    let mut size = Size::default();
    size.add_room_filter(filter)?;
    size.check()
}

/// How large a filter is.
#[derive(Debug, Default)]
struct Size {
    names: usize,
    bytes: usize,
}

impl Size {
    fn add<T: AsRef<str>>(&mut self, names: impl IntoIterator<Item = T>) {
        for name in names {
            self.names += 1;
            self.bytes += name.as_ref().len();
        }
    }

    fn add_types(&mut self, types: &[String]) -> Result<(), InvalidFilter> {
        if types.iter().any(|it| it.len() > MAX_PATTERN_BYTES) {
            return Err(InvalidFilter::Pattern);
        }
        let stars: usize = types.iter().map(|it| it.matches('*').count()).sum();
        if stars > MAX_STARS {
            return Err(InvalidFilter::Stars);
        }
        self.add(types);
        Ok(())
    }

    fn add_filter(&mut self, filter: &Filter) -> Result<(), InvalidFilter> {
        self.add(filter.senders.iter().flatten().chain(&filter.not_senders));
        self.add_types(filter.types.as_deref().unwrap_or_default())?;
        self.add_types(&filter.not_types)
    }

    fn add_room_filter(&mut self, filter: &RoomEventFilter) -> Result<(), InvalidFilter> {
        self.add(filter.rooms.iter().flatten().chain(&filter.not_rooms));
        self.add(filter.senders.iter().flatten().chain(&filter.not_senders));
        self.add_types(filter.types.as_deref().unwrap_or_default())?;
        self.add_types(&filter.not_types)
    }

    fn check(&self) -> Result<(), InvalidFilter> {
        if self.names > MAX_NAMES {
            return Err(InvalidFilter::Names);
        }
        if self.bytes > MAX_BYTES { Err(InvalidFilter::Bytes) } else { Ok(()) }
    }
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

/// Whether a content has a `url` that is a string.
pub fn has_url(content: &RawJsonValue) -> bool {
    #[derive(Deserialize)]
    struct Content {
        url: JsonValue,
    }
    serde_json::from_str::<Content>(content.get()).is_ok_and(|it| it.url.is_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

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
    fn how_large_a_filter_may_be() {
        let many = |text: String, count: usize| vec![text; count];
        let users = |count, length: usize| many(format!("@{}:b", "a".repeat(length)), count);
        let of_room =
            |name: &str, list: Vec<String>| json!({ "room": { "timeline": { name: list } } });
        let pattern = "a".repeat(MAX_PATTERN_BYTES);
        let cases = [
            ("names", of_room("not_senders", users(MAX_NAMES, 1)), Ok(())),
            ("more", of_room("not_senders", users(MAX_NAMES + 1, 1)), Err(InvalidFilter::Names)),
            ("long names", of_room("senders", users(200, 200)), Err(InvalidFilter::Bytes)),
            ("a long pattern", of_room("types", vec![pattern.clone()]), Ok(())),
            ("longer", of_room("not_types", vec![pattern + "a"]), Err(InvalidFilter::Pattern)),
            ("stars", of_room("types", many("*a*".into(), MAX_STARS / 2)), Ok(())),
            ("more", of_room("types", vec!["*".repeat(MAX_STARS + 1)]), Err(InvalidFilter::Stars)),
            (
                "elsewhere",
                json!({ "account_data": { "not_types": ["*".repeat(MAX_STARS + 1)] } }),
                Err(InvalidFilter::Stars),
            ),
            ("fields", json!({ "event_fields": many("a".into(), MAX_FIELDS) }), Ok(())),
            (
                "more",
                json!({ "event_fields": many("a".into(), MAX_FIELDS + 1) }),
                Err(InvalidFilter::Fields),
            ),
            (
                "in all",
                json!({
                    "room": {
                        "rooms": many("!a:b".into(), MAX_NAMES / 2),
                        "state": { "not_rooms": many("!a:b".into(), MAX_NAMES / 2 + 1) },
                    },
                }),
                Err(InvalidFilter::Names),
            ),
        ];
        for (name, filter, expected) in cases {
            let parsed: FilterDefinition = serde_json::from_value(filter.clone()).unwrap();
            assert_eq!(check(&parsed), expected, "{name}: {filter}");
            let timeline = check_room_filter(&parsed.room.timeline);
            assert!(timeline.is_ok() || timeline == expected, "{name}: {filter}");
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
}
