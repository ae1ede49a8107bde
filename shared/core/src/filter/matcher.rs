//! A filter made ready for many events: what matching one event costs depends on the lengths of its
//! type and of the patterns with a `*`, which are few ([`super::MAX_STARS`]), not on how many names
//! the filter has.

use std::collections::BTreeSet;

use crate::gather::Gather as _;
use ruma::{
    OwnedUserId, RoomId,
    api::client::filter::{Filter, RoomEventFilter, UrlFilter},
};

use super::passes_room;

/// A filter, ready to be matched.
#[derive(Clone, Debug)]
pub struct Matcher<'a> {
    is_of_room: bool,
    /// None: all.
    types: Option<Patterns<'a>>,
    not_types: Patterns<'a>,
    /// None: all.
    senders: Option<BTreeSet<&'a str>>,
    not_senders: BTreeSet<&'a str>,
    /// Whether the content must have a URL, or must have none.
    has_url: Option<bool>,
}

impl<'a> Matcher<'a> {
    /// Of a filter for what belongs to no room.
    pub fn new(filter: &'a Filter) -> Self {
        Self {
            is_of_room: true,
            types: filter.types.as_deref().map(Patterns::new),
            not_types: Patterns::new(&filter.not_types),
            senders: filter.senders.as_deref().map(names),
            not_senders: names(&filter.not_senders),
            has_url: None,
        }
    }

    /// Of a filter for the events of rooms, for those of one room.
    pub fn of_room(filter: &'a RoomEventFilter, room_id: &RoomId) -> Self {
        Self {
            is_of_room: passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id),
            types: filter.types.as_deref().map(Patterns::new),
            not_types: Patterns::new(&filter.not_types),
            senders: filter.senders.as_deref().map(names),
            not_senders: names(&filter.not_senders),
            has_url: filter.url_filter.as_ref().map(|it| *it == UrlFilter::EventsWithUrl),
        }
    }

    /// Whether the filter lets an event through. Account data, typing and receipts have no sender.
    /// Whether the content has a `url` is asked only of events that nothing else keeps out.
    pub fn passes(
        &self,
        event_type: &str,
        sender: Option<&str>,
        has_url: impl FnOnce() -> bool,
    ) -> bool {
        self.is_of_room
            && self.types.as_ref().is_none_or(|it| it.match_type(event_type))
            && !self.not_types.match_type(event_type)
            && self.passes_sender(sender)
            && self.has_url.is_none_or(|wanted| wanted == has_url())
    }

    /// Whether the filter lets nothing through, whatever it is.
    pub fn passes_nothing(&self) -> bool {
        !self.is_of_room
            || self.types.as_ref().is_some_and(Patterns::is_empty)
            || self.senders.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// What has no sender passes no list of senders, and is excluded by none.
    fn passes_sender(&self, sender: Option<&str>) -> bool {
        let is_among = |list: &BTreeSet<&str>| sender.is_some_and(|it| list.contains(it));
        self.senders.as_ref().is_none_or(is_among) && !is_among(&self.not_senders)
    }
}

fn names(users: &[OwnedUserId]) -> BTreeSet<&str> {
    users.iter().map(|it| it.as_str()).gather()
}

/// Types of events, and patterns of them.
#[derive(Clone, Debug)]
struct Patterns<'a> {
    names: BTreeSet<&'a str>,
    wildcards: Vec<&'a str>,
}

impl<'a> Patterns<'a> {
    fn new(patterns: &'a [String]) -> Self {
        let (wildcards, names): (BTreeSet<_>, _) =
            patterns.iter().map(String::as_str).partition(|it| it.contains('*'));
        Self { names, wildcards: wildcards.into_iter().collect() }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.wildcards.is_empty()
    }

    fn match_type(&self, event_type: &str) -> bool {
        self.names.contains(event_type)
            || self.wildcards.iter().any(|it| matches_wildcard(it, event_type))
    }
}

/// Whether the whole text matches a pattern in which `*` stands for any sequence of characters.
///
/// Each piece between two stars is searched once, behind the piece before it: taking the first
/// place it fits never spoils a later piece, so there is no backtracking.
fn matches_wildcard(pattern: &str, text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use ruma::room_id;
    use serde_json::json;

    use super::*;

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
        let message = ("m.room.message", Some("@ann:example.org"), false);
        let image = ("m.room.message", Some("@ann:example.org"), true);
        let typing = ("m.typing", None, false);
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
            let (event_type, sender, has_url) = event;
            let matcher = Matcher::of_room(&parsed, room_id!("!a:example.org"));
            let got = matcher.passes(event_type, sender, || has_url);
            assert_eq!(got, expected, "{filter} on {event:?}");
            assert!(!(got && matcher.passes_nothing()), "{filter}");
        }
    }

    #[test]
    fn what_a_filter_of_other_events_lets_through() {
        let cases = [
            (json!({}), true),
            (json!({"types": ["m.direct"]}), true),
            (json!({"not_types": ["m.*"]}), false),
            (json!({"senders": ["@ann:example.org"]}), false),
        ];
        for (filter, expected) in cases {
            let parsed: Filter = serde_json::from_value(filter.clone()).unwrap();
            let got = Matcher::new(&parsed).passes("m.direct", None, || false);
            assert_eq!(got, expected, "{filter}");
        }
    }
}
