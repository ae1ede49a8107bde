//! Rules of `m.room.power_levels`.

use super::*;

/// Power levels that a moderator wants: the room's, with these changes.
fn change(sender: &'static str, content: JsonValue) -> Item {
    let (event_type, key, _, content) = levels(content);
    (event_type, key, sender, content)
}

fn by_mod(content: JsonValue) -> Item {
    change("@mod:x.y", content)
}

fn users(mut more: JsonValue) -> JsonValue {
    for (user, level) in [("@admin:x.y", 100), ("@mod:x.y", 50), ("@mod2:x.y", 50)] {
        if more.get(user).is_none() {
            more[user] = json!(level);
        }
    }
    json!({ "users": more })
}

#[test]
fn s_z5_the_first_power_levels() {
    let none = || vec![state("m.room.power_levels", JsonValue::Null)];
    run(&[
        ("of the creator", ALWAYS, none(), change("@creator:x.y", json!({ "ban": 100 }))),
        ("of who left", NEVER, none(), change("@left:x.y", json!({}))),
        ("of another", NEVER, vec![], change("@user:x.y", json!({}))),
    ]);
}

#[test]
fn s_z5_power_levels_have_their_types() {
    let before_10: Allowed = |it| it < 10;
    let with = |users: JsonValue| by_mod(json!({ "users": users }));
    let mut cases: Vec<Case> = vec![
        ("nothing changed", ALWAYS, vec![], by_mod(json!({}))),
        ("users: a list", NEVER, vec![], with(json!([]))),
        ("users: text", NEVER, vec![], with(json!("x"))),
        ("users: no user", NEVER, vec![], by_mod(users(json!({ "x": 1 })))),
        ("users: text that is no number", NEVER, vec![], by_mod(users(json!({ "@a:b": "x" })))),
        ("users: null", NEVER, vec![], by_mod(users(json!({ "@a:b": null })))),
        ("users: text", before_10, vec![], by_mod(users(json!({ "@a:b": "050" })))),
        ("users: with sign and space", before_10, vec![], by_mod(users(json!({ "@a:b": " +5 " })))),
        ("users: negative text", before_10, vec![], by_mod(users(json!({ "@a:b": "-5" })))),
        ("users: text of a float", NEVER, vec![], by_mod(users(json!({ "@a:b": "5.5" })))),
        ("events: a list", NEVER, vec![], by_mod(json!({ "events": [] }))),
        ("events: text", before_10, vec![], by_mod(json!({ "events": { "x": "5" } }))),
        (
            "notifications: text",
            before_10,
            vec![],
            by_mod(json!({ "notifications": { "x": "5" } })),
        ),
        ("notifications: a list", NEVER, vec![], by_mod(json!({ "notifications": [] }))),
    ];
    for field in
        ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"]
    {
        cases.push((field, ALWAYS, vec![], by_mod(json!({ field: 50 }))));
        cases.push((field, before_10, vec![], by_mod(json!({ field: "50" }))));
        cases.push((field, NEVER, vec![], by_mod(json!({ field: {} }))));
    }
    run(&cases);
}

#[test]
fn s_z5_levels_of_the_room_change_up_to_ones_own() {
    // Moderators may send power levels, whatever the default for state is.
    let without = || json!({ "events": { "m.room.power_levels": 50 } });
    let mut cases: Vec<Case> = Vec::new();
    for field in
        ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"]
    {
        let with = |level: i64| {
            let mut content = without();
            content[field] = json!(level);
            content
        };
        let now = |level| vec![levels(with(level))];
        let to = |level| by_mod(with(level));
        cases.push(("to more than one has", NEVER, vec![levels(without())], to(51)));
        cases.push(("from more than one has", NEVER, now(51), to(1)));
        cases.push(("left as it is", ALWAYS, now(51), to(51)));
        cases.push(("taken away from more", NEVER, now(51), by_mod(without())));
        cases.push(("taken away", ALWAYS, now(49), by_mod(without())));
        cases.push(("to what one has", ALWAYS, now(49), to(50)));
        cases.push(("below zero", ALWAYS, now(49), to(-1)));
    }
    run(&cases);
}

