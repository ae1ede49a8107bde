//! Rules of create events, of auth events, and of events that are neither memberships nor power.

use super::*;

#[test]
fn s_z5_create_events() {
    let before_12: Allowed = |it| it < 12;
    let cases: [(&str, Allowed, JsonValue, JsonValue); 12] = [
        ("as it should be", ALWAYS, json!({}), json!({ "creator": "@creator:x.y" })),
        ("no creator", |it| it >= 11, json!({}), json!({})),
        ("events before", NEVER, json!({ "prev_events": ["$a:x.y"] }), json!({ "creator": "" })),
        ("room of another", NEVER, json!({ "room_id": "!room:b" }), json!({ "creator": "" })),
        ("a known version", ALWAYS, json!({}), json!({ "creator": "", "room_version": "1" })),
        ("an unknown one", NEVER, json!({}), json!({ "creator": "", "room_version": "x" })),
        ("no version", NEVER, json!({}), json!({ "creator": "", "room_version": 1 })),
        ("creators", ALWAYS, json!({}), json!({ "creator": "", "additional_creators": ["@a:b"] })),
        ("no users", before_12, json!({}), json!({ "creator": "", "additional_creators": ["a"] })),
        ("numbers", before_12, json!({}), json!({ "creator": "", "additional_creators": [1] })),
        ("no list", before_12, json!({}), json!({ "creator": "", "additional_creators": "@a:b" })),
        ("an object", before_12, json!({}), json!({ "creator": "", "additional_creators": {} })),
    ];
    for (name, allowed, fields, content) in cases {
        for version in 1..=12 {
            let room = Room::new(version);
            let item = ("m.room.create", Some(""), "@creator:x.y", content.clone());
            let id = if version >= 12 { "$create" } else { "$create:x.y" };
            let pdu = room.pdu(id, &item, &fields);
            let outcome = authorize::check_auth_events(&pdu, |_| None, &room.rules);
            assert_eq!(outcome.is_ok(), allowed(version), "{version}: {name}: {outcome:?}");
            let fetch = |_: &_, _: &_| None;
            assert_eq!(authorize::check_by_state(&pdu, fetch, &room.rules), Ok(()));
        }
    }
}

/// What an event that names these events says of itself.
fn with_auth_events(room: &Room, events: &[(&Pdu, bool)]) -> bool {
    let mut pdu = room.pdu("$event:x.y", &message("@user:x.y"), &json!({}));
    pdu.auth_events = events.iter().map(|it| it.0.event_id.clone()).collect();
    finds(room, &pdu, events)
}

fn finds(room: &Room, pdu: &Pdu, events: &[(&Pdu, bool)]) -> bool {
    let create = &room.state[&("m.room.create".to_owned(), String::new())];
    let named = (room.version >= 12).then_some((&**create, false));
    let find = |id: &EventId| events.iter().copied().chain(named).find(|it| it.0.event_id == id);
    authorize::check_auth_events(pdu, find, &room.rules).is_ok()
}

#[test]
fn s_z5_auth_events() {
    for version in 1..=12 {
        let room = Room::new(version);
        let has_create = version < 12;
        let of =
            |event_type: &str, key: &str| &*room.state[&(event_type.to_owned(), key.to_owned())];
        let create = of("m.room.create", "");
        let levels = of("m.room.power_levels", "");
        let user = of("m.room.member", "@user:x.y");
        let other = of("m.room.member", "@mod:x.y");
        let again = room.pdu("$again:x.y", &super::levels(json!({})), &json!({}));
        let topic = room.pdu("$t:x.y", &state("m.room.topic", json!({})), &json!({}));
        let text = room.pdu("$text:x.y", &message("@user:x.y"), &json!({}));
        let foreign =
            room.pdu("$f:x.y", &super::levels(json!({})), &json!({ "room_id": "!other:x.y" }));
        let rule = room.pdu("$rule:x.y", &join_rule("public"), &json!({}));
        let good: Vec<_> = [create, levels, user][usize::from(!has_create)..]
            .iter()
            .map(|it| (*it, false))
            .collect();
        let more = |pdu, rejected| [good.as_slice(), &[(pdu, rejected)]].concat();
        let cases = [
            ("as they should be", true, good.clone()),
            ("fewer", true, good[..1].to_vec()),
            ("none", !has_create, vec![]),
            ("no create event", !has_create, vec![(levels, false), (user, false)]),
            ("a create event", has_create, vec![(create, false)]),
            ("one of them twice", false, more(levels, false)),
            ("two of one kind", false, more(&again, false)),
            ("another member", false, more(other, false)),
            ("another type", false, more(&topic, false)),
            ("join rules, which messages do not need", false, more(&rule, false)),
            ("no state event", false, more(&text, false)),
            ("of another room", false, vec![good[0], (&foreign, false)]),
            ("rejected", false, vec![good[0], (user, true), (levels, false)]),
            ("a rejected create event", false, vec![(create, true)]),
        ];
        for (name, allowed, events) in cases {
            assert_eq!(with_auth_events(&room, &events), allowed, "{version}: {name}");
        }
        let unknown =
            room.pdu("$u:x.y", &message("@user:x.y"), &json!({ "auth_events": ["$?:x.y"] }));
        assert!(!finds(&room, &unknown, &[]), "{version}");
    }
}

