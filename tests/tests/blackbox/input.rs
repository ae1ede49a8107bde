//! Malformed, oversized and hostile input: refused as the client's fault, never a 5xx.

use skerry_tests::{Client, Request, Server, User, json, message, path};
use tokio::time::Instant;

both_hosts![
    a_body_that_is_not_json_is_told_so,
    a_body_that_is_not_an_object_is_bad_json,
    a_field_of_the_wrong_type_is_bad_json,
    a_missing_field_is_named,
    a_very_deep_body_is_refused_quickly,
    an_event_over_64_kib_is_too_large,
    an_event_type_or_state_key_over_255_bytes_is_refused,
    a_body_of_megabytes_is_refused,
    numbers_outside_canonical_json_are_refused,
    what_some_clients_cannot_read_is_not_kept,
    unusual_text_survives_the_round_trip,
    a_bad_query_parameter_is_refused,
    injections_in_paths_are_refused,
    injections_in_queries_are_refused,
    injections_in_bodies_are_only_text,
    an_identifier_that_is_too_long_is_nobodys,
];

/// Endpoints that take a body, in a room where the user may do everything.
async fn writes(alice: &User) -> Vec<Request> {
    let room = alice.create_room(&json!({})).await;
    vec![
        alice.post("/register"),
        alice.post("/login"),
        alice.post("/refresh"),
        alice.post("/createRoom"),
        alice.post(path(["rooms", &room, "invite"])),
        alice.post(path(["rooms", &room, "kick"])),
        alice.post(path(["rooms", &room, "ban"])),
        alice.post(path(["rooms", &room, "unban"])),
        alice.post(path(["rooms", &room, "read_markers"])),
        alice.put(path(["rooms", &room, "send", "m.room.message", "1"])),
        alice.put(path(["rooms", &room, "state", "m.room.topic", ""])),
        alice.put(path(["rooms", &room, "typing", &alice.id])),
        alice.put(path(["profile", &alice.id, "displayname"])),
        alice.put(path(["user", &alice.id, "account_data", "org.example"])),
        alice.put(path(["user", &alice.id, "rooms", &room, "account_data", "org.example"])),
        alice.put(path(["user", &alice.id, "rooms", &room, "tags", "m.favourite"])),
        alice.put(path(["directory", "room", "#some:localhost"])),
        alice.put(path(["directory", "list", "room", &room])),
        alice.put(path(["devices", &alice.device])),
        alice.post("/delete_devices"),
        alice.post("/account/password"),
        alice.post("/account/deactivate"),
        alice.post("/publicRooms"),
        alice.post(path(["user", &alice.id, "filter"])),
    ]
}

/// S-I1
async fn a_body_that_is_not_json_is_told_so(server: &Server) {
    let alice = User::register(server, "alice").await;
    for request in writes(&alice).await {
        for body in [&b"{"[..], b"nonsense", b"{'a': 1}", b"{\"a\": \xff\xfe}", b"{} {}"] {
            request.clone().bytes(body).refused(400, "M_NOT_JSON").await;
        }
    }
}

/// S-I1
async fn a_body_that_is_not_an_object_is_bad_json(server: &Server) {
    let alice = User::register(server, "alice").await;
    for request in writes(&alice).await {
        for body in ["[]", "[{}]", "\"text\"", "1", "true", "null"] {
            request.clone().text(body).refused(400, "M_BAD_JSON").await;
        }
    }
}

