//! Backups of room keys (S-C7): what was put into them comes out, and the better key is kept.

use skerry_tests::{Client, Host, Options, Request, Server, User, Value, json, path};

both_hosts![
    s_c7_a_backup_is_made_and_told_of,
    s_c7_keys_are_put_and_read_by_all_by_room_and_by_session,
    s_c7_the_better_key_is_kept,
    s_c7_keys_are_removed,
    keys_go_into_the_newest_backup,
    a_deleted_backup_stays_gone,
    only_the_auth_data_changes,
    bad_backups_and_keys_are_refused,
    backups_are_their_users_alone,
    many_keys_are_restored,
];

private_server![
    native_alone: Native => [s_p3_a_backup_survives_a_crash],
    worker_alone: Worker => [s_p3_a_backup_survives_a_crash],
];

fn description(public_key: &str) -> Value {
    json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": { "public_key": public_key, "signatures": {} } })
}

async fn create(user: &User) -> String {
    let made = user.post("/room_keys/version").json(&description("abcdefg")).ok().await;
    made["version"].as_str().expect("a version").to_owned()
}

fn key(index: u64) -> Value {
    key_of(index, 0, true)
}

fn key_of(index: u64, forwarded: u64, is_verified: bool) -> Value {
    json!({ "first_message_index": index, "forwarded_count": forwarded,
        "is_verified": is_verified,
        "session_data": { "ephemeral": "YQ", "ciphertext": "Yg", "mac": "Yw" } })
}

const ROOM: &str = "!room:example.org";

#[track_caller]
fn put(user: &User, version: &str, below: &[&str], body: &Value) -> Request {
    user.put(keys(below)).query("version", version).json(body)
}

#[track_caller]
fn get(user: &Client, version: &str, below: &[&str]) -> Request {
    user.get(keys(below)).query("version", version)
}

fn keys(below: &[&str]) -> String {
    let below = below.iter().map(|it| path([it]));
    format!("/room_keys/keys{}", below.collect::<String>())
}

async fn s_c7_a_backup_is_made_and_told_of(server: &Server) {
    let alice = User::register(server, "alice").await;
    alice.get("/room_keys/version").refused(404, "M_NOT_FOUND").await;
    alice.get("/room_keys/version/1").refused(404, "M_NOT_FOUND").await;
    let version = create(&alice).await;
    let told = alice.get("/room_keys/version").ok().await;
    assert_eq!(told["algorithm"], description("x")["algorithm"]);
    assert_eq!(told["auth_data"], description("abcdefg")["auth_data"]);
    assert_eq!((&told["count"], &told["version"]), (&json!(0), &json!(version)));
    assert!(told["etag"].is_string(), "{told}");
    assert_eq!(alice.get(path(["room_keys", "version", &version])).ok().await, told);
    assert_eq!(get(&alice, &version, &[]).ok().await, json!({ "rooms": {} }));
    assert_eq!(get(&alice, &version, &[ROOM]).ok().await, json!({ "sessions": {} }));
    get(&alice, &version, &[ROOM, "s"]).refused(404, "M_NOT_FOUND").await;
}

async fn s_c7_keys_are_put_and_read_by_all_by_room_and_by_session(server: &Server) {
    let alice = User::register(server, "alice").await;
    let version = create(&alice).await;
    let all = json!({ "rooms": {
        ROOM: { "sessions": { "a/b": key(1), "c": key(2) } },
        "!other:example.org": { "sessions": { "d": key(3) } },
    } });
    let held = put(&alice, &version, &[], &all).ok().await;
    assert_eq!(held["count"], 3);
    assert_eq!(get(&alice, &version, &[]).ok().await, all);
    let of_room = json!({ "sessions": { "e": key(4) } });
    let next = put(&alice, &version, &[ROOM], &of_room).ok().await;
    assert_eq!(next["count"], 4);
    assert_ne!(next["etag"], held["etag"]);
    let last = put(&alice, &version, &[ROOM, "f"], &key(5)).ok().await;
    let expected = json!({ "a/b": key(1), "c": key(2), "e": key(4), "f": key(5) });
    assert_eq!(get(&alice, &version, &[ROOM]).ok().await["sessions"], expected);
    assert_eq!(get(&alice, &version, &[ROOM, "a/b"]).ok().await, key(1));
    let told = alice.get("/room_keys/version").ok().await;
    assert_eq!((&told["count"], &told["etag"]), (&json!(5), &last["etag"]));
    let again = put(&alice, &version, &[], &all).ok().await;
    assert_eq!(again, last, "nothing changes by what is there already");
}

