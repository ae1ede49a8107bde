//! By whom requests of other servers are (F7, T8c, F18, F19).

use skerry_tests::{
    Client, Request, Server, User, json,
    remote::{Remote, in_a_day_ms, now_ms},
    unique,
};

both_hosts![
    f7_a_request_is_by_whom_has_signed_it,
    f7_what_nobody_has_signed_is_refused_everywhere,
    f7_a_key_that_is_not_valid_any_more_signs_nothing,
    t8c_a_signature_is_for_one_request_to_one_server,
    f18_profiles_are_told_to_other_servers,
    f19_what_else_is_asked_is_not_known,
    public_rooms_are_told_to_other_servers,
    an_alias_leads_other_servers_to_its_room,
    t1e_a_server_without_keys_is_not_asked_again_and_again,
];

const VERSION: &str = "/_matrix/federation/v1/version";
const ROOMS: &str = "/_matrix/federation/v1/publicRooms";
const KEYS: &str = "/_matrix/key/v2/server";

async fn f7_a_request_is_by_whom_has_signed_it(server: &Server) {
    let remote = Remote::start();
    remote.get(server, ROOMS).ok().await;
    remote.get(server, &format!("{ROOMS}?limit=1&since=n1_%21a%3Ab")).ok().await;
    remote.post(server, ROOMS, &json!({ "limit": 1 })).ok().await;
    assert_eq!(remote.asked(KEYS).len(), 1, "keys are remembered");
    // Older servers do not say whom the request is for, and do not quote.
    let authorization = remote.peer.authorization(server, "GET", ROOMS, None);
    let nameless = authorization.replacen("destination=localhost,", "", 1);
    assert_ne!(nameless, authorization);
    for header in [nameless, authorization.replace('"', "")] {
        with(server, ROOMS, &header).ok().await;
    }
    let beside_others = with(server, ROOMS, &authorization).header("Authorization", "Bearer x");
    beside_others.ok().await;
}

fn with(server: &Server, path: &str, authorization: &str) -> Request {
    Client::new(server.url()).get(path).header("Authorization", authorization)
}

async fn f7_what_nobody_has_signed_is_refused_everywhere(server: &Server) {
    let anyone = Client::new(server.url());
    anyone.get(VERSION).ok().await;
    let alice = User::register(server, "alice").await;
    let routes = anyone.get("/_skerry/test/routes").ok().await;
    let mut asked = 0;
    for route in routes.as_array().expect("a list of routes") {
        let text = |key: &str| route[key].as_str().expect("a route").to_owned();
        let (method, path) = (text("method"), text("path"));
        // Who has a user's token may ask whose it is.
        let of_identity_servers = path.ends_with("/3pid/onbind");
        let is_open = path == VERSION || path.ends_with("/openid/userinfo") || of_identity_servers;
        if !path.starts_with("/_matrix/federation/") || is_open {
            continue;
        }
        asked += 1;
        let of_a_user = alice.request(&method, &path).text("{}");
        let nonsense =
            anyone.request(&method, &path).text("{}").header("Authorization", "X-Matrix");
        for request in [anyone.request(&method, &path).text("{}"), of_a_user, nonsense] {
            request.refused(401, "M_UNAUTHORIZED").await;
        }
    }
    assert!(asked > 3, "{asked}");
}

async fn f7_a_key_that_is_not_valid_any_more_signs_nothing(server: &Server) {
    // A server that has no other keys than these.
    let (stale, other) = (Remote::start(), Remote::start());
    let published = stale.peer.published(now_ms() - 1);
    stale.answer(KEYS, move |_| (200, published.clone()));
    stale.get(server, ROOMS).refused(401, "M_UNAUTHORIZED").await;
    // The keys of one server are none of another.
    let published = stale.peer.published(in_a_day_ms());
    other.answer(KEYS, move |_| (200, published.clone()));
    other.get(server, ROOMS).refused(401, "M_UNAUTHORIZED").await;
}

