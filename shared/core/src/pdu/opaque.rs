//! Event IDs of room versions 1 and 2, which servers make up.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{EventId, OwnedEventId, RoomId, ServerName};
use sha2::{Digest as _, Sha256};

use super::BuildError;

/// An event ID of the kind that servers make up in room versions 1 and 2: unique among those of
/// this server, as `num` is in the room.
///
/// # Errors
///
/// [`BuildError::Format`] when the server's name is too long for an event ID.
pub fn opaque_event_id(
    room_id: &RoomId,
    num: u64,
    now_ms: u64,
    server_name: &ServerName,
) -> Result<OwnedEventId, BuildError> {
    let hash = Sha256::digest(format!("{room_id} {num} {now_ms}"));
    EventId::parse(format!("${}:{server_name}", URL_SAFE_NO_PAD.encode(hash)))
        .map_err(|it| BuildError::Format(it.to_string()))
}
