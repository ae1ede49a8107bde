//! For whom events are read, and in which form they come.

use ruma::{OwnedUserId, RoomId};
use skerry_core::{dummy_event, visibility::Timeline};

use crate::{
    messages::{Caller, Requester},
    objects::room::{Room, loaded::Loaded},
    store::room::events::StoredEvent,
};

/// For whom events are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'a> {
    /// Who asks.
    pub(crate) requester: &'a Requester,
    /// What they were in the room.
    pub(crate) timeline: &'a Timeline,
    /// The form in which they get events.
    pub(crate) format: Format<'a>,
    /// Whose events they do not want to see, in order.
    ignored: &'a [OwnedUserId],
}

/// The form of an event that leaves the room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format<'a> {
    /// The stored PDU as it is.
    Federation,
    /// What clients get.
    Client(ClientFormat<'a>),
}

/// What the client format of an event depends on besides the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientFormat<'a> {
    /// The user, and the device.
    pub(crate) caller: &'a Caller,
    /// The room's version has `redacts` in the content.
    pub(crate) redacts_in_content: bool,
    /// The room ID, where the response does not say it.
    pub(crate) room_id: Option<&'a RoomId>,
}

impl Room {
    /// For whom one room is read by its own endpoints: events name their room.
    pub(crate) fn audience<'a>(
        &'a self,
        room: &Loaded,
        requester: &'a Requester,
        timeline: &'a Timeline,
    ) -> Audience<'a> {
        let format = match requester {
            Requester::Server(_) => Format::Federation,
            Requester::User(caller) => Format::Client(ClientFormat {
                caller,
                redacts_in_content: room.rules.redaction.content_field_redacts,
                room_id: Some(&self.id),
            }),
        };
        Audience { requester, timeline, format, ignored: &[] }
    }
}

impl<'a> Audience<'a> {
    /// The same, who does not want to see what these users send. In order.
    pub(crate) fn ignoring(self, ignored: &'a [OwnedUserId]) -> Self {
        Self { ignored, ..self }
    }

    /// Whether an event is kept from the requester, who could see it: from a user who ignores its
    /// sender, or from all users.
    pub(crate) fn is_kept_from(&self, event: &StoredEvent) -> bool {
        let is_user = matches!(self.requester, Requester::User(_));
        is_user && dummy_event::is_hidden(&event.event_type) || is_ignored(self.ignored, event)
    }

    /// The same in a `/sync` response, which says by itself which room an event is of. A filter may
    /// want events as they go over federation.
    pub(crate) fn in_sync(self, federation_format: bool) -> Self {
        let format = match self.format {
            Format::Client(client) if !federation_format => {
                Format::Client(ClientFormat { room_id: None, ..client })
            }
            _ => Format::Federation,
        };
        Self { format, ..self }
    }
}

/// Whether an event is kept from who ignores these users, which are in order. State never is
/// ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#ignoring-users
pub(crate) fn is_ignored(ignored: &[OwnedUserId], event: &StoredEvent) -> bool {
    event.state_key.is_none()
        && ignored.binary_search_by(|it| it.as_str().cmp(&event.sender)).is_ok()
}