/// S-I1
async fn a_field_of_the_wrong_type_is_bad_json(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let wrong = [
        (alice.post("/register"), json!({ "username": 1, "password": "x" })),
        (alice.post("/register"), json!({ "username": "x", "password": ["x"] })),
        (alice.post("/register"), json!({ "auth": "m.login.dummy" })),
        (alice.post("/login"), json!({ "type": 1 })),
        (alice.post("/login"), json!({ "type": "m.login.password", "identifier": "alice" })),
        (alice.post("/refresh"), json!({ "refresh_token": {} })),
        (alice.post("/createRoom"), json!({ "invite": alice.id })),
        (alice.post("/createRoom"), json!({ "name": 1 })),
        (alice.post("/createRoom"), json!({ "initial_state": [{ "type": "m.room.name" }] })),
        (alice.post("/createRoom"), json!({ "initial_state": {} })),
        (alice.post("/createRoom"), json!({ "preset": "no_such_preset" })),
        (alice.post("/createRoom"), json!({ "creation_content": [] })),
        (alice.post("/createRoom"), json!({ "room_version": "" })),
        (alice.post("/createRoom"), json!({ "power_level_content_override": 1 })),
        (alice.post(path(["rooms", &room, "invite"])), json!({ "user_id": 1 })),
        (alice.post(path(["rooms", &room, "invite"])), json!({ "user_id": "nobody" })),
        (alice.post(path(["rooms", &room, "kick"])), json!({ "user_id": null })),
        (alice.put(path(["rooms", &room, "typing", &alice.id])), json!({ "typing": "yes" })),
        (alice.put(path(["directory", "list", "room", &room])), json!({ "visibility": 3 })),
        (alice.put(path(["directory", "room", "#x:localhost"])), json!({ "room_id": "x" })),
        (alice.post("/delete_devices"), json!({ "devices": "all" })),
        (alice.put(path(["devices", &alice.device])), json!({ "display_name": 5 })),
        (alice.post("/publicRooms"), json!({ "limit": "ten" })),
        (alice.post("/publicRooms"), json!({ "filter": "x" })),
        (alice.post(path(["user", &alice.id, "filter"])), json!({ "room": 1 })),
        (
            alice.post(path(["user", &alice.id, "filter"])),
            json!({ "room": { "timeline": { "limit": "x" } } }),
        ),
        (
            alice.put(path(["user", &alice.id, "rooms", &room, "tags", "u.x"])),
            json!({ "order": "first" }),
        ),
    ];
    for (request, body) in wrong {
        let reply = request.json(&body).send().await;
        reply.refused_with_any(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    }
}

/// S-I1
async fn a_missing_field_is_named(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let incomplete = [
        alice.post("/login"),
        alice.post("/refresh"),
        alice.post(path(["rooms", &room, "invite"])),
        alice.post(path(["rooms", &room, "kick"])),
        alice.post(path(["rooms", &room, "ban"])),
        alice.post(path(["rooms", &room, "unban"])),
        alice.put(path(["rooms", &room, "typing", &alice.id])),
        alice.put(path(["directory", "room", "#some:localhost"])),
        alice.put(path(["profile", &alice.id, "displayname"])),
        alice.get("/register/available"),
    ];
    for request in incomplete {
        let reply = request.send().await;
        reply.refused_with_any(&[(400, "M_MISSING_PARAM"), (400, "M_BAD_JSON")]);
    }
}

/// T1b
async fn a_very_deep_body_is_refused_quickly(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let started = Instant::now();
    let send = alice.sending(&room, "m.room.message", &json!({}));
    send.text(&deep(10_000)).refused(400, "M_BAD_JSON").await;
    alice.post("/createRoom").text(&deep(100_000)).refused(400, "M_BAD_JSON").await;
    let data = alice.put(path(["user", &alice.id, "account_data", "org.example"]));
    data.text(&deep(10_000)).refused(400, "M_BAD_JSON").await;
    Client::new(server.url()).post("/login").text(&deep(100_000)).refused(400, "M_BAD_JSON").await;
    assert!(started.elapsed().as_secs() < 10, "took {:?}", started.elapsed());
    alice.say(&room, "still here").await;
}

/// T1c
async fn an_event_over_64_kib_is_too_large(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let large = json!({ "msgtype": "m.text", "body": "x".repeat(65_537) });
    alice.sending(&room, "m.room.message", &large).refused(413, "M_TOO_LARGE").await;
    alice.setting(&room, "m.room.topic", "", &large).refused(413, "M_TOO_LARGE").await;
    // The limit is that of the whole event: with its envelope and signature this one is over it.
    let hidden = json!({ "msgtype": "m.text", "body": "x".repeat(65_400) });
    alice.sending(&room, "m.room.message", &hidden).refused(413, "M_TOO_LARGE").await;
    let fitting = json!({ "msgtype": "m.text", "body": "x".repeat(60_000) });
    let event = alice.send(&room, "m.room.message", &fitting).await;
    assert_eq!(alice.event(&room, &event).ok().await["content"], fitting);
}

/// T1c
async fn an_event_type_or_state_key_over_255_bytes_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let (long, fitting) = ("t".repeat(256), "t".repeat(255));
    alice.sending(&room, &long, &json!({})).send().await.client_error();
    alice.setting(&room, &long, "", &json!({})).send().await.client_error();
    alice.setting(&room, "org.example", &long, &json!({})).send().await.client_error();
    alice.set_state(&room, &fitting, &fitting, &json!({ "kept": true })).await;
    assert_eq!(alice.state(&room, &fitting, &fitting).ok().await, json!({ "kept": true }));
}

