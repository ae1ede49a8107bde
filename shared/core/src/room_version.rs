//! Room versions are data: flags, never `if version >= 7` ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};

/// The version of a room whose creator asks for none.
pub const DEFAULT: RoomVersionId = RoomVersionId::V12;

/// The versions rooms may be created with.
pub const SUPPORTED: [RoomVersionId; 12] = [
    RoomVersionId::V1,
    RoomVersionId::V2,
    RoomVersionId::V3,
    RoomVersionId::V4,
    RoomVersionId::V5,
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// The rules of a supported version; none for every other.
pub fn rules(version: &RoomVersionId) -> Option<RoomVersionRules> {
    SUPPORTED.contains(version).then(|| version.rules()).flatten()
}
