//! Which rooms a request asks for, and what it wants of them.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use super::{Filters, MAX_GIVEN_ROOMS, MAX_TIMELINE_EVENTS, Request, RequiredState};

/// What filters look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// The user is invited.
    pub is_invite: bool,
    /// `m.direct` names it.
    pub is_dm: bool,
    /// It is encrypted.
    pub is_encrypted: bool,
    /// Its type, if it has one.
    pub room_type: Option<String>,
    /// The user's tags of it.
    pub tags: Vec<String>,
}

/// What is wanted of a room by all lists and subscriptions that match it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The newest events.
    pub timeline_limit: u64,
    /// State.
    pub required_state: RequiredState,
    /// The lists it is in.
    pub lists: Vec<String>,
    /// Whether it is subscribed to.
    pub is_subscribed: bool,
}

/// The rooms that a request asks for.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// How many rooms pass the filters of each list.
    pub counts: BTreeMap<String, u64>,
    /// Those that are wanted: subscriptions first, then in the order of the lists.
    pub rooms: Vec<(OwnedRoomId, Wanted)>,
    /// Some list shows a part of its rooms: then their order matters.
    pub is_partial: bool,
}

/// Finds the rooms that a request asks for. `rooms`: those of the user, in the order of lists.
/// `children`: of each space that a filter names. No more than [`MAX_GIVEN_ROOMS`] are found.
pub fn wanted<'a>(
    request: &Request,
    rooms: &(impl Iterator<Item = (&'a RoomId, &'a Traits)> + Clone),
    may_subscribe: impl Fn(&RoomId) -> bool,
    children: &BTreeMap<OwnedRoomId, Vec<OwnedRoomId>>,
) -> Windows {
    let mut windows = Windows::default();
    let mut places: BTreeMap<&RoomId, usize> = BTreeMap::new();
    for (room_id, settings) in &request.room_subscriptions {
        if !may_subscribe(room_id) {
            continue;
        }
        places.insert(room_id, windows.rooms.len());
        let mut wanted = Wanted { is_subscribed: true, ..Wanted::default() };
        wanted.add(settings.timeline_limit, &settings.required_state);
        windows.rooms.push((room_id.clone(), wanted));
    }
    for (name, list) in &request.lists {
        let mut count = 0;
        let mut shown = 0;
        for (room_id, traits) in rooms.clone() {
            if !list.filters.pass(room_id, traits, children) {
                continue;
            }
            let place = count;
            count += 1;
            if !is_shown(list.ranges.as_deref(), place) {
                continue;
            }
            shown += 1;
            let at = places.get(room_id).copied();
            if at.is_none() && windows.rooms.len() >= MAX_GIVEN_ROOMS {
                continue;
            }
            let at = at.unwrap_or(windows.rooms.len());
            if at == windows.rooms.len() {
                places.insert(room_id, at);
                windows.rooms.push((room_id.to_owned(), Wanted::default()));
            }
            if let Some((_, wanted)) = windows.rooms.get_mut(at) {
                wanted.add(list.timeline_limit, &list.required_state);
                wanted.lists.push(name.clone());
            }
        }
        windows.is_partial |= shown < count;
        windows.counts.insert(name.clone(), count);
    }
    windows
}

/// Whether a place is in one of the ranges.
fn is_shown(ranges: Option<&[(u64, u64)]>, place: u64) -> bool {
    ranges.is_none_or(|it| it.iter().any(|(first, last)| (*first..=*last).contains(&place)))
}

impl Wanted {
    fn add(&mut self, timeline_limit: u64, required_state: &RequiredState) {
        self.timeline_limit = self.timeline_limit.max(timeline_limit.min(MAX_TIMELINE_EVENTS));
        // All members are more than those that timelines name.
        let is_new = self.lists.is_empty() && !self.is_subscribed || self.required_state.is_empty();
        let has_all = |it: &RequiredState| it.has_all_members();
        let all = !is_new && (has_all(&self.required_state) || has_all(required_state));
        self.required_state.add(required_state);
        if all && !self.required_state.has_all_members() {
            let all = ("m.room.member".to_owned(), "*".to_owned());
            self.required_state.add(&[all].into_iter().collect());
        }
    }
}

impl Filters {
    /// Whether a room is in the list.
    pub fn pass(
        &self,
        room_id: &RoomId,
        room: &Traits,
        children: &BTreeMap<OwnedRoomId, Vec<OwnedRoomId>>,
    ) -> bool {
        let is = |wanted: Option<bool>, is: bool| wanted.is_none_or(|it| it == is);
        let has_tag = |tags: &[String]| tags.iter().any(|it| room.tags.contains(it));
        let is_child = |space: &OwnedRoomId| {
            children.get(space).is_some_and(|it| it.iter().any(|child| child == room_id))
        };
        is(self.is_dm, room.is_dm)
            && is(self.is_encrypted, room.is_encrypted)
            && is(self.is_invite, room.is_invite)
            && self.room_types.as_ref().is_none_or(|it| it.contains(&room.room_type))
            && !self.not_room_types.contains(&room.room_type)
            && self.tags.as_deref().is_none_or(has_tag)
            && !has_tag(&self.not_tags)
            && self.spaces.as_ref().is_none_or(|it| it.iter().any(is_child))
    }

