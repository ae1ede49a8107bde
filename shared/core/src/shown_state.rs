//! State that is shown to those who are not in the room: which event types, and where.

/// Where events of one type are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The type.
    pub event_type: &'static str,
    /// An invitation or a knock shows the event ([spec]). The specification recommends the
    /// inviter's `m.room.member` too, which is found by another state key.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
    pub in_stripped_state: bool,
    /// The room's entry in the directory shows something of it, so that a change of it changes
    /// the entry: of `m.room.member` the number of joined members.
    pub in_directory: bool,
    /// A summary of the room shows something of its content.
    pub in_summary: bool,
}

/// Every type of which something is shown, in order.
pub const SHOWN: [Shown; 10] = [
    shown("m.room.avatar", true, true, true),
    shown("m.room.canonical_alias", true, true, true),
    // A create event never changes, and what is encrypted is for a summary alone.
    shown("m.room.create", true, false, true),
    shown("m.room.encryption", true, false, true),
    shown("m.room.guest_access", false, true, true),
    shown("m.room.history_visibility", true, true, true),
    shown("m.room.join_rules", true, true, true),
    shown("m.room.member", false, true, false),
    shown("m.room.name", true, true, true),
    shown("m.room.topic", true, true, true),
];

const fn shown(
    event_type: &'static str,
    in_stripped_state: bool,
    in_directory: bool,
    in_summary: bool,
) -> Shown {
    Shown { event_type, in_stripped_state, in_directory, in_summary }
}

/// The types that stripped state has, each with an empty state key.
pub fn stripped() -> impl Iterator<Item = &'static str> {
    SHOWN.iter().filter(|it| it.in_stripped_state).map(|it| it.event_type)
}

/// The types that a summary is made of, each with an empty state key.
pub fn summarized() -> impl Iterator<Item = &'static str> {
    SHOWN.iter().filter(|it| it.in_summary).map(|it| it.event_type)
}

/// Whether the room's entry in the directory shows something of events of this type.
pub fn is_in_directory(event_type: &str) -> bool {
    SHOWN.iter().any(|it| it.in_directory && it.event_type == event_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_shows_its_types() {
        let every = [
            "avatar",
            "canonical_alias",
            "create",
            "encryption",
            "guest_access",
            "history_visibility",
            "join_rules",
            "member",
            "name",
            "topic",
        ]
        .map(|it| format!("m.room.{it}"));
        assert_eq!(SHOWN.map(|it| it.event_type.to_owned()), every, "each once and in order");
        let without = |left_out: &[&str]| -> Vec<_> {
            let is_left_out = |it: &str| left_out.iter().any(|out| it == format!("m.room.{out}"));
            every.iter().map(String::as_str).filter(|it| !is_left_out(it)).collect()
        };
        assert_eq!(stripped().collect::<Vec<_>>(), without(&["guest_access", "member"]));
        assert_eq!(summarized().collect::<Vec<_>>(), without(&["member"]));
        let listed: Vec<_> =
            every.iter().map(String::as_str).filter(|it| is_in_directory(it)).collect();
        assert_eq!(listed, without(&["create", "encryption"]));
        assert!(!is_in_directory("m.room.message"));
    }
}
