//! What a receiver reads out of a sync: the messages that say when they were sent.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The part of a sync's answer that matters to a receiver.
#[derive(Deserialize)]
pub(crate) struct News {
    pub(crate) next_batch: String,
    #[serde(default)]
    rooms: Rooms,
}

#[derive(Default, Deserialize)]
struct Rooms {
    #[serde(default)]
    join: BTreeMap<String, Joined>,
}

#[derive(Deserialize)]
struct Joined {
    timeline: Option<Timeline>,
}

#[derive(Deserialize)]
struct Timeline {
    events: Vec<Event>,
    #[serde(default)]
    limited: bool,
    prev_batch: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Event {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    sent_us: Option<u64>,
}

impl Event {
    /// When it was sent, where it says so.
    pub(crate) fn sent_us(&self) -> Option<u64> {
        self.content.sent_us
    }
}

impl News {
    /// Where the history begins that a timeline leaves out.
    pub(crate) fn gap(&self) -> Option<&str> {
        let mut timelines = self.rooms.join.values().filter_map(|room| room.timeline.as_ref());
        timelines.find(|it| it.limited)?.prev_batch.as_deref()
    }

    /// When its messages were sent, in microseconds since an instant that sender and receiver know.
    pub(crate) fn sent_us(&self) -> impl Iterator<Item = u64> {
        self.rooms
            .join
            .values()
            .filter_map(|room| room.timeline.as_ref())
            .flat_map(|timeline| &timeline.events)
            .filter_map(Event::sent_us)
    }
}

#[cfg(test)]
mod tests {
    use super::News;

    fn news(timeline: &str) -> News {
        let room = format!(r#"{{"join":{{"!r":{{"timeline":{timeline}}}}}}}"#);
        let text = format!(r#"{{"next_batch":"n","rooms":{room}}}"#);
        serde_json::from_str(&text).expect("a sync")
    }

    #[test]
    fn what_a_timeline_leaves_out_is_told() {
        let whole = r#"{"events":[{"content":{"sent_us":7}}],"limited":false,"prev_batch":"p"}"#;
        assert_eq!(news(whole).gap(), None);
        let cut = r#"{"events":[{"content":{"sent_us":7}}],"limited":true,"prev_batch":"p"}"#;
        assert_eq!(news(cut).gap(), Some("p"));
        assert_eq!(news(cut).sent_us().collect::<Vec<_>>(), [7]);
    }
}
