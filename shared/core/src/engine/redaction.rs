//! Whether a redaction takes effect ([spec]), and what it must not take away.
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v11/#handling-redactions

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, UserId,
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};

use crate::{Pdu, redact::RedactError};

/// The event that a redaction names: in its content, or beside it in older room versions.
pub fn target(redaction: &Pdu, rules: &RoomVersionRules) -> Option<ruma::OwnedEventId> {
    #[derive(serde::Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        redacts: std::borrow::Cow<'a, str>,
    }

    if redaction.event_type != TimelineEventType::RoomRedaction {
        return None;
    }
    if !rules.redaction.content_field_redacts {
        return redaction.redacts.clone();
    }
    let content: Content<'_> = serde_json::from_str(redaction.content.get()).ok()?;
    EventId::parse(&*content.redacts).ok()
}

/// Whether the redact level of a state is within a user's power. `power_levels`: that state's
/// event, if it has one.
pub fn may_redact(
    user: &UserId,
    create: &Pdu,
    power_levels: Option<&Pdu>,
    rules: &RoomVersionRules,
) -> bool {
    let rules = &rules.authorization;
    let Ok(creators) = RoomCreateEvent::new(create).creators(rules) else {
        return false;
    };
    let is_creator = creators.contains(user);
    let Some(levels) = power_levels else { return is_creator };
    let levels = RoomPowerLevelsEvent::new(levels);
    let power = levels.user_power_level(user, rules);
    let needed = levels.get_as_int_or_default(RoomPowerLevelsIntField::Redact, rules);
    rules.explicitly_privilege_room_creators && is_creator
        || matches!((power, needed), (Ok(power), Ok(needed)) if power >= needed)
}

/// Whether a redaction that is accepted takes effect on the event it names.
///
/// From room version 3 on the authorization rules let every redaction pass; it takes effect when
/// its sender has the redact level in the state before it (`may_redact`), or is on the server of
/// the other event's sender. Before, the authorization rules alone decide. A create event is never
/// redacted: all else rests on it.
pub fn applies(redaction: &Pdu, target: &Pdu, may_redact: bool, rules: &RoomVersionRules) -> bool {
    self::target(redaction, rules).is_some_and(|it| it == target.event_id)
        && redaction.room_id == target.room_id
        && target.event_type != TimelineEventType::RoomCreate
        && (rules.authorization.special_case_room_redaction
            || may_redact
            || redaction.sender.server_name() == target.sender.server_name())
}

/// The fields of content that authorization reads in some room version.
fn authorizing_fields(event_type: &str) -> Option<&'static [&'static str]> {
    match event_type {
        "m.room.create" => Some(&["additional_creators", "creator", "m.federate", "room_version"]),
        "m.room.member" => {
            Some(&["join_authorised_via_users_server", "membership", "third_party_invite"])
        }
        "m.room.power_levels" => Some(&[
            "ban",
            "events",
            "events_default",
            "invite",
            "kick",
            "notifications",
            "redact",
            "state_default",
            "users",
            "users_default",
        ]),
        "m.room.join_rules" => Some(&["join_rule"]),
        "m.room.third_party_invite" => Some(&["public_key", "public_keys"]),
        _ => None,
    }
}

/// The part of an event's content that authorization reads, to be kept when the event is redacted:
/// a redaction takes away more than that in some room versions, and servers that have not seen it
/// must come to the same state as those that have. None for events that authorize nothing.
///
/// `json` is the event as it was signed.
///
/// # Errors
///
/// When what is stored is not a PDU.
pub fn auth_form(json: &str) -> Result<Option<String>, RedactError> {
    let mut object: CanonicalJsonObject = serde_json::from_str(json).map_err(|_| RedactError)?;
    let Some(CanonicalJsonValue::String(event_type)) = object.remove("type") else {
        return Ok(None);
    };
    let Some(fields) = authorizing_fields(&event_type) else { return Ok(None) };
    let Some(CanonicalJsonValue::Object(mut content)) = object.remove("content") else {
        return Ok(None);
    };
    if !object.contains_key("state_key") {
        return Ok(None);
    }
    content.retain(|field, _| fields.contains(&field.as_str()));
    if let Some(CanonicalJsonValue::Object(invite)) = content.get_mut("third_party_invite") {
        invite.retain(|field, _| field == "signed");
    }
    serde_json::to_string(&content).map(Some).map_err(|_| RedactError)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::room_version;

    fn pdu(sender: &str, event_type: &str, content: &Value) -> Pdu {
        let json = json!({
            "auth_events": [], "content": content, "depth": 1, "origin_server_ts": 1,
            "prev_events": [], "redacts": "$target", "sender": sender, "type": event_type,
        });
        let room = ruma::room_id!("!room:one");
        let id = if event_type == "m.room.redaction" { "$redaction" } else { "$target" };
        Pdu::from_stored(EventId::parse(id).unwrap(), room, json.to_string().into()).unwrap()
    }

    #[test]
    fn a_redaction_takes_effect_by_power_or_by_the_same_server() {
        let message = pdu("@bob:two", "m.room.message", &json!({}));
        let create = pdu("@bob:two", "m.room.create", &json!({}));
        let content = json!({"redacts": "$target"});
        let cases = [
            ("a stranger", "@eve:three", &message, false, false),
            ("a moderator", "@alice:one", &message, true, true),
            ("the sender", "@bob:two", &message, false, true),
            ("another user of the sender's server", "@ben:two", &message, false, true),
            ("the creator, of the create event", "@bob:two", &create, true, false),
        ];
        for version in room_version::SUPPORTED {
            let rules = room_version::rules(&version).unwrap();
            for (name, sender, target, may_redact, expected) in &cases {
                if rules.authorization.special_case_room_redaction {
                    continue;
                }
                let redaction = pdu(sender, "m.room.redaction", &content);
                let it = applies(&redaction, target, *may_redact, &rules);
                assert_eq!(it, *expected, "{version}: {name}");
            }
            let other = pdu("@bob:two", "m.room.message", &content);
            assert!(!applies(&other, &message, true, &rules), "{version}: not a redaction");
        }
    }

    #[test]
    fn what_authorization_reads_outlives_a_redaction() {
        let event = |event_type: &str, content: Value| {
            json!({"type": event_type, "state_key": "", "content": content}).to_string()
        };
        let kept = |json: &str| {
            auth_form(json).unwrap().map(|it| serde_json::from_str::<Value>(&it).unwrap())
        };
        let levels = json!({"invite": 50, "users": {"@a:b": 100}, "secret": "x"});
        assert_eq!(
            kept(&event("m.room.power_levels", levels)),
            Some(json!({"invite": 50, "users": {"@a:b": 100}}))
        );
        let member = json!({
            "membership": "invite", "displayname": "x", "join_authorised_via_users_server": "@a:b",
            "third_party_invite": {"display_name": "x", "signed": {"token": "t"}},
        });
        assert_eq!(
            kept(&event("m.room.member", member)),
            Some(json!({
                "membership": "invite", "join_authorised_via_users_server": "@a:b",
                "third_party_invite": {"signed": {"token": "t"}},
            }))
        );
        assert_eq!(kept(&event("m.room.topic", json!({"topic": "x"}))), None);
        assert_eq!(kept(r#"{"type": "m.room.member", "content": {}}"#), None);
    }
}
