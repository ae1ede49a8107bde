//! The table of contents that are well-formed, and of those that are not.

use serde_json::{Value as JsonValue, json};

use super::*;

const POWER: &str = "m.room.power_levels";
const RULES: &str = "m.room.join_rules";
const ACL: &str = "m.room.server_acl";

fn check_keyed(event_type: &str, state_key: &str, content: JsonValue) -> Result<(), Malformed> {
    let content: CanonicalJsonObject = serde_json::from_value(content).unwrap();
    let creators = [UserId::parse("@creator:here.example").unwrap()];
    let server_name = ServerName::parse("here.example").unwrap();
    check((event_type, state_key), &content, &server_name, &creators)
}

fn check_content(event_type: &str, content: JsonValue) -> Result<(), Malformed> {
    check_keyed(event_type, "", content)
}

#[test]
fn what_is_well_formed() {
    let room = json!([{ "type": "m.room_membership", "room_id": "!a:b" }, { "type": "org.x" }]);
    let levels = json!({ "ban": 50, "events": { "m.room.name": -1 }, "events_default": 0,
        "invite": 0, "kick": 50, "notifications": { "room": 50 }, "redact": 50,
        "state_default": 50, "users": { "@a:here.example": 100 }, "users_default": 0 });
    let cases = [
        (POWER, json!({})),
        (POWER, levels),
        (POWER, json!({ "org.example": "100" })),
        (RULES, json!({ "join_rule": "public" })),
        (RULES, json!({ "join_rule": "private" })),
        (RULES, json!({ "join_rule": "restricted", "allow": room })),
        (RULES, json!({ "join_rule": "knock_restricted", "allow": [] })),
        ("m.room.history_visibility", json!({ "history_visibility": "world_readable" })),
        ("m.room.guest_access", json!({ "guest_access": "can_join" })),
        (ACL, json!({ "allow": ["*"], "deny": ["*.evil.example"], "allow_ip_literals": false })),
        (ACL, json!({ "allow": ["here.example"] })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        ("m.room.name", json!({ "name": "a" })),
        ("m.room.name", json!({ "name": null })),
        ("m.room.name", json!({})),
        ("m.room.topic", json!({ "topic": "a", "m.topic": { "m.text": [] } })),
        ("m.room.topic", json!({})),
        ("m.room.avatar", json!({ "url": "mxc://a/b", "info": {} })),
        ("m.room.avatar", json!({})),
        ("m.room.pinned_events", json!({ "pinned": ["$a"] })),
        ("m.room.tombstone", json!({ "body": "moved" })),
        ("m.room.tombstone", json!({ "body": "moved", "replacement_room": "!a:b" })),
        ("m.space.child", json!({})),
        ("m.space.child", json!({ "via": ["a"], "order": "a", "suggested": true })),
        ("m.space.parent", json!({ "via": ["a"], "canonical": true })),
        ("m.room.member", json!({ "membership": "join", "displayname": null })),
        ("org.example", json!({ "join_rule": null })),
    ];
    for (event_type, content) in cases {
        assert_eq!(check_content(event_type, content.clone()), Ok(()), "{event_type}: {content}");
    }
}

#[test]
fn what_is_not() {
    let user = "@a:here.example";
    let cases = [
        (POWER, json!({ "users": { user: "100" } })),
        (POWER, json!({ "users": { user: null } })),
        (POWER, json!({ "users": { "a": 100 } })),
        (POWER, json!({ "users": [] })),
        (POWER, json!({ "users": null })),
        (POWER, json!({ "users": { "@creator:here.example": 100 } })),
        (POWER, json!({ "ban": "50" })),
        (POWER, json!({ "ban": null })),
        (POWER, json!({ "ban": true })),
        (POWER, json!({ "events_default": "0" })),
        (POWER, json!({ "invite": "0" })),
        (POWER, json!({ "kick": " 50 " })),
        (POWER, json!({ "redact": {} })),
        (POWER, json!({ "state_default": [50] })),
        (POWER, json!({ "users_default": "+1" })),
        (POWER, json!({ "events": { "m.room.name": "50" } })),
        (POWER, json!({ "events": 5 })),
        (POWER, json!({ "notifications": { "room": "50" } })),
        (RULES, json!({})),
        (RULES, json!({ "join_rule": null })),
        (RULES, json!({ "join_rule": 1 })),
        (RULES, json!({ "join_rule": "nonsense" })),
        (RULES, json!({ "join_rule": "restricted", "allow": {} })),
        (RULES, json!({ "join_rule": "restricted", "allow": [{}] })),
        (RULES, json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership" }] })),
        (
            RULES,
            json!({ "join_rule": "restricted",
            "allow": [{ "type": "m.room_membership", "room_id": "#a:b" }] }),
        ),
        ("m.room.history_visibility", json!({})),
        ("m.room.history_visibility", json!({ "history_visibility": null })),
        ("m.room.history_visibility", json!({ "history_visibility": "nobody" })),
        ("m.room.guest_access", json!({ "guest_access": true })),
        ("m.room.encryption", json!({})),
        ("m.room.encryption", json!({ "algorithm": null })),
        ("m.room.encryption", json!({ "algorithm": "a", "rotation_period_ms": "1" })),
        ("m.room.name", json!({ "name": 5 })),
        ("m.room.name", json!({ "name": ["a"] })),
        ("m.room.topic", json!({ "topic": {} })),
        ("m.room.topic", json!({ "topic": "a", "m.topic": "a" })),
        ("m.room.avatar", json!({ "url": 5 })),
        ("m.room.pinned_events", json!({})),
        ("m.room.pinned_events", json!({ "pinned": [5] })),
        ("m.room.tombstone", json!({ "replacement_room": "#a:b" })),
        ("m.space.child", json!({ "via": "a" })),
        ("m.space.child", json!({ "via": ["a"], "order": 5 })),
        ("m.space.parent", json!({ "via": ["a"], "canonical": "yes" })),
        ("m.room.member", json!({})),
        ("m.room.member", json!({ "membership": null })),
        ("m.room.member", json!({ "membership": "member" })),
        ("m.room.member", json!({ "membership": "join", "displayname": 5 })),
        ("m.room.member", json!({ "membership": "join", "avatar_url": {} })),
        ("m.room.member", json!({ "membership": "leave", "reason": 5 })),
        ("m.room.member", json!({ "membership": "invite", "is_direct": "yes" })),
    ];
    for (event_type, content) in cases {
        let result = check_content(event_type, content.clone());
        assert!(result.is_err(), "{event_type}: {content}");
    }
}

#[test]
fn an_access_control_list_leaves_this_server_in() {
    let cases = [
        json!({}),
        json!({ "allow": [] }),
        json!({ "allow": ["elsewhere.example"] }),
        json!({ "allow": ["*"], "deny": ["here.example"] }),
        json!({ "allow": ["*"], "deny": ["HERE.*"] }),
        json!({ "allow": "*" }),
        json!({ "allow": ["*", 5] }),
        json!({ "allow": ["*"], "deny": null }),
        json!({ "allow": ["*"], "allow_ip_literals": "no" }),
    ];
    for content in cases {
        assert!(check_content(ACL, content.clone()).is_err(), "{content}");
    }
}

#[test]
fn a_key_that_means_nothing_is_not_looked_at() {
    let null = || json!({ "join_rule": null });
    assert_eq!(check_keyed(RULES, "other", null()), Ok(()));
    assert!(check_keyed(RULES, "", null()).is_err());
    // The authorization rules know power levels by their type alone.
    assert!(check_keyed(POWER, "other", json!({ "ban": "50" })).is_err());
}

#[test]
fn creators_are_named_where_they_have_finite_power() {
    let content: CanonicalJsonObject =
        serde_json::from_value(json!({ "users": { "@creator:here.example": 100 } })).unwrap();
    let server_name = ServerName::parse("here.example").unwrap();
    assert_eq!(check((POWER, ""), &content, &server_name, &[]), Ok(()));
}

#[test]
fn what_is_said_names_the_field() {
    let of = |event_type, content| check_content(event_type, content).unwrap_err().to_string();
    assert_eq!(of(POWER, json!({ "ban": "50" })), "`ban` is not an integer");
    assert_eq!(of(RULES, json!({})), "`join_rule` is missing");
}