async fn t8c_a_signature_is_for_one_request_to_one_server(server: &Server) {
    let remote = Remote::start();
    let body = json!({ "limit": 1 });
    let signed = remote.peer.authorization(server, "POST", ROOMS, Some(&body));
    let send = |body: &str| {
        let request = Client::new(server.url()).request("POST", ROOMS).text(body);
        request.header("Authorization", &signed)
    };
    send(&body.to_string()).ok().await;
    // The same JSON in another spelling is the same request.
    send(" { \"limit\" : 1 } ").ok().await;
    for other in [r#"{"limit":2}"#, r#"{"limit":1,"since":"x"}"#, "{}", ""] {
        send(other).refused(401, "M_UNAUTHORIZED").await;
    }
    for other in [r#"{"limit":1,"limit":1}"#, "{", r#"{"limit":1}x"#] {
        send(other).refused(400, "M_BAD_JSON").await;
    }
    with(server, ROOMS, &signed).refused(401, "M_UNAUTHORIZED").await;
    let elsewhere = remote.peer.authorization_for("elsewhere.example", "GET", ROOMS, None);
    with(server, ROOMS, &elsewhere).refused(401, "M_UNAUTHORIZED").await;
    let readdressed = elsewhere.replace("elsewhere.example", "localhost");
    with(server, ROOMS, &readdressed).refused(401, "M_UNAUTHORIZED").await;
    let other_path = with(server, &format!("{ROOMS}?limit=1"), &signed);
    other_path.refused(401, "M_UNAUTHORIZED").await;
}

async fn f18_profiles_are_told_to_other_servers(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let name = skerry_tests::path(["profile", &alice.id, "displayname"]);
    alice.put(name).json(&json!({ "displayname": "Alice" })).ok().await;
    let path = |user: &str, more: &str| {
        let user = skerry_tests::encode(user);
        format!("/_matrix/federation/v1/query/profile?user_id={user}{more}")
    };
    let profile = json!({ "displayname": "Alice" });
    assert_eq!(remote.get(server, &path(&alice.id, "")).ok().await, profile);
    assert_eq!(remote.get(server, &path(&alice.id, "&field=displayname")).ok().await, profile);
    let avatar = remote.get(server, &path(&alice.id, "&field=avatar_url")).ok().await;
    assert_eq!(avatar, json!({}));
    for nobody in ["@nobody:localhost", &remote.peer.user("alice")] {
        remote.get(server, &path(nobody, "")).refused(404, "M_NOT_FOUND").await;
    }
}

async fn f19_what_else_is_asked_is_not_known(server: &Server) {
    let path = "/_matrix/federation/v1/query/org.example.weather?city=Husum";
    Remote::start().get(server, path).refused(404, "M_UNRECOGNIZED").await;
}

async fn public_rooms_are_told_to_other_servers(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let name = unique("Harbor");
    let listed = json!({ "preset": "public_chat", "visibility": "public", "name": name });
    let room = alice.create_room(&listed).await;
    let body = json!({ "filter": { "generic_search_term": name } });
    let found = remote.post(server, ROOMS, &body).ok().await;
    assert_eq!(found["chunk"][0]["room_id"], room.as_str(), "{found}");
    assert_eq!(found["chunk"][0]["join_rule"], "public");
    let all = remote.get(server, &format!("{ROOMS}?limit=1")).ok().await;
    assert_eq!(all["chunk"].as_array().map(Vec::len), Some(1), "{all}");
    let others = json!({ "third_party_instance_id": "irc" });
    let others = remote.post(server, ROOMS, &others).ok().await;
    assert_eq!(others["chunk"], json!([]));
}

async fn an_alias_leads_other_servers_to_its_room(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let name = unique("alias");
    let room = alice.create_room(&json!({ "room_alias_name": name })).await;
    let path = |alias: &str| {
        let alias = skerry_tests::encode(alias);
        format!("/_matrix/federation/v1/query/directory?room_alias={alias}")
    };
    let found = remote.get(server, &path(&format!("#{name}:localhost"))).ok().await;
    assert_eq!(found, json!({ "room_id": room, "servers": ["localhost"] }));
    for unknown in ["#nowhere:localhost".to_owned(), format!("#{name}:{}", remote.peer.name)] {
        remote.get(server, &path(&unknown)).refused(404, "M_NOT_FOUND").await;
    }
}

async fn t1e_a_server_without_keys_is_not_asked_again_and_again(server: &Server) {
    let remote = Remote::start_without_keys();
    for _ in 0..5 {
        remote.get(server, ROOMS).refused(401, "M_UNAUTHORIZED").await;
    }
    assert_eq!(remote.asked(KEYS).len(), 1);
}
