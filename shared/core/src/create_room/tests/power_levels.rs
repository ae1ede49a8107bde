//! Who has which power in a new room.

use super::*;

#[test]
fn power_levels_by_version() {
    for version in VERSIONS {
        let plan = plan_of(json!({ "room_version": version }));
        let infinite = version == "12";
        let users = if infinite { json!({}) } else { json!({ CREATOR: 100 }) };
        let tombstone = if infinite { 150 } else { 100 };
        let expected = json!({
            "ban": 50,
            "events": {
                "m.room.avatar": 50,
                "m.room.canonical_alias": 50,
                "m.room.encryption": 100,
                "m.room.history_visibility": 100,
                "m.room.name": 50,
                "m.room.power_levels": 100,
                "m.room.server_acl": 100,
                "m.room.tombstone": tombstone,
            },
            "events_default": 0,
            "invite": 0,
            "kick": 50,
            "redact": 50,
            "state_default": 50,
            "users": users,
            "users_default": 0,
        });
        assert_eq!(plan.content("m.room.power_levels"), expected, "version {version}");
    }
}

#[test]
fn power_levels_are_overridden_field_by_field() {
    let wished = json!({ "ban": 99, "events": { "m.room.name": 7 }, "org.example": true });
    for version in VERSIONS {
        let content = plan_of(json!({
            "room_version": version, "power_level_content_override": wished,
        }))
        .content("m.room.power_levels");
        assert_eq!(content["ban"], 99);
        assert_eq!(content["kick"], 50);
        assert_eq!(content["org.example"], true);
        let events = match version {
            // Stays explicit and above `state_default`, as the specification demands.
            "12" => json!({ "m.room.name": 7, "m.room.tombstone": 150 }),
            _ => json!({ "m.room.name": 7 }),
        };
        assert_eq!(content["events"], events);
    }
    let tombstone = |wished: JsonValue| {
        plan_of(json!({ "power_level_content_override": wished }))
            .content("m.room.power_levels")["events"]["m.room.tombstone"]
            .clone()
    };
    assert_eq!(tombstone(json!({ "state_default": 300 })), 301);
    assert_eq!(tombstone(json!({ "events": { "m.room.tombstone": 60 } })), 60);
}

#[test]
fn power_levels_must_leave_the_creator_in_power() {
    for version in VERSIONS {
        let refusal = |users: JsonValue| {
            try_plan(json!({
                "room_version": version,
                "power_level_content_override": { "users": users },
            }))
            .err()
        };
        let with = refusal(json!({ CREATOR: 100, "@bob:x.y": 50 }));
        let without = refusal(json!({ "@bob:x.y": 50 }));
        if version == "12" {
            assert_eq!(with, Some(CreateRoomError::CreatorInPowerLevels(user(CREATOR))));
            assert_eq!(without, None);
        } else {
            assert_eq!(with, None);
            assert_eq!(without, Some(CreateRoomError::CreatorNotInPowerLevels));
        }
    }
    for wished in [json!(5), json!([]), json!("all")] {
        let error = try_plan(json!({ "power_level_content_override": wished })).unwrap_err();
        assert_eq!(error, CreateRoomError::PowerLevels);
    }
}

#[test]
fn trusted_invitees_are_as_powerful_as_the_creator() {
    for version in VERSIONS {
        let plan = plan_of(json!({
            "room_version": version,
            "preset": "trusted_private_chat",
            "invite": ["@bob:x.y", "@carol:x.y"],
            "creation_content": { "additional_creators": ["@carol:x.y", "@dora:x.y"] },
        }));
        let users = &plan.content("m.room.power_levels")["users"];
        let additional = to_json(&plan.create_content)["additional_creators"].clone();
        if version == "12" {
            assert_eq!(*users, json!({}));
            assert_eq!(additional, json!(["@carol:x.y", "@dora:x.y", "@bob:x.y"]));
        } else {
            assert_eq!(*users, json!({ CREATOR: 100, "@bob:x.y": 100, "@carol:x.y": 100 }));
            assert_eq!(additional, JsonValue::Null);
        }
    }
    let error = try_plan(json!({
        "preset": "trusted_private_chat",
        "invite": ["@bob:x.y"],
        "power_level_content_override": { "users": { "@bob:x.y": 50 } },
    }))
    .unwrap_err();
    assert_eq!(error, CreateRoomError::CreatorInPowerLevels(user("@bob:x.y")));
}
