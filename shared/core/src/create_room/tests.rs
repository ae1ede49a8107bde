//! Tests of planning a room: every preset, every room version, every option.

use std::sync::Arc;

use serde_json::{Value as JsonValue, json, value::to_raw_value};

use super::*;
use crate::{
    Pdu, SigningKey,
    authorize::{self, StateKey},
    pdu::{self, NewEvent},
};

const CREATOR: &str = "@alice:x.y";

fn request(json: &JsonValue) -> Request {
    // Read as the endpoint reads it: from HTTP, with the server's own deserialization.
    use ruma::{api::IncomingRequest as _, exports::http};
    let body = json.to_string();
    let request = http::Request::post("/").body(body.as_bytes()).unwrap();
    Request::try_from_http_request_inner(request, &[]).unwrap()
}

fn profiles() -> BTreeMap<OwnedUserId, Profile> {
    let alice = Profile {
        displayname: Some("Alice".to_owned()),
        avatar_url: Some("mxc://x.y/alice".to_owned()),
    };
    let bob = Profile { displayname: Some("Bob".to_owned()), avatar_url: None };
    [(user(CREATOR), alice), (user("@bob:x.y"), bob)].into()
}

fn user(id: &str) -> OwnedUserId {
    UserId::parse(id).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "callers give what `json!` makes")]
fn try_plan(json: JsonValue) -> Result<Plan, CreateRoomError> {
    plan(&request(&json), &user(CREATOR), &profiles())
}

fn plan_of(json: JsonValue) -> Plan {
    try_plan(json).unwrap()
}

fn to_json(content: &CanonicalJsonObject) -> JsonValue {
    serde_json::to_value(content).unwrap()
}

impl Plan {
    fn types(&self) -> Vec<&str> {
        self.state.iter().map(|it| it.event_type.as_str()).collect()
    }

    fn content(&self, event_type: &str) -> JsonValue {
        let mut found = self.state.iter().filter(|it| it.event_type == event_type);
        let item = found.next().unwrap();
        assert!(found.next().is_none(), "{event_type} twice");
        to_json(&item.content)
    }
}

/// The versions of `SUPPORTED`, as clients write them.
const VERSIONS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

#[test]
fn every_supported_version_is_planned_and_no_other() {
    for version in VERSIONS {
        let plan = plan_of(json!({ "room_version": version }));
        assert_eq!(plan.create_content["room_version"], version);
        assert_eq!(plan.version.as_str(), version);
    }
    assert_eq!(VERSIONS.len(), room_version::SUPPORTED.len());
    assert_eq!(plan_of(json!({})).version, room_version::DEFAULT);
    for version in ["0", "13", "org.example.new"] {
        let error = try_plan(json!({ "room_version": version })).unwrap_err();
        assert_eq!(error, CreateRoomError::UnsupportedVersion(version.try_into().unwrap()));
    }
}

#[test]
fn presets_set_their_state() {
    let private = ("invite", "can_join", 0);
    let public = ("public", "forbidden", 50);
    let cases = [
        (json!({}), private),
        (json!({ "visibility": "private" }), private),
        (json!({ "visibility": "public" }), public),
        (json!({ "preset": "private_chat" }), private),
        (json!({ "preset": "trusted_private_chat" }), private),
        (json!({ "preset": "public_chat" }), public),
        (json!({ "preset": "private_chat", "visibility": "public" }), private),
        (json!({ "preset": "public_chat", "visibility": "private" }), public),
    ];
    for (options, (join_rule, guest_access, invite)) in cases {
        for version in VERSIONS {
            let mut options = options.clone();
            options["room_version"] = version.into();
            let plan = plan_of(options.clone());
            assert_eq!(
                plan.types(),
                [
                    "m.room.member",
                    "m.room.power_levels",
                    "m.room.join_rules",
                    "m.room.history_visibility",
                    "m.room.guest_access"
                ],
                "{options}"
            );
            assert_eq!(plan.content("m.room.join_rules"), json!({ "join_rule": join_rule }));
            let guests = json!({ "guest_access": guest_access });
            assert_eq!(plan.content("m.room.guest_access"), guests);
            let history = json!({ "history_visibility": "shared" });
            assert_eq!(plan.content("m.room.history_visibility"), history);
            assert_eq!(plan.content("m.room.power_levels")["invite"], invite);
        }
    }
}

#[test]
fn unknown_words_are_refused() {
    let preset = CreateRoomError::UnknownPreset("secret_chat".to_owned());
    assert_eq!(try_plan(json!({ "preset": "secret_chat" })).unwrap_err(), preset);
    let visibility = CreateRoomError::UnknownVisibility("hidden".to_owned());
    assert_eq!(try_plan(json!({ "visibility": "hidden" })).unwrap_err(), visibility);
}

