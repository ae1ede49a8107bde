//! What an event says it relates to, and the threads that come of it ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events

use ruma::{EventId, events::relation::RelationType};
use serde::Deserialize;

/// How many events a relation is followed over to find out which thread an event is in.
pub const MAX_HOPS: usize = 3;

/// The `m.relates_to` of a content, as far as it has the expected shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Relation {
    rel_type: Option<String>,
    event_id: Option<String>,
}

impl Relation {
    /// The relation of an event, given as its PDU. An event of an unexpected shape has none.
    pub fn of(pdu: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Event {
            content: Content,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Content {
            #[serde(rename = "m.relates_to")]
            relates_to: Option<Relation>,
        }
        let event: Event = serde_json::from_str(pdu).unwrap_or_default();
        event.content.relates_to.unwrap_or_default()
    }

    /// The root of the thread that the event says it is in.
    pub fn thread_root(&self) -> Option<&str> {
        self.event_id.as_deref().filter(|_| self.is(&RelationType::Thread))
    }

    /// Whether the event replaces another one's content.
    pub fn is_edit(&self) -> bool {
        self.is(&RelationType::Replacement)
    }

    /// The event that it relates to, in whatever way.
    pub fn parent(&self) -> Option<&EventId> {
        self.event_id.as_deref().filter(|_| self.rel_type.is_some())?.try_into().ok()
    }

    fn is(&self, rel_type: &RelationType) -> bool {
        self.rel_type.as_deref() == Some(rel_type.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as JsonValue, json};

    use super::*;

    #[test]
    fn what_an_event_relates_to() {
        let (thread, edit) = (json!("m.thread"), json!("m.replace"));
        // What `m.relates_to` is; the thread's root, whether it is an edit, the parent.
        let cases = [
            (json!({"rel_type": thread, "event_id": "$a"}), Some("$a"), false, Some("$a")),
            (json!({"rel_type": edit, "event_id": "$a"}), None, true, Some("$a")),
            (json!({"rel_type": "org.example", "event_id": "$a"}), None, false, Some("$a")),
            (json!({"rel_type": thread, "event_id": "a"}), Some("a"), false, None),
            (json!({"rel_type": thread}), None, false, None),
            (json!({"m.in_reply_to": {"event_id": "$a"}}), None, false, None),
            (json!({"event_id": "$a"}), None, false, None),
            (json!({"rel_type": 1, "event_id": "$a"}), None, false, None),
            (json!("text"), None, false, None),
            (JsonValue::Null, None, false, None),
        ];
        for (relates_to, root, is_edit, parent) in cases {
            let pdu = json!({"content": {"m.relates_to": relates_to, "body": 1}});
            let relation = Relation::of(&pdu.to_string());
            assert_eq!(relation.thread_root(), root, "{pdu}");
            assert_eq!(relation.is_edit(), is_edit, "{pdu}");
            assert_eq!(relation.parent().map(EventId::as_str), parent, "{pdu}");
        }
        assert_eq!(Relation::of("{}"), Relation::default());
        assert_eq!(Relation::of("no JSON"), Relation::default());
    }
}