    /// Whether it looks at the types of rooms, which never change.
    pub fn looks_at_types(&self) -> bool {
        self.room_types.is_some() || !self.not_room_types.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_room_id;
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn request(body: JsonValue) -> Request {
        serde_json::from_value(body).unwrap()
    }

    fn room(name: &str) -> OwnedRoomId {
        RoomId::parse(format!("!{name}:x.y")).unwrap()
    }

    /// Five rooms: a space, an invitation, a direct one, an encrypted favourite, a plain one.
    fn rooms() -> Vec<(OwnedRoomId, Traits)> {
        let plain = Traits::default;
        vec![
            (room("space"), Traits { room_type: Some("m.space".to_owned()), ..plain() }),
            (room("invite"), Traits { is_invite: true, ..plain() }),
            (room("dm"), Traits { is_dm: true, ..plain() }),
            (
                room("secret"),
                Traits { is_encrypted: true, tags: vec!["m.favourite".to_owned()], ..plain() },
            ),
            (room("plain"), plain()),
        ]
    }

    fn found(body: JsonValue) -> Windows {
        let rooms = rooms();
        let listed = rooms.iter().map(|(room_id, traits)| (&**room_id, traits));
        let children = BTreeMap::from([(room("space"), vec![room("plain"), room("other")])]);
        let is_own = |it: &RoomId| rooms.iter().any(|(room_id, _)| room_id == it);
        wanted(&request(body), &listed, is_own, &children)
    }

    #[test]
    fn which_rooms_pass_a_filter() {
        let cases = [
            (json!({}), vec!["space", "invite", "dm", "secret", "plain"]),
            (json!({ "is_dm": true }), vec!["dm"]),
            (json!({ "is_dm": false }), vec!["space", "invite", "secret", "plain"]),
            (json!({ "is_encrypted": true }), vec!["secret"]),
            (json!({ "is_invite": true }), vec!["invite"]),
            (json!({ "is_invite": false }), vec!["space", "dm", "secret", "plain"]),
            (json!({ "room_types": ["m.space"] }), vec!["space"]),
            (json!({ "room_types": [null] }), vec!["invite", "dm", "secret", "plain"]),
            (json!({ "room_types": ["m.space", null], "not_room_types": [null] }), vec!["space"]),
            (json!({ "not_room_types": ["m.space"] }), vec!["invite", "dm", "secret", "plain"]),
            (json!({ "tags": ["m.favourite", "u.x"] }), vec!["secret"]),
            (json!({ "tags": [] }), vec![]),
            (json!({ "tags": ["m.favourite"], "not_tags": ["m.favourite"] }), vec![]),
            (
                json!({ "not_tags": ["m.favourite"], "is_invite": false }),
                vec!["space", "dm", "plain"],
            ),
            (json!({ "spaces": ["!space:x.y"] }), vec!["plain"]),
            (json!({ "spaces": ["!unknown:x.y"] }), vec![]),
        ];
        for (filters, expected) in cases {
            let text = filters.to_string();
            let found =
                found(json!({ "lists": { "a": { "timeline_limit": 1, "filters": filters } } }));
            let rooms: Vec<_> = found.rooms.iter().map(|(room_id, _)| room_id.clone()).collect();
            let expected: Vec<_> = expected.into_iter().map(room).collect();
            assert_eq!(rooms, expected, "{text}");
            assert_eq!(found.counts["a"], expected.len() as u64, "{text}");
        }
    }

    #[test]
    fn ranges_are_places_in_the_filtered_list() {
        let cases = [
            (json!([[0, 0]]), vec!["space"], true),
            (json!([[1, 2]]), vec!["invite", "dm"], true),
            (json!([[0, 0], [4, 9]]), vec!["space", "plain"], true),
            (json!([[0, 4]]), vec!["space", "invite", "dm", "secret", "plain"], false),
            (json!([[7, 9]]), vec![], true),
            (json!([]), vec![], true),
            (JsonValue::Null, vec!["space", "invite", "dm", "secret", "plain"], false),
        ];
        for (ranges, expected, is_partial) in cases {
            let text = ranges.to_string();
            let found =
                found(json!({ "lists": { "a": { "timeline_limit": 1, "ranges": ranges } } }));
            let rooms: Vec<_> = found.rooms.iter().map(|(room_id, _)| room_id.clone()).collect();
            assert_eq!(rooms, expected.into_iter().map(room).collect::<Vec<_>>(), "{text}");
            assert_eq!((found.counts["a"], found.is_partial), (5, is_partial), "{text}");
        }
    }

    #[test]
    fn what_several_want_is_wanted_together() {
        let found = found(json!({
            "lists": {
                "a": { "timeline_limit": 1, "required_state": [["m.room.name", ""]] },
                "b": {
                    "timeline_limit": 500, "ranges": [[0, 1]], "filters": { "is_invite": false },
                    "required_state": [["m.room.topic", ""]],
                },
            },
            "room_subscriptions": {
                "!dm:x.y": { "timeline_limit": 20, "required_state": [["m.room.name", ""]] },
                "!strange:x.y": { "timeline_limit": 20 },
            },
        }));
        let of = |name: &str| found.rooms.iter().find(|(it, _)| *it == room(name)).unwrap();
        let (first, dm) = found.rooms.first().unwrap();
        assert_eq!(*first, owned_room_id!("!dm:x.y"), "subscriptions come first");
        assert_eq!(dm.timeline_limit, MAX_TIMELINE_EVENTS);
        assert_eq!((dm.required_state.len(), dm.is_subscribed), (2, true));
        assert_eq!(dm.lists, ["a", "b"]);
        assert_eq!(of("plain").1.timeline_limit, 1);
        assert_eq!(of("plain").1.lists, ["a"]);
        assert_eq!(found.rooms.len(), 5, "what is not the user's is ignored");
    }

    #[test]
    fn all_members_are_more_than_lazy_ones() {
        let all = json!([["*", "*"]]);
        let lazy = json!([["m.room.member", "$LAZY"]]);
        let found = found(json!({ "lists": {
            "a": { "timeline_limit": 1, "required_state": all },
            "b": { "timeline_limit": 1, "required_state": lazy },
        } }));
        assert!(found.rooms.iter().all(|(_, it)| it.required_state.has_all_members()));
    }
}
