//! What a client asks for, as it says it, and the limits of that.

use std::collections::BTreeMap;

use ruma::OwnedRoomId;
use serde::{Deserialize, Deserializer, Serialize};

use super::RequiredState;

/// Lists of a request, as the proposal has it.
pub const MAX_LISTS: usize = 100;
/// Subscriptions of a request, as the proposal has it.
pub const MAX_SUBSCRIPTIONS: usize = 100;
/// Ranges of a list.
pub const MAX_RANGES: usize = 20;
/// Patterns of state that one list or subscription wants.
pub const MAX_REQUIRED_STATE: usize = 200;
/// Bytes of these patterns.
pub const MAX_REQUIRED_STATE_BYTES: usize = 16 * 1024;
/// Bytes of the name of a list.
pub const MAX_LIST_NAME_BYTES: usize = 255;
/// Bytes of the name of a connection.
pub const MAX_CONN_ID_BYTES: usize = 255;
/// Room types, tags and spaces that a filter names, of each.
pub const MAX_FILTER_NAMES: usize = 100;
/// Lists and rooms that an extension names, of each.
pub const MAX_EXTENSION_NAMES: usize = 200;
/// Events of a timeline: more are never given, whatever is asked for.
pub const MAX_TIMELINE_EVENTS: u64 = 100;

/// The body of a request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// Which of the device's connections it is of.
    #[serde(default, deserialize_with = "or_default")]
    pub conn_id: String,
    /// Given back with the answer.
    #[serde(default)]
    pub txn_id: Option<String>,
    /// Windows into the user's rooms, by name.
    #[serde(default, deserialize_with = "or_default")]
    pub lists: BTreeMap<String, List>,
    /// Rooms that are wanted wherever they stand.
    #[serde(default, deserialize_with = "or_default")]
    pub room_subscriptions: BTreeMap<OwnedRoomId, RoomSettings>,
    /// What is wanted besides rooms.
    #[serde(default, deserialize_with = "or_default")]
    pub extensions: Extensions,
}

/// A window into the user's rooms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct List {
    /// First and last place of each part of it, counted from zero; none: all rooms.
    #[serde(default)]
    pub ranges: Option<Vec<(u64, u64)>>,
    /// The newest events that are wanted of each room.
    pub timeline_limit: u64,
    /// State that is wanted of each room.
    #[serde(default)]
    pub required_state: RequiredState,
    /// Which rooms are in it.
    #[serde(default, deserialize_with = "or_default")]
    pub filters: Filters,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSettings {
    /// The newest events.
    pub timeline_limit: u64,
    /// State.
    #[serde(default)]
    pub required_state: RequiredState,
}

/// Which rooms are in a list: those that pass all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// Whether `m.direct` names them.
    #[serde(default)]
    pub is_dm: Option<bool>,
    /// Whether they are encrypted.
    #[serde(default)]
    pub is_encrypted: Option<bool>,
    /// Whether they are invitations.
    #[serde(default)]
    pub is_invite: Option<bool>,
    /// Types of rooms, of which they have one; null: they have none.
    #[serde(default)]
    pub room_types: Option<Vec<Option<String>>>,
    /// Types that they do not have. This wins.
    #[serde(default, deserialize_with = "or_default")]
    pub not_room_types: Vec<Option<String>>,
    /// Tags of which they have one.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Tags that they do not have. This wins.
    #[serde(default, deserialize_with = "or_default")]
    pub not_tags: Vec<String>,
    /// Spaces of which they are children.
    #[serde(default)]
    pub spaces: Option<Vec<OwnedRoomId>>,
}

/// What is wanted besides rooms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Extensions {
    /// Messages to the device ([MSC3885]).
    ///
    /// [MSC3885]: https://github.com/matrix-org/matrix-spec-proposals/pull/3885
    #[serde(default, deserialize_with = "or_default")]
    pub to_device: ToDevice,
    /// Whose devices have changed, and how many keys are left ([MSC3884]).
    ///
    /// [MSC3884]: https://github.com/matrix-org/matrix-spec-proposals/pull/3884
    #[serde(default, deserialize_with = "or_default")]
    pub e2ee: Toggle,
    /// Account data ([MSC3959]).
    ///
    /// [MSC3959]: https://github.com/matrix-org/matrix-spec-proposals/pull/3959
    #[serde(default, deserialize_with = "or_default")]
    pub account_data: Scope,
    /// Receipts ([MSC3960]).
    ///
    /// [MSC3960]: https://github.com/matrix-org/matrix-spec-proposals/pull/3960
    #[serde(default, deserialize_with = "or_default")]
    pub receipts: Scope,
    /// Who types ([MSC3961]).
    ///
    /// [MSC3961]: https://github.com/matrix-org/matrix-spec-proposals/pull/3961
    #[serde(default, deserialize_with = "or_default")]
    pub typing: Scope,
}

