//! The content of a new room's `m.room.power_levels` event ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels

use crate::gather::Gather as _;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedUserId,
    api::client::room::create_room::v3::Request, int, room_version_rules::RoomVersionRules,
};

use super::{CreateRoomError, Preset, object};

/// The type of the event.
pub(super) const EVENT_TYPE: &str = "m.room.power_levels";

/// Power of a creator, where it is not infinite, and of whom a preset trusts as much.
const CREATOR_POWER: i32 = 100;

/// Power that only creators have, so that nobody else closes a room for good.
const TOMBSTONE_POWER: i32 = 150;

/// What state events need unless said otherwise.
const STATE_POWER: i32 = 50;

/// The default power levels of the preset with the client's own on top.
pub(super) fn build(
    request: &Request,
    preset: Preset,
    creators: &[OwnedUserId],
    trusted: &[OwnedUserId],
    rules: &RoomVersionRules,
) -> Result<CanonicalJsonObject, CreateRoomError> {
    let infinite = rules.authorization.explicitly_privilege_room_creators;
    let powerful = if infinite { &[] } else { creators };
    let powerful = powerful.iter().chain(if infinite { &[] } else { trusted });
    let users = powerful.map(|it| (it.to_string(), level(CREATOR_POWER))).gather();
    let mut content = defaults(preset, users, infinite);

    let Some(raw) = &request.power_level_content_override else {
        return Ok(content);
    };
    let wished: CanonicalJsonObject =
        serde_json::from_str(raw.json().get()).map_err(|_| CreateRoomError::PowerLevels)?;
    check_users(&wished, creators, infinite)?;
    let has_tombstone = event_level(&wished, "m.room.tombstone").is_some();
    content.extend(wished);
    if infinite && !has_tombstone {
        raise_tombstone(&mut content);
    }
    Ok(content)
}

fn defaults(preset: Preset, users: CanonicalJsonObject, infinite: bool) -> CanonicalJsonObject {
    let invite = match preset {
        Preset::Private | Preset::TrustedPrivate => 0,
        Preset::Public => 50,
    };
    let tombstone = if infinite { TOMBSTONE_POWER } else { CREATOR_POWER };
    let events = object([
        ("m.room.avatar", level(STATE_POWER)),
        ("m.room.canonical_alias", level(STATE_POWER)),
        ("m.room.encryption", level(CREATOR_POWER)),
        ("m.room.history_visibility", level(CREATOR_POWER)),
        ("m.room.name", level(STATE_POWER)),
        ("m.room.power_levels", level(CREATOR_POWER)),
        ("m.room.server_acl", level(CREATOR_POWER)),
        ("m.room.tombstone", level(tombstone)),
    ]);
    object([
        ("ban", level(50)),
        ("events", CanonicalJsonValue::Object(events)),
        ("events_default", level(0)),
        ("invite", level(invite)),
        ("kick", level(50)),
        ("redact", level(50)),
        ("state_default", level(STATE_POWER)),
        ("users", CanonicalJsonValue::Object(users)),
        ("users_default", level(0)),
    ])
}

/// Creators of infinite power may not be listed; one of finite power must be, or could not send
/// the events after this one.
fn check_users(
    wished: &CanonicalJsonObject,
    creators: &[OwnedUserId],
    infinite: bool,
) -> Result<(), CreateRoomError> {
    let Some(users) = wished.get("users").and_then(CanonicalJsonValue::as_object) else {
        return Ok(());
    };
    let mut listed = creators.iter().filter(|it| users.contains_key(it.as_str()));
    match (infinite, listed.next()) {
        (true, Some(creator)) => Err(CreateRoomError::CreatorInPowerLevels(creator.clone())),
        (false, None) => Err(CreateRoomError::CreatorNotInPowerLevels),
        _ => Ok(()),
    }
}

fn event_level<'a>(
    content: &'a CanonicalJsonObject,
    event_type: &str,
) -> Option<&'a CanonicalJsonValue> {
    content.get("events")?.as_object()?.get(event_type)
}

/// Keeps the power for `m.room.tombstone` explicit and above `state_default`, as rooms with
/// infinite creators need it, though the client replaced `events` or raised `state_default`.
fn raise_tombstone(content: &mut CanonicalJsonObject) {
    let state_default = content.get("state_default").and_then(CanonicalJsonValue::as_integer);
    let above = state_default.and_then(|it| it.checked_add(int!(1))).unwrap_or_default();
    let power = above.max(TOMBSTONE_POWER.into());
    let events = content.get_mut("events").and_then(CanonicalJsonValue::as_object_mut);
    if let Some(events) = events {
        events.insert("m.room.tombstone".to_owned(), power.into());
    }
}

fn level(power: i32) -> CanonicalJsonValue {
    Int::from(power).into()
}
