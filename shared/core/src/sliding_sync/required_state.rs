//! Which state of a room a client wants.

use std::collections::BTreeSet;

use ruma::UserId;
use serde::{Deserialize, Serialize};

const ANY: &str = "*";
const LAZY: &str = "$LAZY";
const ME: &str = "$ME";
const MEMBER: &str = "m.room.member";

/// Patterns of type and state key. `*` stands for all of either; as a state key `$ME` stands for
/// the user's own, and `$LAZY` of `m.room.member` for the members whom a timeline names.
///
/// Where everything is wanted and members lazily, members are not part of everything: otherwise
/// nobody could say so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequiredState(BTreeSet<(String, String)>);

impl RequiredState {
    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no state is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of the patterns.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(event_type, key)| event_type.len() + key.len()).sum()
    }

    /// Wants what the other wants, too.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// What is wanted here and was not wanted there.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        // The usual case, of every room whenever somebody looks.
        if self == other {
            return Self::default();
        }
        let is_new = |it: &&(String, String)| {
            let (event_type, key) = (it.0.as_str(), it.1.as_str());
            let is_covered = |pattern: &(String, String)| {
                let covers = |pattern: &str, it: &str| pattern == it || pattern == ANY;
                covers(&pattern.0, event_type) && covers(&pattern.1, key)
            };
            let is_of_members = event_type == MEMBER || event_type == ANY;
            // Lazily is less than all: patterns that cover each other by their texts do not then.
            let may_differ = is_of_members && self.is_lazy() != other.is_lazy();
            !other.0.contains(*it) && (may_differ || !other.0.iter().any(is_covered))
        };
        let mut new = Self(self.0.iter().filter(is_new).cloned().collect());
        if other.is_lazy() && !self.is_lazy() && self.has_all_members() {
            new.0.insert((MEMBER.to_owned(), ANY.to_owned()));
        }
        new
    }

    /// Whether members come with the timelines that name them.
    pub fn is_lazy(&self) -> bool {
        self.0.iter().any(|(event_type, key)| event_type == MEMBER && key == LAZY)
    }

    /// Whether all members are wanted.
    pub fn has_all_members(&self) -> bool {
        let has = |it: &str| self.0.iter().any(|(event_type, key)| event_type == it && key == ANY);
        has(MEMBER) || (has(ANY) && !self.is_lazy())
    }

    /// Whether it takes more than single keys to find what is wanted.
    pub fn has_wildcards(&self) -> bool {
        self.0.iter().any(|(event_type, key)| event_type == ANY || key == ANY)
    }

    /// The single keys that are wanted.
    pub fn keys(&self, me: &UserId) -> Vec<(String, String)> {
        let single = self.0.iter().filter(|(event_type, key)| {
            event_type != ANY && key != ANY && !(event_type == MEMBER && key == LAZY)
        });
        let of_me = |key: &str| if key == ME { me.to_string() } else { key.to_owned() };
        single.map(|(event_type, key)| (event_type.clone(), of_me(key))).collect()
    }

    /// Whether a piece of the state is wanted, whomever a timeline names.
    pub fn wants(&self, event_type: &str, key: &str, me: &UserId) -> bool {
        let leaves_members = event_type == MEMBER && self.is_lazy();
        self.0.iter().any(|(wanted_type, wanted_key)| {
            let by_type = wanted_type == event_type || (wanted_type == ANY && !leaves_members);
            let by_key =
                wanted_key == key || wanted_key == ANY || (wanted_key == ME && key == me.as_str());
            // A single key of any type is one even of a member.
            let by_single_key = wanted_type == ANY && wanted_key != ANY;
            (by_type || by_single_key) && by_key
        })
    }
}

impl FromIterator<(String, String)> for RequiredState {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    type Pattern = (&'static str, &'static str);
    type Case = (&'static str, Vec<Pattern>, Pattern, bool);

    fn required(patterns: &[(&str, &str)]) -> RequiredState {
        let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
        patterns.iter().map(owned).collect()
    }

    #[test]
    fn which_state_is_wanted() {
        let me = user_id!("@me:x.y");
        let all = ("*", "*");
        let lazy = ("m.room.member", "$LAZY");
        let cases: Vec<Case> = vec![
            ("a key", vec![("m.room.name", "")], ("m.room.name", ""), true),
            ("another key", vec![("m.room.name", "")], ("m.room.name", "x"), false),
            ("another type", vec![("m.room.name", "")], ("m.room.topic", ""), false),
            ("a type", vec![("m.space.child", "*")], ("m.space.child", "!a"), true),
            ("everything", vec![all], ("m.room.member", "@you:x.y"), true),
            ("oneself", vec![("m.room.member", "$ME")], ("m.room.member", "@me:x.y"), true),
            ("not others", vec![("m.room.member", "$ME")], ("m.room.member", "@you:x.y"), false),
            ("lazily", vec![lazy], ("m.room.member", "@you:x.y"), false),
            ("everything but members", vec![all, lazy], ("m.room.member", "@you:x.y"), false),
            ("the rest of it", vec![all, lazy], ("m.room.name", ""), true),
            (
                "oneself besides",
                vec![all, lazy, ("m.room.member", "$ME")],
                ("m.room.member", "@me:x.y"),
                true,
            ),
            ("any type", vec![("*", "")], ("m.room.topic", ""), true),
            ("any type, another key", vec![("*", "")], ("m.space.child", "!a"), false),
            ("nothing", vec![], ("m.room.name", ""), false),
        ];
        for (name, patterns, (event_type, key), expected) in cases {
            assert_eq!(required(&patterns).wants(event_type, key, me), expected, "{name}");
        }
    }

    #[test]
    fn what_grows() {
        let name = ("m.room.name", "");
        let lazy = ("m.room.member", "$LAZY");
        let all = ("*", "*");
        let cases = [
            ("nothing", vec![name], vec![name], vec![]),
            ("a key", vec![name, ("m.room.topic", "")], vec![name], vec![("m.room.topic", "")]),
            ("less", vec![name], vec![name, lazy], vec![]),
            ("was among all", vec![name], vec![all], vec![]),
            ("all of a type", vec![("a", "*")], vec![("a", "b")], vec![("a", "*")]),
            ("a key of a type", vec![("a", "b")], vec![("a", "*")], vec![]),
            ("all members", vec![all], vec![all, lazy], vec![("m.room.member", "*")]),
            ("lazily instead", vec![all, lazy], vec![all], vec![lazy]),
        ];
        for (what, now, before, expected) in cases {
            assert_eq!(required(&now).beyond(&required(&before)), required(&expected), "{what}");
        }
    }

    #[test]
    fn single_keys() {
        let me = user_id!("@me:x.y");
        let found = required(&[
            ("m.room.name", ""),
            ("m.room.member", "$ME"),
            ("m.room.member", "$LAZY"),
            ("m.space.child", "*"),
            ("*", ""),
        ]);
        let expected = [("m.room.member", "@me:x.y"), ("m.room.name", "")];
        let expected = expected.map(|it| (it.0.to_owned(), it.1.to_owned()));
        assert_eq!(found.keys(me), expected);
        assert!(found.has_wildcards() && found.is_lazy() && !found.has_all_members());
    }
}
