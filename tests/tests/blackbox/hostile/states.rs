//! The state that a room may have.

use super::{
    cast::Cast,
    examples::{Example, body},
};
use skerry_tests::{Value, json};

/// Requests that set it.
pub(super) fn all(cast: &Cast) -> Vec<Example> {
    let of_room = without_key(cast).into_iter();
    let of_room = of_room.map(|(event_type, content)| (event_type, String::new(), content));
    let states = with_key(cast).into_iter().chain(of_room);
    let examples = states.map(|(event_type, state_key, content)| {
        body(content).at("event_type", event_type).at("state_key", state_key)
    });
    examples.collect()
}

fn with_key(cast: &Cast) -> Vec<(&'static str, String, Value)> {
    let signed = json!({ "mxid": cast.peer.id, "token": "x",
        "signatures": { "x.y": { "ed25519:1": "x" } } });
    let member = json!({ "membership": "join", "displayname": "H", "avatar_url": "mxc://x.y/a",
        "reason": "none", "is_direct": true, "join_authorised_via_users_server": cast.asker.id,
        "third_party_invite": { "display_name": "x", "signed": signed } });
    let invite = json!({ "display_name": "x", "public_key": "x", "key_validity_url": "https://x.y",
        "public_keys": [{ "public_key": "x", "key_validity_url": "https://x.y" }] });
    vec![
        ("m.room.member", cast.asker.id.clone(), member.clone()),
        ("m.room.member", cast.peer.id.clone(), member),
        ("m.room.third_party_invite", "token".to_owned(), invite),
        ("m.space.child", cast.own_room.clone(), json!({ "via": ["localhost"], "order": "a" })),
        ("org.example.some", "key".to_owned(), json!({ "any": { "thing": [1, true, null] } })),
    ]
}

fn without_key(cast: &Cast) -> Vec<(&'static str, Value)> {
    let levels = json!({ "users": { (cast.asker.id.as_str()): 100, (cast.peer.id.as_str()): 50 },
        "users_default": 0, "events": { "m.room.name": 50 }, "events_default": 0,
        "state_default": 50, "ban": 50, "kick": 50, "redact": 50, "invite": 0,
        "notifications": { "room": 50 } });
    let rules = json!({ "join_rule": "restricted", "allow":
        [{ "type": "m.room_membership", "room_id": cast.own_room }] });
    let acl = json!({ "allow": ["*"], "deny": ["evil.example", "*.evil.example"],
        "allow_ip_literals": false });
    vec![
        ("m.room.power_levels", levels),
        ("m.room.join_rules", rules),
        ("m.room.server_acl", acl),
        ("m.room.canonical_alias", json!({ "alias": cast.alias, "alt_aliases": [cast.alias] })),
        ("m.room.history_visibility", json!({ "history_visibility": "joined" })),
        ("m.room.guest_access", json!({ "guest_access": "can_join" })),
        ("m.room.name", json!({ "name": "a name" })),
        ("m.room.topic", json!({ "topic": "a topic" })),
        ("m.room.avatar", json!({ "url": "mxc://localhost/a", "info": { "w": 1, "h": 1 } })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        ("m.room.pinned_events", json!({ "pinned": [cast.message] })),
        ("m.room.tombstone", json!({ "body": "gone", "replacement_room": cast.own_room })),
        ("m.room.create", json!({ "creator": cast.asker.id, "room_version": "11" })),
    ]
}
