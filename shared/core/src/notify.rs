//! What the default push rules make of an event, for unread counts ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#predefined-rules

use ruma::{OwnedUserId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;

use crate::{dummy_event, relation::Relation};

/// Mentions that are kept of one event; beyond that the rest is not highlighted.
pub const MAX_MENTIONS: usize = 50;

/// Whom an event notifies. Its sender is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifies {
    /// All members get a notification.
    pub all: bool,
    /// All members get a highlight.
    pub highlight_all: bool,
    /// These members get a highlight.
    pub highlights: Vec<OwnedUserId>,
    /// The root of the thread the event is in.
    pub thread: Option<String>,
}

/// The parts of a content that the default rules look at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    msgtype: Option<String>,
    #[serde(rename = "m.mentions")]
    mentions: Option<Mentions>,
    #[serde(rename = "m.relates_to")]
    relates_to: Option<Relation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mentions {
    user_ids: Vec<OwnedUserId>,
    room: bool,
}

/// Whether an event with this content may mention the whole room. False: it does not. So that
/// nobody finds out for every event whether its sender has the power to.
pub fn may_mention_room(content: &RawJsonValue) -> bool {
    let text = content.get();
    // An escape may be part of the name of the field.
    text.contains("\\u") || text.contains("\"m.mentions\"") && text.contains("\"room\"")
}

/// Evaluates the default rules on one event. `may_notify_room` says whether the sender has the
/// power to mention the whole room.
pub fn evaluate(
    event_type: &TimelineEventType,
    content: &RawJsonValue,
    is_state: bool,
    may_notify_room: impl FnOnce() -> bool,
) -> Notifies {
    if is_state {
        // `.m.rule.tombstone` highlights; other state events match no rule that notifies.
        let highlight_all = *event_type == TimelineEventType::RoomTombstone;
        return Notifies { all: highlight_all, highlight_all, ..Notifies::default() };
    }
    if dummy_event::is_hidden(&event_type.to_string()) {
        // Nobody can look at it.
        return Notifies::default();
    }
    let notifying =
        matches!(event_type, TimelineEventType::RoomMessage | TimelineEventType::RoomEncrypted);
    // Content of an unexpected shape matches no condition.
    let content: Content = serde_json::from_str(content.get()).unwrap_or_default();
    // `.m.rule.suppress_notices` stands before the mentions, `.m.rule.suppress_edits` after them.
    let is_notice = content.msgtype.as_deref() == Some("m.notice");
    let relation = content.relates_to.unwrap_or_default();
    let thread = relation.thread_root().map(ToOwned::to_owned);
    if is_notice && *event_type == TimelineEventType::RoomMessage {
        return Notifies { thread, ..Notifies::default() };
    }
    let mentions = content.mentions.unwrap_or_default();
    let highlight_all = mentions.room && may_notify_room();
    let mut highlights = mentions.user_ids;
    highlights.truncate(MAX_MENTIONS);
    let all = highlight_all || (notifying && !relation.is_edit());
    Notifies { all, highlight_all, highlights, thread }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;

    #[test]
    fn what_notifies() {
        let cases = [
            ("a message", "m.room.message", json!({"msgtype": "m.text"}), true, false),
            ("an encrypted one", "m.room.encrypted", json!({}), true, false),
            (
                "a notice that mentions",
                "m.room.message",
                json!({"msgtype": "m.notice", "m.mentions": {"room": true}}),
                false,
                false,
            ),
            ("a notice", "m.room.message", json!({"msgtype": "m.notice"}), false, false),
            (
                "one that nobody is shown",
                "org.matrix.dummy_event",
                json!({"m.mentions": {"room": true}}),
                false,
                false,
            ),
            (
                "a reaction",
                "m.reaction",
                json!({"m.relates_to": {"rel_type": "m.annotation"}}),
                false,
                false,
            ),
            (
                "an edit",
                "m.room.message",
                json!({"m.relates_to": {"rel_type": "m.replace"}}),
                false,
                false,
            ),
            ("@room", "m.room.message", json!({"m.mentions": {"room": true}}), true, true),
            ("a shape nobody expects", "m.room.message", json!({"m.mentions": 5}), true, false),
        ];
        for (name, event_type, content, all, highlight_all) in cases {
            let content = to_raw_value(&content).unwrap();
            let got = evaluate(&event_type.into(), &content, false, || true);
            assert_eq!((got.all, got.highlight_all), (all, highlight_all), "{name}");
            let mentions = content.get().contains("\"room\"");
            assert_eq!(may_mention_room(&content), mentions, "{name}");
        }
    }

    #[test]
    fn a_mention_highlights_its_user_and_a_thread_is_named() {
        let content = json!({
            "m.mentions": {"user_ids": ["@a:b"]},
            "m.relates_to": {"rel_type": "m.thread", "event_id": "$root"},
        });
        let got = evaluate(
            &TimelineEventType::RoomMessage,
            &to_raw_value(&content).unwrap(),
            false,
            || false,
        );
        assert_eq!(got.highlights, ["@a:b"]);
        assert_eq!(got.thread.as_deref(), Some("$root"));
    }

    #[test]
    fn only_power_mentions_the_room() {
        let content = to_raw_value(
            &json!({"m.relates_to": {"rel_type": "m.replace"}, "m.mentions": {"room": true}}),
        )
        .unwrap();
        let got = evaluate(&TimelineEventType::RoomMessage, &content, false, || false);
        assert!(!got.all && !got.highlight_all);
    }
}
