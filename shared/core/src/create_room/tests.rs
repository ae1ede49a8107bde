//! Tests of planning a room: every preset, every room version, every option.

use serde_json::{Value as JsonValue, json};

use super::*;

mod create_content;
mod power_levels;
mod rules;

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

    let third_party = |number| {
        let invite = json!({ "id_server": "x.y", "id_access_token": "t", "medium": "email",
            "address": "a@x.y" });
        json!({ "invite_3pid": vec![invite; number] })
    };
    assert!(try_plan(third_party(MAX_THIRD_PARTY_INVITES)).is_ok());
    let error = try_plan(third_party(MAX_THIRD_PARTY_INVITES + 1)).unwrap_err();
    assert_eq!(error, CreateRoomError::TooManyThirdPartyInvites);

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