#[test]
fn everything_stands_in_the_order_of_the_specification() {
    let plan = plan_of(json!({
        "room_alias_name": "pub",
        "initial_state": [
            { "type": "org.example.b", "content": {} },
            { "type": "org.example.a", "state_key": "key", "content": { "n": 1 } },
        ],
        "name": "Pub",
        "topic": "Beer",
        "invite": ["@bob:x.y", "@carol:x.y", "@bob:x.y", CREATOR],
        "is_direct": true,
    }));
    assert_eq!(
        plan.types(),
        [
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "org.example.b",
            "org.example.a",
            "m.room.name",
            "m.room.topic"
        ]
    );
    assert_eq!(plan.content("m.room.canonical_alias"), json!({ "alias": "#pub:x.y" }));
    assert_eq!(plan.content("m.room.name"), json!({ "name": "Pub" }));
    let topic = json!({ "topic": "Beer", "m.topic": { "m.text": [{ "body": "Beer" }] } });
    assert_eq!(plan.content("m.room.topic"), topic);
    assert_eq!(plan.state[7].state_key, "key");
    assert_eq!(plan.state[0].state_key, CREATOR);
    let join = json!({
        "membership": "join", "displayname": "Alice", "avatar_url": "mxc://x.y/alice",
    });
    assert_eq!(plan.content("m.room.member"), join);
    let invites: Vec<_> =
        plan.invites.iter().map(|(user, content)| (user.as_str(), to_json(content))).collect();
    let bob = json!({ "membership": "invite", "displayname": "Bob", "is_direct": true });
    let carol = json!({ "membership": "invite", "is_direct": true });
    assert_eq!(invites, [("@bob:x.y", bob), ("@carol:x.y", carol)]);
}

#[test]
fn initial_state_comes_before_presets_and_after_name_and_topic() {
    let plan = plan_of(json!({
        "preset": "public_chat",
        "room_alias_name": "pub",
        "initial_state": [
            { "type": "m.room.join_rules", "content": { "join_rule": "knock" } },
            { "type": "m.room.join_rules", "state_key": "other", "content": {} },
            { "type": "m.room.guest_access", "content": { "guest_access": "can_join" } },
            { "type": "m.room.canonical_alias", "content": { "alt_aliases": ["#pub:x.y"] } },
            { "type": "m.room.name", "content": { "name": "lost" } },
            { "type": "m.room.topic", "content": { "topic": "kept" } },
            { "type": "m.room.power_levels", "content": { "users_default": 5 } },
        ],
        "name": "Pub",
    }));
    assert_eq!(
        plan.types(),
        [
            "m.room.member",
            "m.room.power_levels",
            "m.room.history_visibility",
            "m.room.join_rules",
            "m.room.join_rules",
            "m.room.guest_access",
            "m.room.canonical_alias",
            "m.room.topic",
            "m.room.name"
        ]
    );
    assert_eq!(plan.content("m.room.name"), json!({ "name": "Pub" }));
    assert_eq!(plan.content("m.room.topic"), json!({ "topic": "kept" }));
    assert_eq!(plan.content("m.room.power_levels"), json!({ "users_default": 5 }));
}

#[test]
fn what_initial_state_may_not_hold() {
    let refusal = |item: JsonValue| try_plan(json!({ "initial_state": [item] })).unwrap_err();
    for event_type in ["m.room.create", "m.room.member"] {
        let error = refusal(json!({ "type": event_type, "content": {} }));
        assert_eq!(error, CreateRoomError::ManagedState(event_type.to_owned()));
    }
    let malformed = [
        json!({ "content": {} }),
        json!({ "type": "a" }),
        json!({ "type": "a", "content": [] }),
        json!({ "type": "a", "content": { "float": 1.5 } }),
        json!({ "type": "a", "state_key": 5, "content": {} }),
        json!("a"),
    ];
    for item in malformed {
        assert_eq!(refusal(item.clone()), CreateRoomError::InitialState(0), "{item}");
    }
    let alias = |content| json!({ "type": "m.room.canonical_alias", "content": content });
    let foreign = refusal(alias(json!({ "alias": "#pub:x.y" })));
    assert_eq!(foreign, CreateRoomError::ForeignAlias("#pub:x.y".try_into().unwrap()));
    let malformed = refusal(alias(json!({ "alias": "pub" })));
    assert!(matches!(malformed, CreateRoomError::Aliases(_)));
}

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

#[test]
fn an_alias_name_is_a_local_part() {
    let alias_of = |name: &str| {
        alias(&request(&json!({ "room_alias_name": name })), user(CREATOR).server_name())
    };
    for name in ["pub", "a#b", "Straße", &"a".repeat(MAX_ALIAS_BYTES - "#:x.y".len())] {
        let alias = alias_of(name).unwrap().unwrap();
        assert_eq!(alias.as_str(), format!("#{name}:x.y"));
    }
    for name in ["", "a b", "a:b", "pub:x.y", "a\n", "a\0", &"a".repeat(MAX_ALIAS_BYTES)] {
        assert_eq!(alias_of(name), Err(CreateRoomError::AliasName), "{name:?}");
    }
}