async fn s_c7_the_better_key_is_kept(server: &Server) {
    let alice = User::register(server, "alice").await;
    let version = create(&alice).await;
    let steps = [
        (key_of(5, 5, false), true),
        (key_of(5, 5, false), false),
        (key_of(5, 6, false), false),
        (key_of(5, 4, false), true),
        (key_of(6, 0, false), false),
        (key_of(4, 9, false), true),
        (key_of(9, 9, true), true),
        (key_of(0, 0, false), false),
        (key_of(8, 9, true), true),
    ];
    let mut kept = Value::Null;
    for (key, is_better) in steps {
        put(&alice, &version, &[ROOM, "s"], &key).ok().await;
        if is_better {
            kept = key;
        }
        assert_eq!(get(&alice, &version, &[ROOM, "s"]).ok().await, kept);
    }
}

async fn s_c7_keys_are_removed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let version = create(&alice).await;
    let sessions = || json!({ "sessions": { "a": key(1), "b": key(2) } });
    let all = json!({ "rooms": { ROOM: sessions(), "!b:x": sessions(), "!c:x": sessions() } });
    put(&alice, &version, &[], &all).ok().await;
    let remove = |below: &[&str]| alice.delete(keys(below)).query("version", &version);
    assert_eq!(remove(&[ROOM, "a"]).ok().await["count"], 5);
    assert_eq!(remove(&[ROOM, "a"]).ok().await["count"], 5);
    assert_eq!(remove(&["!b:x"]).ok().await["count"], 3);
    let left = json!({ "rooms": { ROOM: { "sessions": { "b": key(2) } }, "!c:x": sessions() } });
    assert_eq!(get(&alice, &version, &[]).ok().await, left);
    assert_eq!(remove(&[]).ok().await["count"], 0);
    assert_eq!(get(&alice, &version, &[]).ok().await, json!({ "rooms": {} }));
    put(&alice, &version, &[ROOM, "a"], &key(7)).ok().await;
    assert_eq!(get(&alice, &version, &[ROOM, "a"]).ok().await, key(7));
    let unknown = alice.delete(keys(&[])).query("version", "99");
    unknown.refused(404, "M_NOT_FOUND").await;
}

async fn keys_go_into_the_newest_backup(server: &Server) {
    let alice = User::register(server, "alice").await;
    let first = create(&alice).await;
    put(&alice, &first, &[ROOM, "a"], &key(1)).ok().await;
    let second = create(&alice).await;
    for (below, body) in [
        (&[][..], json!({ "rooms": {} })),
        (&[ROOM], json!({ "sessions": {} })),
        (&[ROOM, "s"], key(1)),
    ] {
        let refused = put(&alice, &first, below, &body);
        let refused = refused.refused(403, "M_WRONG_ROOM_KEYS_VERSION").await;
        assert_eq!(refused["current_version"], json!(second));
    }
    put(&alice, "99", &[ROOM, "s"], &key(1)).refused(404, "M_NOT_FOUND").await;
    put(&alice, "x", &[ROOM, "s"], &key(1)).refused(404, "M_NOT_FOUND").await;
    // The old one can still be read.
    assert_eq!(get(&alice, &first, &[ROOM, "a"]).ok().await, key(1));
    assert_eq!(get(&alice, &second, &[]).ok().await, json!({ "rooms": {} }));
}

async fn a_deleted_backup_stays_gone(server: &Server) {
    let alice = User::register(server, "alice").await;
    let first = create(&alice).await;
    put(&alice, &first, &[ROOM, "a"], &key(1)).ok().await;
    let version = path(["room_keys", "version", &first]);
    alice.delete(&version).ok().await;
    alice.delete(&version).ok().await;
    alice.get(&version).refused(404, "M_NOT_FOUND").await;
    alice.get("/room_keys/version").refused(404, "M_NOT_FOUND").await;
    get(&alice, &first, &[]).refused(404, "M_NOT_FOUND").await;
    put(&alice, &first, &[ROOM, "a"], &key(1)).refused(404, "M_NOT_FOUND").await;
    alice.put(&version).json(&description("x")).refused(404, "M_NOT_FOUND").await;
    alice.delete("/room_keys/version/99").refused(404, "M_NOT_FOUND").await;
    let second = create(&alice).await;
    assert_ne!(second, first);
    assert_eq!(get(&alice, &second, &[]).ok().await, json!({ "rooms": {} }));
}

async fn only_the_auth_data_changes(server: &Server) {
    let alice = User::register(server, "alice").await;
    let version = create(&alice).await;
    let update = |body: Value| alice.put(path(["room_keys", "version", &version])).json(&body);
    update(description("new")).ok().await;
    let told = alice.get("/room_keys/version").ok().await;
    assert_eq!(told["auth_data"]["public_key"], "new");
    let mut named = description("newer");
    named["version"] = json!(version);
    update(named.clone()).ok().await;
    named["version"] = json!("99");
    update(named).refused(400, "M_INVALID_PARAM").await;
    let mut other = description("newest");
    other["algorithm"] = json!("m.other");
    update(other).refused(400, "M_INVALID_PARAM").await;
    let told = alice.get("/room_keys/version").ok().await;
    assert_eq!(told["auth_data"]["public_key"], "newer");
}