/// An extension that is wanted or not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Toggle {
    /// Whether it is.
    #[serde(default, deserialize_with = "or_default")]
    pub enabled: bool,
}

/// Messages to the device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ToDevice {
    /// Whether they are wanted.
    #[serde(default, deserialize_with = "or_default")]
    pub enabled: bool,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The client has those up to here, which an earlier answer has named.
    #[serde(default)]
    pub since: Option<String>,
}

/// An extension about rooms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scope {
    /// Whether it is wanted.
    #[serde(default, deserialize_with = "or_default")]
    pub enabled: bool,
    /// Of the rooms of these lists; none: of all lists.
    #[serde(default)]
    pub lists: Option<Vec<String>>,
    /// Of these subscribed rooms; none or `*`: of all of them.
    #[serde(default)]
    pub rooms: Option<Vec<String>>,
}

/// What a request is refused for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// There is too much of something.
    #[error("there are more than {1} {0}")]
    TooMany(&'static str, usize),
    /// Something is too long.
    #[error("{0} has more than {1} bytes")]
    TooLong(&'static str, usize),
    /// A range that ends before it begins.
    #[error("a range ends before it begins")]
    BadRange,
}

impl Request {
    /// Refuses what is beyond the limits.
    ///
    /// # Errors
    ///
    /// What is.
    pub fn check(&self) -> Result<(), InvalidRequest> {
        is_short("the connection's ID", self.conn_id.len(), MAX_CONN_ID_BYTES)?;
        let txn_id = self.txn_id.as_ref().map_or(0, String::len);
        is_short("the transaction's ID", txn_id, MAX_CONN_ID_BYTES)?;
        is_few("lists", self.lists.len(), MAX_LISTS)?;
        is_few("room subscriptions", self.room_subscriptions.len(), MAX_SUBSCRIPTIONS)?;
        for (name, list) in &self.lists {
            is_short("the name of a list", name.len(), MAX_LIST_NAME_BYTES)?;
            let ranges = list.ranges.as_deref().unwrap_or_default();
            is_few("ranges in a list", ranges.len(), MAX_RANGES)?;
            if ranges.iter().any(|(first, last)| last < first) {
                return Err(InvalidRequest::BadRange);
            }
            list.filters.check()?;
            check_state(&list.required_state)?;
        }
        for settings in self.room_subscriptions.values() {
            check_state(&settings.required_state)?;
        }
        let Extensions { account_data, receipts, typing, .. } = &self.extensions;
        for scope in [account_data, receipts, typing] {
            for names in [&scope.lists, &scope.rooms].into_iter().flatten() {
                is_few("names in an extension", names.len(), MAX_EXTENSION_NAMES)?;
            }
        }
        Ok(())
    }
}

impl Filters {
    fn check(&self) -> Result<(), InvalidRequest> {
        let what = "names in a filter";
        let counts = [
            self.room_types.as_ref().map_or(0, Vec::len),
            self.not_room_types.len(),
            self.tags.as_ref().map_or(0, Vec::len),
            self.not_tags.len(),
            self.spaces.as_ref().map_or(0, Vec::len),
        ];
        counts.into_iter().try_for_each(|it| is_few(what, it, MAX_FILTER_NAMES))
    }
}

impl Scope {
    /// Whether the extension is wanted of a room that is in these lists, and maybe subscribed to.
    pub fn covers(&self, room_id: &str, lists: &[String], is_subscribed: bool) -> bool {
        let by_list = match &self.lists {
            None => !lists.is_empty(),
            Some(names) => {
                names.iter().any(|it| it == "*" && !lists.is_empty() || lists.contains(it))
            }
        };
        let by_room = match &self.rooms {
            None => is_subscribed,
            Some(names) => names.iter().any(|it| it == room_id || (it == "*" && is_subscribed)),
        };
        self.enabled && (by_list || by_room)
    }
}

fn check_state(required: &RequiredState) -> Result<(), InvalidRequest> {
    is_few("patterns of required state", required.len(), MAX_REQUIRED_STATE)?;
    is_short("the required state", required.bytes(), MAX_REQUIRED_STATE_BYTES)
}

fn is_few(what: &'static str, count: usize, most: usize) -> Result<(), InvalidRequest> {
    if count <= most { Ok(()) } else { Err(InvalidRequest::TooMany(what, most)) }
}

fn is_short(what: &'static str, bytes: usize, most: usize) -> Result<(), InvalidRequest> {
    if bytes <= most { Ok(()) } else { Err(InvalidRequest::TooLong(what, most)) }
}

/// Clients write `null` where they mean that nothing is there.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn read(body: JsonValue) -> Result<Request, serde_json::Error> {
        serde_json::from_value(body)
    }

    #[test]
    fn what_element_x_asks() {
        let request = read(json!({
            "conn_id": "room-list",
            "lists": { "all_rooms": {
                "ranges": [[0, 19]],
                "timeline_limit": 1,
                "required_state": [["m.room.name", ""], ["m.room.member", "$LAZY"]],
                "filters": { "is_invite": null, "not_room_types": ["m.space"] },
            } },
            "room_subscriptions": null,
            "extensions": {
                "account_data": { "enabled": true },
                "receipts": { "enabled": true, "rooms": ["*"] },
                "typing": { "enabled": true },
                "to_device": { "enabled": null },
            },
        }))
        .unwrap();
        assert_eq!(request.check(), Ok(()));
        let list = &request.lists["all_rooms"];
        assert_eq!(list.ranges, Some(vec![(0, 19)]));
        assert!(list.required_state.is_lazy());
        assert!(request.extensions.receipts.covers("!a", &[], true));
        assert!(!request.extensions.receipts.covers("!a", &[], false));
        assert!(request.extensions.receipts.covers("!a", &["all_rooms".to_owned()], false));
        assert!(!request.extensions.to_device.enabled);
    }

    #[test]
    fn s_k3_what_is_too_much_is_refused() {
        let list = |it: JsonValue| {
            let mut list = json!({ "timeline_limit": 1 });
            for (key, value) in it.as_object().unwrap() {
                list[key] = value.clone();
            }
            json!({ "lists": { "a": list } })
        };
        let many = |count: usize| (0..count).map(|it| it.to_string()).collect::<Vec<_>>();
        let lists = |count: usize| {
            let of = |it: String| (it, json!({ "timeline_limit": 1 }));
            json!({ "lists": many(count).into_iter().map(of).collect::<serde_json::Map<_, _>>() })
        };
        let patterns = |count: usize| {
            many(count).into_iter().map(|it| [it, String::new()]).collect::<Vec<_>>()
        };
        let cases = [
            (json!({}), true),
            (lists(MAX_LISTS), true),
            (lists(MAX_LISTS + 1), false),
            (list(json!({ "ranges": vec![[0, 1]; MAX_RANGES] })), true),
            (list(json!({ "ranges": vec![[0, 1]; MAX_RANGES + 1] })), false),
            (list(json!({ "ranges": [[3, 2]] })), false),
            (list(json!({ "required_state": patterns(MAX_REQUIRED_STATE) })), true),
            (list(json!({ "required_state": patterns(MAX_REQUIRED_STATE + 1) })), false),
            (list(json!({ "required_state": [["a".repeat(20_000), ""]] })), false),
            (list(json!({ "filters": { "tags": many(MAX_FILTER_NAMES + 1) } })), false),
            (json!({ "conn_id": "c".repeat(MAX_CONN_ID_BYTES + 1) }), false),
            (
                json!({ "extensions": { "typing": { "rooms": many(MAX_EXTENSION_NAMES + 1) } } }),
                false,
            ),
        ];
        for (body, may) in cases {
            let text = body.to_string();
            let is_ok = read(body).unwrap().check().is_ok();
            assert_eq!(is_ok, may, "{}", text.chars().take(80).collect::<String>());
        }
    }

    #[test]
    fn what_is_no_request() {
        let bad = [
            json!({ "lists": [] }),
            json!({ "lists": { "a": {} } }),
            json!({ "lists": { "a": { "timeline_limit": -1 } } }),
            json!({ "lists": { "a": { "timeline_limit": 1, "ranges": [[0]] } } }),
            json!({ "room_subscriptions": { "no room": { "timeline_limit": 1 } } }),
            json!({ "conn_id": 5 }),
        ];
        for body in bad {
            let text = body.to_string();
            assert!(read(body).is_err(), "{text}");
        }
    }
}
