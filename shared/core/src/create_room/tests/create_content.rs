//! What the create event of a new room says.

use super::*;

#[test]
fn creation_content_is_passed_on_but_for_what_is_the_servers() {
    for version in VERSIONS {
        let plan = plan_of(json!({
            "room_version": version,
            "creation_content": {
                "m.federate": false,
                "type": "m.space",
                "predecessor": { "room_id": "!old:x.y", "event_id": "$event" },
                "creator": "@mallory:x.y",
                "room_version": "1",
                "org.example": { "kept": true },
            },
        }));
        let mut expected = json!({
            "m.federate": false,
            "type": "m.space",
            "predecessor": { "room_id": "!old:x.y", "event_id": "$event" },
            "room_version": version,
            "org.example": { "kept": true },
        });
        if !["11", "12"].contains(&version) {
            expected["creator"] = CREATOR.into();
        }
        assert_eq!(to_json(&plan.create_content), expected, "version {version}");
    }
}

#[test]
fn malformed_creation_content_is_refused() {
    let malformed = [
        json!("text"),
        json!({ "m.federate": "no" }),
        json!({ "type": 5 }),
        json!({ "float": 0.5 }),
        json!({ "predecessor": "!old:x.y" }),
        json!({ "predecessor": {} }),
        json!({ "predecessor": { "room_id": "#old:x.y" } }),
        json!({ "predecessor": { "room_id": "!old:x.y", "event_id": 1 } }),
        json!({ "additional_creators": "@bob:x.y" }),
        json!({ "additional_creators": [5] }),
        json!({ "additional_creators": ["bob"] }),
        json!({ "additional_creators": ["@b b:x.y"] }),
        json!({ "additional_creators": [format!("@{}:x.y", "b".repeat(256))] }),
    ];
    for content in malformed {
        let error = try_plan(json!({ "creation_content": content })).unwrap_err();
        assert!(matches!(error, CreateRoomError::CreationContent(_)), "{content}");
    }
}

#[test]
fn a_creator_is_named_once() {
    let content = json!({ "additional_creators": ["@bob:x.y", "@bob:x.y", CREATOR] });
    let plan = plan_of(json!({ "creation_content": content }));
    assert_eq!(to_json(&plan.create_content)["additional_creators"], json!(["@bob:x.y"]));
    let plan = plan_of(json!({ "creation_content": { "additional_creators": [] } }));
    assert!(!plan.create_content.contains_key("additional_creators"));
}