async fn bad_backups_and_keys_are_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let cases = [
        (json!({ "auth_data": {} }), 400, "M_MISSING_PARAM"),
        (json!({ "algorithm": "x" }), 400, "M_MISSING_PARAM"),
        (json!({ "algorithm": 1, "auth_data": {} }), 400, "M_BAD_JSON"),
        (json!({ "algorithm": "x", "auth_data": [] }), 400, "M_BAD_JSON"),
        (json!({ "algorithm": "x".repeat(256), "auth_data": {} }), 400, "M_INVALID_PARAM"),
        (
            json!({ "algorithm": "x", "auth_data": { "x": "x".repeat(65 * 1024) } }),
            413,
            "M_TOO_LARGE",
        ),
    ];
    for (body, status, errcode) in cases {
        alice.post("/room_keys/version").json(&body).refused(status, errcode).await;
    }
    alice.get("/room_keys/version").refused(404, "M_NOT_FOUND").await;
    let version = create(&alice).await;
    let with = |field: &str, value: Value| {
        let mut key = key(1);
        key[field] = value;
        json!({ "sessions": { "good": self::key(1), "s": key } })
    };
    let cases = [
        (with("first_message_index", json!("1")), 400, "M_BAD_JSON"),
        (with("first_message_index", json!(-1)), 400, "M_BAD_JSON"),
        (with("first_message_index", json!(1_u64 << 60)), 400, "M_BAD_JSON"),
        (with("forwarded_count", json!(1.5)), 400, "M_BAD_JSON"),
        (with("is_verified", json!("true")), 400, "M_BAD_JSON"),
        (with("session_data", json!("text")), 400, "M_BAD_JSON"),
        (with("session_data", json!({ "x": "x".repeat(65 * 1024) })), 413, "M_TOO_LARGE"),
        (json!({ "sessions": { ("x".repeat(300)): key(1) } }), 413, "M_TOO_LARGE"),
        (json!({ "sessions": [] }), 400, "M_BAD_JSON"),
        (json!({}), 400, "M_MISSING_PARAM"),
    ];
    for (body, status, errcode) in cases {
        put(&alice, &version, &[ROOM], &body).refused(status, errcode).await;
    }
    alice.put(keys(&[])).json(&json!({ "rooms": {} })).refused(400, "M_MISSING_PARAM").await;
    assert_eq!(get(&alice, &version, &[]).ok().await, json!({ "rooms": {} }), "nothing half");
}

async fn backups_are_their_users_alone(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let version = create(&alice).await;
    put(&alice, &version, &[ROOM, "a"], &key(1)).ok().await;
    get(&bob, &version, &[]).refused(404, "M_NOT_FOUND").await;
    put(&bob, &version, &[ROOM, "a"], &key(1)).refused(404, "M_NOT_FOUND").await;
    let stranger = Client::new(server.url());
    get(&stranger, &version, &[]).refused(401, "M_MISSING_TOKEN").await;
    // All devices share it, and it outlives them.
    let other = User::log_in(server, &alice.id).await;
    alice.post("/logout").ok().await;
    assert_eq!(get(&other, &version, &[ROOM, "a"]).ok().await, key(1));
}

async fn many_keys_are_restored(server: &Server) {
    let alice = User::register(server, "alice").await;
    let version = create(&alice).await;
    for round in 0..10 {
        let sessions = (0..200).map(|it| (format!("session-{round}-{it}"), key(it)));
        let sessions: serde_json::Map<_, _> = sessions.collect();
        let body = json!({ "rooms": { (format!("!{}:x", round % 3)): { "sessions": sessions } } });
        put(&alice, &version, &[], &body).ok().await;
    }
    let all = get(&alice, &version, &[]).ok().await;
    let rooms = all["rooms"].as_object().expect("rooms");
    let count = |it: &Value| it["sessions"].as_object().expect("sessions").len();
    assert_eq!(rooms.values().map(count).sum::<usize>(), 2_000);
    assert_eq!(count(&get(&alice, &version, &["!0:x"]).ok().await), 800);
    let removed = alice.delete(keys(&[])).query("version", &version).ok().await;
    assert_eq!(removed["count"], 0);
    assert_eq!(get(&alice, &version, &[]).ok().await, json!({ "rooms": {} }));
}

/// S-P3
async fn s_p3_a_backup_survives_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let version = create(&alice).await;
    let mut held = Value::Null;
    for number in 0..5 {
        held = put(&alice, &version, &[ROOM, &number.to_string()], &key(number)).ok().await;
    }
    server.kill();
    server.restart();
    let alice = alice.at(&server);
    let told = alice.get("/room_keys/version").ok().await;
    assert_eq!((&told["count"], &told["etag"]), (&held["count"], &held["etag"]));
    let sessions = get(&alice, &version, &[ROOM]).ok().await;
    assert_eq!(sessions["sessions"].as_object().expect("sessions").len(), 5);
}