/// T1c
async fn a_body_of_megabytes_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let body = json!({ "body": "x".repeat(4_000_000) });
    alice.sending(&room, "m.room.message", &body).refused(413, "M_TOO_LARGE").await;
    alice.post("/createRoom").json(&body).refused(413, "M_TOO_LARGE").await;
    let account_data = alice.put(path(["user", &alice.id, "account_data", "org.example"]));
    account_data.json(&body).refused(413, "M_TOO_LARGE").await;
}

/// T1c
async fn numbers_outside_canonical_json_are_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for number in ["1.5", "9007199254740992", "-9007199254740992", "1e400", "0.1e1"] {
        let body = format!("{{\"number\":{number}}}");
        let send = alice.sending(&room, "org.example.number", &json!({})).text(&body);
        let reply = send.send().await;
        reply.refused_with_any(&[(400, "M_BAD_JSON"), (400, "M_NOT_JSON")]);
    }
    let largest =
        json!({ "number": 9_007_199_254_740_991_i64, "least": -9_007_199_254_740_991_i64 });
    let event = alice.send(&room, "org.example.number", &largest).await;
    assert_eq!(alice.event(&room, &event).ok().await["content"], largest);
}

/// S-I1. Account data goes out as it came, in the middle of everything that a client begins with.
async fn what_some_clients_cannot_read_is_not_kept(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let many_digits = "9".repeat(400);
    for value in ["\"\\ud800\"", "\"\\udc00x\"", "{\"\\ud800\": 1}", "1e400", &many_digits] {
        let body = format!("{{\"value\": [{value}], \"user_id\": \"@x:y\"}}");
        let writes = [
            alice.put(path(["user", &alice.id, "account_data", "org.example"])),
            alice.put(path(["user", &alice.id, "rooms", &room, "account_data", "org.example"])),
            alice.put(path(["profile", &alice.id, "org.example"])),
            alice.post(path(["user", &alice.id, "filter"])),
            alice.post(path(["rooms", &room, "invite"])),
            alice.sending(&room, "org.example", &json!({})),
            alice.setting(&room, "org.example", "", &json!({})),
            alice.post("/createRoom"),
        ];
        for write in writes {
            write.text(&body).refused(400, "M_BAD_JSON").await;
        }
    }
    alice.get("/sync").ok().await;
}

async fn unusual_text_survives_the_round_trip(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let content = json!({
        "msgtype": "m.text",
        "body": "🦭 \u{0} \u{7f} \u{2028} \"quoted\" \\ back / slash \u{202e}reversed e\u{301}",
        "": { "": [] },
        "ключ": { "🗝": [null, true, [], {}] },
    });
    let event = alice.send(&room, "org.example.тип 🦭/%2F?#", &content).await;
    let found = alice.event(&room, &event).ok().await;
    assert_eq!(found["content"], content);
    assert_eq!(found["type"], "org.example.тип 🦭/%2F?#");
    alice.set_state(&room, "org.example", "a/b?c#d%20 é", &content).await;
    assert_eq!(alice.state(&room, "org.example", "a/b?c#d%20 é").ok().await, content);
}

