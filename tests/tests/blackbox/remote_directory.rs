//! Profiles and rooms of other servers, which clients ask for here (T1e, S-I3).

use skerry_tests::{
    Client, Request, Server, User, Value, encode, json, path,
    peer::{Draft, PeerRoom},
    remote::Remote,
};

both_hosts![
    a_profile_of_another_server_is_read,
    s_i3_a_profile_that_is_none_is_not_passed_on,
    t1e_strangers_have_nobody_asked,
    public_rooms_of_another_server_are_listed,
    s_i3_public_rooms_that_are_none_are_not_passed_on,
    an_alias_names_the_servers_in_its_room,
];

const PROFILE: &str = "/_matrix/federation/v1/query/profile";
const ROOMS: &str = "/_matrix/federation/v1/publicRooms";

fn profile(user: &Client, id: &str) -> Request {
    user.get(path(["profile", id]))
}

fn field(user: &Client, id: &str, name: &str) -> Request {
    user.get(path(["profile", id, name]))
}

async fn a_profile_of_another_server_is_read(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let carol = remote.peer.user("carol");
    let told = json!({ "displayname": "Carol", "avatar_url": "mxc://x/y", "m.tz": "Europe/Oslo" });
    remote.answer(PROFILE, move |asked| {
        let mut told = told.clone();
        if asked.path.contains("field=displayname") {
            told = json!({ "displayname": "Carol" });
        }
        (200, told)
    });
    let found = profile(&alice, &carol).ok().await;
    let expected = json!({ "displayname": "Carol", "avatar_url": "mxc://x/y",
        "m.tz": "Europe/Oslo" });
    assert_eq!(found, expected);
    let asked = remote.asked(PROFILE);
    let query = format!("?user_id={}", encode(&carol));
    assert!(asked[0].path.ends_with(&query), "{asked:?}");
    let found = field(&alice, &carol, "displayname").ok().await;
    assert_eq!(found, json!({ "displayname": "Carol" }));
    remote.answer(PROFILE, |_| (404, json!({ "errcode": "M_NOT_FOUND", "error": "nobody" })));
    profile(&alice, &carol).refused(404, "M_NOT_FOUND").await;
    field(&alice, &carol, "displayname").refused(404, "M_NOT_FOUND").await;
    remote.answer(PROFILE, |_| (200, json!({})));
    assert_eq!(profile(&alice, &carol).ok().await, json!({}));
    field(&alice, &carol, "displayname").refused(404, "M_NOT_FOUND").await;
    // Where there is no server, there is no user.
    profile(&alice, "@carol:localhost:1").refused(404, "M_NOT_FOUND").await;
}

