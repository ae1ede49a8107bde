//! Who reads, and in which form they get events.

use ruma::RoomId;
use skerry_core::visibility::Timeline;

use crate::{
    messages::Caller,
    objects::room::{Room, loaded::Loaded},
};

/// What the served form of an event depends on besides the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// Their memberships.
    pub(crate) timeline: &'a Timeline,
    /// Events are wanted as other servers get them.
    pub(crate) federation_format: bool,
    /// The room's version has `redacts` in the content.
    pub(crate) redacts_in_content: bool,
    /// The room ID, where the response does not say it.
    pub(crate) room_id: Option<&'a RoomId>,
}

impl Room {
    /// Who reads one room by its own endpoints: events name their room.
    pub(crate) fn asker<'a>(
        &'a self,
        room: &Loaded,
        caller: &'a Caller,
        timeline: &'a Timeline,
    ) -> Asker<'a> {
        Asker {
            caller,
            timeline,
            federation_format: false,
            redacts_in_content: room.rules.redaction.content_field_redacts,
            room_id: Some(&self.id),
        }
    }
}