/// S-I1
async fn a_bad_query_parameter_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    let messages = alice.messages(&room, "b");
    let bad = [
        alice.messages(&room, "sideways"),
        messages.clone().query("limit", "many"),
        messages.clone().query("limit", -1),
        messages.clone().query("from", "nonsense"),
        messages.clone().query("to", "nonsense"),
        messages.clone().query("filter", "{"),
        messages.query("filter", "{\"types\":1}"),
        alice.sync().since("nonsense").request(),
        alice.sync().query("timeout", "soon").request(),
        alice.sync().query("filter", "{\"room\":").request(),
        alice.sync().query("filter", "no-such-filter").request(),
        alice.sync().query("full_state", "perhaps").request(),
        alice.get(path(["rooms", &room, "members"])).query("membership", "nonsense"),
        alice.get(path(["rooms", &room, "members"])).query("at", "nonsense"),
        alice.get(path(["rooms", &room, "context", &event])).query("limit", "many"),
        alice.get("/publicRooms").query("limit", "many"),
        alice.get("/publicRooms").query("since", "nonsense"),
    ];
    for request in bad {
        let reply = request.send().await;
        reply.client_error();
    }
}

/// What sqlmap and its like send.
const INJECTIONS: [&str; 12] = [
    "' OR '1'='1",
    "1' OR 1=1--",
    "'; DROP TABLE events;--",
    "\" OR \"\"=\"",
    "1) UNION SELECT NULL,NULL,sqlite_version()--",
    "%' AND randomblob(100000000) AND '%'='",
    "1;ATTACH DATABASE '/tmp/x' AS x",
    "admin'/*",
    "\\'; --",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "\u{0}\r\nX-Injected: 1",
];

/// S-I1
async fn injections_in_paths_are_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for injection in INJECTIONS {
        for segments in [
            path(["rooms", injection, "state"]),
            path(["rooms", injection, "messages"]),
            path(["rooms", &format!("!{injection}:localhost"), "members"]),
            path(["rooms", &room, "event", injection]),
            path(["rooms", &room, "event", &format!("${injection}")]),
            path(["rooms", &room, "context", injection]),
            path(["rooms", &room, "state", injection]),
            path(["rooms", &room, "state", "m.room.member", injection]),
            path(["profile", injection]),
            path(["profile", &format!("@{injection}:localhost"), "displayname"]),
            path(["user", injection, "account_data", "m.direct"]),
            path(["user", &alice.id, "account_data", injection]),
            path(["user", &alice.id, "rooms", injection, "tags"]),
            path(["user", &alice.id, "filter", injection]),
            path(["directory", "room", injection]),
            path(["directory", "room", &format!("#{injection}:localhost")]),
            path(["directory", "list", "room", injection]),
            path(["devices", injection]),
        ] {
            let reply = alice.get(segments).query("dir", "b").send().await;
            assert_eq!(reply.header("x-injected"), None, "{reply}");
            reply.client_error();
        }
        alice.post(path(["join", injection])).send().await.client_error();
        alice
            .with_token(&injection.replace(['\0', '\r', '\n'], ""))
            .get("/sync")
            .send()
            .await
            .client_error();
    }
    alice.say(&room, "still here").await;
}

/// S-I1
async fn injections_in_queries_are_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    for injection in INJECTIONS {
        for request in [
            alice.sync().since(injection).request(),
            alice.sync().query("filter", injection).request(),
            alice.sync().query("timeout", injection).request(),
            alice.messages(&room, injection),
            alice.messages(&room, "b").query("from", injection),
            alice.messages(&room, "b").query("to", injection),
            alice.messages(&room, "b").query("limit", injection),
            alice.messages(&room, "b").query("filter", injection),
            alice.get(path(["rooms", &room, "members"])).query("at", injection),
            alice.get(path(["rooms", &room, "members"])).query("membership", injection),
            alice.get(path(["rooms", &room, "context", &event])).query("limit", injection),
            alice.get("/publicRooms").query("since", injection),
            alice.get("/publicRooms").query("limit", injection),
        ] {
            let reply = request.send().await;
            assert_eq!(reply.header("x-injected"), None, "{reply}");
            reply.client_error();
        }
    }
    alice.say(&room, "still here").await;
}