#[test]
fn numbers_are_limited() {
    let users = |number| (0..number).map(|it| format!("@u{it}:x.y")).collect::<Vec<_>>();
    assert!(try_plan(json!({ "invite": users(MAX_INVITES) })).is_ok());
    let error = try_plan(json!({ "invite": users(MAX_INVITES + 1) })).unwrap_err();
    assert_eq!(error, CreateRoomError::TooManyInvites);

    let item = json!({ "type": "a", "content": {} });
    assert!(try_plan(json!({ "initial_state": vec![&item; MAX_INITIAL_STATE] })).is_ok());
    let error = try_plan(json!({ "initial_state": vec![&item; MAX_INITIAL_STATE + 1] }));
    assert_eq!(error.unwrap_err(), CreateRoomError::TooManyInitialState);

    let creators = |number| json!({ "creation_content": { "additional_creators": users(number) } });
    assert!(try_plan(creators(MAX_ADDITIONAL_CREATORS)).is_ok());
    let error = try_plan(creators(MAX_ADDITIONAL_CREATORS + 1)).unwrap_err();
    assert_eq!(error, CreateRoomError::TooManyCreators);
    let mut trusted = creators(MAX_ADDITIONAL_CREATORS);
    trusted["preset"] = "trusted_private_chat".into();
    trusted["invite"] = json!(["@bob:x.y"]);
    assert_eq!(try_plan(trusted).unwrap_err(), CreateRoomError::TooManyCreators);
}

/// Makes the room event by event, each authorized by the state before it, as a room does.
fn carry_out(plan: &Plan) -> Result<(), authorize::Refusal> {
    let key = SigningKey::from_seed([7; 32], "1").unwrap();
    let creator = user(CREATOR);
    let random = ruma::room_id!("!random:x.y");
    let is_hash = plan.rules.authorization.room_create_event_id_as_room_id;
    let room_id = (!is_hash).then_some(random);
    let content = plan.create_content.clone();
    let create_id = Some(ruma::event_id!("$0:x.y"));
    let create = pdu::create_event(content, &creator, create_id, room_id, &plan.rules, 1, &key);
    let create = create.unwrap();
    authorize::check(&create, &[], &plan.rules)?;
    let room_id = create.room_id.clone();
    let mut newest = Arc::new(create);
    let mut state: BTreeMap<StateKey, Arc<Pdu>> = BTreeMap::new();
    state.insert(("m.room.create".to_owned(), String::new()), Arc::clone(&newest));
    let invites = plan.invites.iter().map(|(user_id, content)| StateItem {
        event_type: "m.room.member".to_owned(),
        state_key: user_id.to_string(),
        content: content.clone(),
    });
    for item in plan.state.iter().cloned().chain(invites) {
        let content = to_raw_value(&item.content).unwrap();
        let (event_type, state_key) = (item.event_type.as_str(), Some(item.state_key.as_str()));
        let needed =
            authorize::needed_state(event_type, &creator, state_key, &content, &plan.rules)?;
        let found: Vec<_> = needed
            .into_iter()
            .filter_map(|it| Some((it.clone(), state.get(&it)?.clone())))
            .collect();
        let is_auth_event = |it: &&(StateKey, _)| authorize::is_auth_event(&it.0, &plan.rules);
        let event_id = ruma::EventId::parse(format!("${}:x.y", newest.depth)).unwrap();
        let event = NewEvent {
            event_id: Some(&event_id),
            room_id: Some(&room_id),
            sender: &creator,
            event_type,
            state_key,
            content: item.content,
            redacts: None,
            prev_events: vec![&newest],
            auth_events: found.iter().filter(is_auth_event).map(|it| &*it.1).collect(),
            depth: newest.depth + 1,
            origin_server_ts: 1,
        };
        let pdu = pdu::build(event, &plan.rules, creator.server_name(), &key).unwrap();
        authorize::check(&pdu, &found, &plan.rules)?;
        newest = Arc::new(pdu);
        state.insert((item.event_type, item.state_key), Arc::clone(&newest));
    }
    Ok(())
}

#[test]
fn the_rules_of_every_version_allow_what_is_planned() {
    for version in VERSIONS {
        for preset in ["private_chat", "trusted_private_chat", "public_chat"] {
            let mut options = json!({
                "room_version": version,
                "preset": preset,
                "room_alias_name": "pub",
                "initial_state": [
                    { "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1" } },
                    { "type": "m.room.power_levels", "content": { "users": { CREATOR: 100 } } },
                ],
                "name": "Pub",
                "topic": "Beer",
                "invite": ["@bob:x.y", "@carol:x.y"],
                "creation_content": { "m.federate": false, "type": "m.space" },
            });
            if version == "12" {
                options["initial_state"][1]["content"] = json!({ "users_default": 1 });
                options["creation_content"]["additional_creators"] = json!(["@dora:x.y"]);
            }
            let plan = plan_of(options);
            assert_eq!(carry_out(&plan), Ok(()), "version {version}, {preset}");
        }
    }
}

#[test]
fn the_rules_refuse_a_creator_who_gives_power_away() {
    let plan = plan_of(json!({
        "room_version": "11",
        "name": "Pub",
        "power_level_content_override": { "users": { CREATOR: 10 } },
    }));
    assert!(matches!(carry_out(&plan), Err(authorize::Refusal::Forbidden(_))));
}
