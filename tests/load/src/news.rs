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
}

#[derive(Deserialize)]
struct Event {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    sent_us: Option<u64>,
}

impl News {
    /// When its messages were sent, in microseconds since an instant that sender and receiver know.
    pub(crate) fn sent_us(&self) -> impl Iterator<Item = u64> {
        self.rooms
            .join
            .values()
            .filter_map(|room| room.timeline.as_ref())
            .flat_map(|timeline| &timeline.events)
            .filter_map(|event| event.content.sent_us)
    }
}
