//! Properties of an event, named by dot-separated paths ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths

use serde_json::Value as JsonValue;

/// What clients see of an event as it is stored; its room and its ID are known besides.
const SHOWN: [&str; 6] = ["content", "origin_server_ts", "redacts", "sender", "state_key", "type"];

/// A path to a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The room.
    RoomId,
    /// The event's ID.
    EventId,
    /// The names of what stands in each other, from the outside.
    In(Vec<String>),
}

impl Path {
    /// Reads a path.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "room_id" => return Self::RoomId,
            "event_id" => return Self::EventId,
            _ => {}
        }
        let (mut names, mut name) = (Vec::new(), String::new());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '.' => names.push(std::mem::take(&mut name)),
                '\\' => name.push(chars.next_if(|it| ['.', '\\'].contains(it)).unwrap_or(c)),
                _ => name.push(c),
            }
        }
        names.push(name);
        Self::In(names)
    }

    /// The property of an event.
    pub(super) fn find<'a>(&self, event: &'a JsonValue) -> Option<&'a JsonValue> {
        let Self::In(names) = self else { return None };
        let is_shown = names.first().is_some_and(|it| SHOWN.contains(&it.as_str()));
        let names = names.iter().filter(|_| is_shown);
        let mut found = is_shown.then_some(event)?;
        for name in names {
            found = found.as_object()?.get(name)?;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_path_leads_to() {
        let event = json!({
            "type": "m.room.message",
            "content": { "m.relates_to": { "rel_type": "m.thread" }, "a\\b": 1, "c": { "": 2 } },
            "depth": 7,
        });
        let cases = [
            ("type", Some(json!("m.room.message"))),
            (r"content.m\.relates_to.rel_type", Some(json!("m.thread"))),
            ("content.m.relates_to.rel_type", None),
            (r"content.a\\b", Some(json!(1))),
            (r"content.a\b", Some(json!(1))),
            ("content.c.", Some(json!(2))),
            ("content.d", None),
            ("type.a", None),
            ("depth", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Path::parse(path).find(&event).cloned(), expected, "{path}");
        }
    }
}