#[test]
fn s_z5_levels_of_event_types_and_notifications_change_up_to_ones_own() {
    let before_6: Allowed = |it| it < 6;
    let mut cases: Vec<Case> = Vec::new();
    for (field, never) in [("events", NEVER), ("notifications", before_6)] {
        let high = || vec![levels(json!({ field: { "x": 51 } }))];
        let low = || vec![levels(json!({ field: { "x": 49 } }))];
        let to = |level: i64| by_mod(json!({ field: { "x": level } }));
        cases.push(("added", ALWAYS, vec![], to(50)));
        cases.push(("added beyond", never, vec![], to(51)));
        cases.push(("changed", ALWAYS, low(), to(50)));
        cases.push(("changed beyond", never, low(), to(51)));
        cases.push(("changed from beyond", never, high(), to(1)));
        cases.push(("left as it is", ALWAYS, high(), to(51)));
        cases.push(("taken away", ALWAYS, low(), by_mod(json!({}))));
        cases.push(("taken away from beyond", never, high(), by_mod(json!({}))));
    }
    run(&cases);
}

#[test]
fn s_z5_users_change_below_ones_own() {
    let with = |more| by_mod(users(more));
    let without = |it: &str| {
        let mut content = users(json!({}));
        content["users"].as_object_mut().unwrap().remove(it);
        by_mod(content)
    };
    let lesser = || vec![levels(users(json!({ "@user:x.y": 49 })))];
    run(&[
        ("added", ALWAYS, vec![], with(json!({ "@user:x.y": 50 }))),
        ("added beyond", NEVER, vec![], with(json!({ "@user:x.y": 51 }))),
        ("a lesser, raised", ALWAYS, lesser(), with(json!({ "@user:x.y": 50 }))),
        ("a lesser, beyond", NEVER, lesser(), with(json!({ "@user:x.y": 51 }))),
        ("a lesser, taken away", ALWAYS, lesser(), with(json!({}))),
        ("an equal", NEVER, vec![], with(json!({ "@mod2:x.y": 49 }))),
        ("an equal, taken away", NEVER, vec![], without("@mod2:x.y")),
        ("a greater", NEVER, vec![], with(json!({ "@admin:x.y": 1 }))),
        ("oneself, lowered", ALWAYS, vec![], with(json!({ "@mod:x.y": 1 }))),
        ("oneself, taken away", ALWAYS, vec![], without("@mod:x.y")),
        ("oneself, raised", NEVER, vec![], with(json!({ "@mod:x.y": 51 }))),
    ]);
}

#[test]
fn s_z5_creators_have_all_power_from_version_12_on_and_are_not_among_users() {
    let before_12: Allowed = |it| it < 12;
    let since_12: Allowed = |it| it >= 12;
    let content = json!({ "creator": "@creator:x.y", "additional_creators": ["@user:x.y"] });
    let two = || state("m.room.create", content.clone());
    let high = || levels(json!({ "state_default": 1000, "ban": 1000 }));
    let topic = |sender| ("m.room.topic", Some(""), sender, json!({}));
    let creator = || users(json!({ "@creator:x.y": 1 }));
    let additional = || users(json!({ "@user:x.y": 1 }));
    run(&[
        ("the creator among users", before_12, vec![], by_mod(creator())),
        ("another creator among users", before_12, vec![two()], by_mod(additional())),
        ("no creator among users", ALWAYS, vec![], by_mod(additional())),
        ("the creator, beyond levels", since_12, vec![high()], topic("@creator:x.y")),
        ("another creator", since_12, vec![two(), high()], topic("@user:x.y")),
        ("no creator", NEVER, vec![high()], topic("@user:x.y")),
        (
            "levels of a creator",
            since_12,
            vec![high()],
            change("@creator:x.y", json!({ "state_default": 2000, "ban": 5 })),
        ),
        ("a creator kicks", since_12, vec![two()], member("@user:x.y", "@admin:x.y", "leave")),
        (
            "a creator kicks another",
            NEVER,
            vec![two()],
            member("@user:x.y", "@creator:x.y", "leave"),
        ),
    ]);
}

#[test]
fn s_z5_levels_are_floats_in_versions_1_to_5_at_most() {
    // Canonical JSON keeps them out of later versions before these rules are asked.
    for version in 1..=5 {
        let mut room = Room::new(version);
        room.set(&levels(json!({ "state_default": 1.5, "users": { "@user:x.y": 1.9e0 } })));
        let topic = |sender| ("m.room.topic", Some(""), sender, json!({}));
        assert!(room.allows(&topic("@user:x.y"), &json!({})), "{version}");
        assert!(!room.allows(&topic("@mod:x.y"), &json!({})), "{version}");
    }
}