#[test]
fn s_z5_the_room_id_of_version_12_is_an_accepted_create_event() {
    let room = Room::new(12);
    let pdu = room.pdu("$event", &message("@user:x.y"), &json!({}));
    let create = &*room.state[&("m.room.create".to_owned(), String::new())];
    let check = |found| authorize::check_auth_events(&pdu, |_| found, &room.rules).is_ok();
    assert!(check(Some((create, false))));
    assert!(!check(Some((create, true))));
    assert!(!check(None));
}

#[test]
fn s_z5_rooms_of_one_server() {
    let content = |it| json!({ "creator": "@creator:x.y", "m.federate": it });
    let closed = || state("m.room.create", content(json!(false)));
    let open = state("m.room.create", content(json!(true)));
    let odd = state("m.room.create", content(json!("false")));
    let none = state("m.room.create", JsonValue::Null);
    run(&[
        ("of this server", ALWAYS, vec![closed()], message("@user:x.y")),
        ("of another", NEVER, vec![closed()], message("@far:away")),
        (
            "a join from another",
            NEVER,
            vec![closed(), join_rule("public")],
            member("@new:away", "@new:away", "join"),
        ),
        ("federated", ALWAYS, vec![open], message("@far:away")),
        ("by default", ALWAYS, vec![], message("@far:away")),
        ("of the wrong type", NEVER, vec![odd], message("@far:away")),
        ("no create event", NEVER, vec![none], message("@user:x.y")),
    ]);
}

#[test]
fn s_z5_aliases_are_special_before_version_6() {
    let aliases = |sender, key| ("m.room.aliases", key, sender, json!({ "aliases": [] }));
    let before_6: Allowed = |it| it < 6;
    let since_6: Allowed = |it| it >= 6;
    run(&[
        ("of one's server", before_6, vec![], aliases("@user:x.y", Some("x.y"))),
        ("by who left", before_6, vec![], aliases("@left:x.y", Some("x.y"))),
        ("of another server", since_6, vec![], aliases("@mod:x.y", Some("away"))),
        ("with power", ALWAYS, vec![], aliases("@mod:x.y", Some("x.y"))),
        ("no state event", since_6, vec![], aliases("@user:x.y", None)),
    ]);
}

#[test]
fn s_z5_events_of_all_other_types() {
    let topic = |sender| ("m.room.topic", Some(""), sender, json!({}));
    let own = |sender, key| ("x.own", Some(key), sender, json!({}));
    let with = |content| vec![levels(content)];
    let third_party = |sender| ("m.room.third_party_invite", Some("t"), sender, json!({}));
    let none = || vec![state("m.room.power_levels", JsonValue::Null)];
    run(&[
        ("a member", ALWAYS, vec![], message("@user:x.y")),
        ("who left", NEVER, vec![], message("@left:x.y")),
        ("who is invited", NEVER, vec![], message("@invited:x.y")),
        ("who is banned", NEVER, vec![], message("@banned:x.y")),
        ("a stranger", NEVER, vec![], message("@new:x.y")),
        ("events_default", NEVER, with(json!({ "events_default": 1 })), message("@user:x.y")),
        ("enough of it", ALWAYS, with(json!({ "events_default": 50 })), message("@mod:x.y")),
        (
            "by its type",
            NEVER,
            with(json!({ "events": { "m.room.message": 51 } })),
            message("@mod:x.y"),
        ),
        ("users_default", ALWAYS, with(json!({ "users_default": 50 })), topic("@user:x.y")),
        ("state_default", NEVER, vec![], topic("@user:x.y")),
        ("enough of that", ALWAYS, vec![], topic("@mod:x.y")),
        ("lower", ALWAYS, with(json!({ "state_default": 0 })), topic("@user:x.y")),
        (
            "its type before it",
            ALWAYS,
            with(json!({ "events": { "m.room.topic": 0 } })),
            topic("@user:x.y"),
        ),
        ("no power levels", NEVER, none(), topic("@user:x.y")),
        ("the creator among levels", |it| it >= 12, vec![], topic("@creator:x.y")),
        ("one's own key", ALWAYS, vec![], own("@mod:x.y", "@mod:x.y")),
        ("another's key", NEVER, vec![], own("@admin:x.y", "@user:x.y")),
        ("no user's key", NEVER, vec![], own("@admin:x.y", "@")),
        ("one's own key without power", NEVER, vec![], own("@user:x.y", "@user:x.y")),
        ("third party", ALWAYS, vec![], third_party("@user:x.y")),
        ("without power", NEVER, with(json!({ "invite": 50 })), third_party("@user:x.y")),
        ("with it", ALWAYS, with(json!({ "invite": 50 })), third_party("@mod:x.y")),
        ("who left", NEVER, vec![], third_party("@left:x.y")),
    ]);
}

#[test]
fn s_z5_redactions_are_special_in_versions_1_and_2() {
    let redaction = |sender| ("m.room.redaction", None, sender, json!({}));
    let since_3: Allowed = |it| it >= 3;
    let cases = |of_other: Allowed| -> Vec<Case> {
        vec![
            ("a user", of_other, vec![], redaction("@user:x.y")),
            ("with power", ALWAYS, vec![], redaction("@mod:x.y")),
            (
                "with too little",
                of_other,
                vec![levels(json!({ "redact": 51 }))],
                redaction("@mod:x.y"),
            ),
            (
                "without power for its type",
                NEVER,
                vec![levels(json!({ "events": { "m.room.redaction": 50 } }))],
                redaction("@user:x.y"),
            ),
        ]
    };
    run_with(&cases(since_3), &json!({ "redacts": "$event:away" }));
    run_with(&cases(ALWAYS), &json!({ "redacts": "$event:x.y" }));
    run_with(&cases(since_3), &json!({}));
}