/// S-I3
async fn s_i3_a_profile_that_is_none_is_not_passed_on(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let carol = remote.peer.user("carol");
    let odd = json!({ "displayname": { "a": 1 }, "avatar_url": 7, "Not a name": 1, "m.tz": null,
        "org.example.kept": [1] });
    remote.answer(PROFILE, move |_| (200, odd.clone()));
    assert_eq!(profile(&alice, &carol).ok().await, json!({ "org.example.kept": [1] }));
    field(&alice, &carol, "displayname").refused(404, "M_NOT_FOUND").await;
    let long = json!({ "displayname": "x".repeat(5_000) });
    remote.answer(PROFILE, move |_| (200, long.clone()));
    assert_eq!(profile(&alice, &carol).ok().await, json!({}));
    let huge = json!({ "org.example.huge": "x".repeat(1 << 20) });
    let answers = [
        (200, json!([])),
        (200, json!("x")),
        (401, json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x" })),
        (500, json!({ "errcode": "M_UNKNOWN", "error": "x" })),
    ];
    for (status, answer) in answers {
        remote.answer(PROFILE, move |_| (status, answer.clone()));
        profile(&alice, &carol).refused(502, "M_UNKNOWN").await;
    }
    remote.answer(PROFILE, move |_| (200, huge.clone()));
    let reply = profile(&alice, &carol).send().await;
    assert!([404, 502].contains(&reply.status), "{reply}");
}

/// T1e
async fn t1e_strangers_have_nobody_asked(server: &Server) {
    let remote = Remote::start();
    let carol = remote.peer.user("carol");
    let anyone = Client::new(server.url());
    profile(&anyone, &carol).refused(401, "M_MISSING_TOKEN").await;
    field(&anyone, &carol, "displayname").refused(401, "M_MISSING_TOKEN").await;
    let rooms = format!("/publicRooms?server={}", encode(&remote.peer.name));
    anyone.get(&rooms).refused(401, "M_MISSING_TOKEN").await;
    anyone.post(&rooms).json(&json!({})).refused(401, "M_MISSING_TOKEN").await;
    let room = format!("!room:{}", remote.peer.name);
    let summary = format!("/_matrix/client/v1{}", path(["room_summary", &room]));
    anyone
        .get(format!("{summary}?via={}", encode(&remote.peer.name)))
        .refused(404, "M_NOT_FOUND")
        .await;
    let found = [PROFILE, ROOMS, "/_matrix/federation/v1/hierarchy"].map(|it| remote.asked(it));
    assert!(found.iter().all(Vec::is_empty), "{found:?}");
}

/// A room as a directory shows it.
fn listed(remote: &Remote, name: &str) -> Value {
    json!({ "room_id": format!("!{name}:{}", remote.peer.name), "name": name,
        "num_joined_members": 7, "world_readable": true, "guest_can_join": false,
        "join_rule": "knock" })
}

async fn public_rooms_of_another_server_are_listed(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let room = listed(&remote, "harbor");
    let mut public = listed(&remote, "market");
    public.as_object_mut().expect("a room").remove("join_rule");
    let page = json!({ "chunk": [room, public], "next_batch": "their/token?",
        "total_room_count_estimate": 12, "unknown": 1 });
    remote.answer(ROOMS, move |_| (200, page.clone()));
    let at = format!("/publicRooms?server={}", encode(&remote.peer.name));
    let mut shown = public.clone();
    shown["join_rule"] = json!("public");
    let expected = json!({ "chunk": [room, shown], "next_batch": "their/token?",
        "total_room_count_estimate": 12 });
    assert_eq!(alice.get(format!("{at}&limit=2")).ok().await, expected);
    let body = json!({ "limit": 500, "since": "their/token?",
        "filter": { "generic_search_term": "ship" } });
    assert_eq!(alice.post(&at).json(&body).ok().await, expected);
    let asked = remote.asked(ROOMS);
    assert_eq!((&*asked[0].method, &*asked[1].method), ("GET", "POST"));
    assert!(asked[0].path.contains("limit=2"), "{asked:?}");
    let sent: Value = serde_json::from_slice(&asked[1].body).expect("JSON");
    assert_eq!(sent["filter"]["generic_search_term"], "ship");
    assert_eq!(sent["since"], "their/token?");
    assert!(sent["limit"].as_u64().is_some_and(|it| it < 500), "{sent}");
    // This server's own are its own.
    let own = format!("/publicRooms?server={}", encode(&server.name()));
    alice.get(own).ok().await;
    assert_eq!(remote.asked(ROOMS).len(), 2);
}

/// S-I3
async fn s_i3_public_rooms_that_are_none_are_not_passed_on(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let at = format!("/publicRooms?server={}&limit=1", encode(&remote.peer.name));
    let room = listed(&remote, "harbor");
    let answers = [
        (200, json!({ "chunk": [room, room] })),
        (200, json!({ "chunk": [{ "room_id": 7 }] })),
        (200, json!({ "chunk": {} })),
        (200, json!({ "chunk": [room], "next_batch": "x".repeat(5_000) })),
        (200, json!([])),
        (401, json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "x" })),
        (500, json!({ "errcode": "M_UNKNOWN", "error": "x" })),
    ];
    for (status, answer) in answers {
        remote.answer(ROOMS, move |_| (status, answer.clone()));
        alice.get(&at).refused(502, "M_UNKNOWN").await;
    }
    let huge = json!({ "chunk": [], "more": "x".repeat(2 << 20) });
    remote.answer(ROOMS, move |_| (200, huge.clone()));
    let reply = alice.get(&at).send().await;
    assert!([404, 502].contains(&reply.status), "{reply}");
    alice.get("/publicRooms?server=localhost:1").refused(404, "M_NOT_FOUND").await;
}

async fn an_alias_names_the_servers_in_its_room(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let name = skerry_tests::unique("harbor");
    let options = json!({ "preset": "public_chat", "room_alias_name": name });
    let room = alice.create_room(&options).await;
    let alias = encode(&format!("#{name}:{}", server.name()));
    let by_client = format!("/directory/room/{alias}");
    let by_server = format!("/_matrix/federation/v1/query/directory?room_alias={alias}");
    let mut expected = json!({ "room_id": room, "servers": [server.name()] });
    assert_eq!(alice.get(&by_client).ok().await, expected);
    let mut known = PeerRoom::of(&remote.peer, &alice, &room).await;
    let join = known.add(Draft::join(&remote.peer.user("carol")));
    known.accept(server, &[&join]).await;
    expected["servers"] = json!([server.name(), remote.peer.name]);
    assert_eq!(alice.get(&by_client).ok().await, expected);
    assert_eq!(remote.get(server, &by_server).ok().await, expected);
    let carol = remote.peer.user("carol");
    let leave = known.add(Draft::member(&carol, &carol, "leave"));
    known.accept(server, &[&leave]).await;
    expected["servers"] = json!([server.name()]);
    assert_eq!(remote.get(server, &by_server).ok().await, expected);
}
