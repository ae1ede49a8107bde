//! What events and rooms are called.

use ruma::{
    EventId, OwnedEventId, OwnedRoomId, RoomId,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
};

use super::BuildError;

/// An event's ID ([spec]): its reference hash, which is in the alphabet of its room version, or
/// what its server calls it in versions 1 and 2.
///
/// [spec]: https://spec.matrix.org/v1.19/appendices/#event-ids
pub(super) fn event_id(
    hash: &str,
    given: Option<&str>,
    rules: &RoomVersionRules,
) -> Result<OwnedEventId, BuildError> {
    let parsed = match rules.event_id_format {
        EventIdFormatVersion::V1 => {
            let given = given.ok_or_else(|| BuildError::Format("missing `event_id`".to_owned()))?;
            let id = EventId::parse(given).map_err(|it| BuildError::Format(it.to_string()))?;
            if id.server_name().is_none() {
                return Err(BuildError::Format(format!("{id} names no server")));
            }
            Ok(id)
        }
        _ => EventId::parse(format!("${hash}")),
    };
    parsed.map_err(|it| BuildError::Format(it.to_string()))
}

/// The room an event is in: the one it names, or, for a create event that names none, the one
/// named by its hash.
pub(super) fn room_id(hash: &str, given: Option<&str>) -> Result<OwnedRoomId, BuildError> {
    let parsed = match given {
        Some(given) => RoomId::parse(given),
        None => RoomId::parse(format!("!{hash}")),
    };
    parsed.map_err(|it| BuildError::Format(it.to_string()))
}