/// S-I1
async fn injections_in_bodies_are_only_text(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for injection in INJECTIONS {
        alice.set_state(&room, "m.room.topic", "", &json!({ "topic": injection })).await;
        let topic = alice.state(&room, "m.room.topic", "").ok().await;
        assert_eq!(topic["topic"], injection);
        let name = alice.put(path(["profile", &alice.id, "displayname"]));
        name.json(&json!({ "displayname": injection })).ok().await;
        let profile = alice.get(path(["profile", &alice.id, "displayname"])).ok().await;
        assert_eq!(profile["displayname"], injection);
        let search = json!({ "filter": { "generic_search_term": injection } });
        let found = alice.post("/publicRooms").json(&search).ok().await;
        assert_eq!(found["chunk"], json!([]), "nothing is called {injection}");
        let login = json!({ "type": "m.login.password", "password": injection,
            "identifier": { "type": "m.id.user", "user": injection } });
        alice.post("/login").json(&login).send().await.client_error();
    }
}

/// S-I1. Longer than 255 bytes none is; where objects have names, longer ones than a kilobyte are
/// not even names.
async fn an_identifier_that_is_too_long_is_nobodys(server: &Server) {
    let alice = User::register(server, "alice").await;
    let own = alice.create_room(&json!({})).await;
    for length in [256, 1_025, 9_000] {
        let id = |sigil: char| {
            let name = "x".repeat(length - "@:localhost".len());
            format!("{sigil}{name}:localhost")
        };
        let (user, room, alias) = (id('@'), id('!'), id('#'));
        let login = json!({ "type": "m.login.password", "password": "correct horse",
            "identifier": { "type": "m.id.user", "user": user } });
        alice.post("/login").json(&login).refused(403, "M_FORBIDDEN").await;
        let allow = json!([{ "type": "m.room_membership", "room_id": room }]);
        let rule = json!({ "type": "m.room.join_rules", "state_key": "",
            "content": { "join_rule": "restricted", "allow": allow } });
        let restricted = alice.create_room(&json!({ "initial_state": [rule] })).await;
        let bob = User::register(server, "bob").await;
        for request in [
            alice.get(path(["profile", &user])),
            alice.get(path(["profile", &user, "displayname"])),
            alice.get("/register/available").query("username", &user[1..length - 10]),
            alice.post(path(["rooms", &own, "invite"])).json(&json!({ "user_id": user })),
            alice.post(path(["rooms", &own, "ban"])).json(&json!({ "user_id": user })),
            alice.post("/createRoom").json(&json!({ "invite": [user] })),
            alice.post(path(["rooms", &room, "join"])),
            alice.post(path(["join", &room])),
            alice.post(path(["join", &alias])),
            alice.post(path(["knock", &room])),
            alice.post(path(["rooms", &room, "leave"])),
            alice.post(path(["rooms", &room, "forget"])),
            alice.get(path(["rooms", &room, "state"])),
            alice.get(path(["rooms", &room, "messages"])),
            alice.sending(&room, "m.room.message", &message("nowhere")),
            alice.get(format!("/_matrix/client/v1/room_summary/{room}")),
            alice.get(path(["directory", "list", "room", &room])),
            alice.put(path(["directory", "list", "room", &room])),
            alice.put(path(["directory", "room", &alias])).json(&json!({ "room_id": own })),
            alice
                .put(path(["directory", "room", "#x:localhost"]))
                .json(&json!({ "room_id": room })),
            alice.get(path(["directory", "room", &alias])),
            bob.post(path(["rooms", &restricted, "join"])),
        ] {
            request.send().await.client_error();
        }
    }
}
