//! Room aliases and the directory that resolves them.

use skerry_tests::{Server, User, json, path, unique};

both_hosts![
    an_alias_is_made_resolved_and_removed,
    an_alias_cannot_be_made_twice,
    an_alias_must_be_valid,
    an_alias_of_another_server_cannot_be_made,
    an_alias_of_a_missing_room_cannot_be_made,
    an_alias_is_removed_only_by_those_who_may,
    the_aliases_of_a_room_are_listed_for_members,
    an_alias_is_resolved_without_a_token,
    a_room_has_only_so_many_aliases,
];

fn alias() -> String {
    format!("#{}:localhost", unique("alias"))
}

async fn an_alias_is_made_resolved_and_removed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let alias = alias();
    let entry = path(["directory", "room", &alias]);
    alice.get(&entry).refused(404, "M_NOT_FOUND").await;
    alice.put(&entry).json(&json!({ "room_id": room })).ok().await;
    let found = alice.get(&entry).ok().await;
    assert_eq!(found["room_id"], room);
    assert_eq!(found["servers"], json!(["localhost"]), "{found}");
    alice.delete(&entry).ok().await;
    alice.get(&entry).refused(404, "M_NOT_FOUND").await;
    alice.delete(&entry).refused(404, "M_NOT_FOUND").await;
}

async fn an_alias_cannot_be_made_twice(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (first, second) =
        (alice.create_room(&json!({})).await, alice.create_room(&json!({})).await);
    let entry = path(["directory", "room", &alias()]);
    alice.put(&entry).json(&json!({ "room_id": first })).ok().await;
    let reply = alice.put(&entry).json(&json!({ "room_id": second })).send().await;
    assert_eq!(reply.status, 409, "{reply}");
    reply.client_error();
    assert_eq!(alice.get(&entry).ok().await["room_id"], first);
}

async fn an_alias_must_be_valid(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let long = format!("#{}:localhost", "x".repeat(255));
    for wrong in ["no-sigil:localhost", "#no-server", "!room:localhost", &long] {
        let entry = path(["directory", "room", wrong]);
        let put = alice.put(&entry).json(&json!({ "room_id": room })).send().await;
        assert_eq!(put.status, 400, "{put}");
        put.client_error();
        let get = alice.get(&entry).send().await;
        assert!([400, 404].contains(&get.status), "{get}");
        get.client_error();
    }
}

async fn an_alias_of_another_server_cannot_be_made(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let put = alice.put(path(["directory", "room", "#room:elsewhere.example"]));
    let reply = put.json(&json!({ "room_id": room })).send().await;
    assert!([400, 403].contains(&reply.status), "{reply}");
    reply.client_error();
}

async fn an_alias_of_a_missing_room_cannot_be_made(server: &Server) {
    let alice = User::register(server, "alice").await;
    let alias = alias();
    let put = alice.put(path(["directory", "room", &alias]));
    let reply = put.json(&json!({ "room_id": "!no-such-room:localhost" })).send().await;
    reply.client_error();
    alice.get(path(["directory", "room", &alias])).refused(404, "M_NOT_FOUND").await;
}

/// T6a
async fn an_alias_is_removed_only_by_those_who_may(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let entry = path(["directory", "room", &alias()]);
    alice.put(&entry).json(&json!({ "room_id": room })).ok().await;
    bob.delete(&entry).refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.get(&entry).ok().await["room_id"], room);
    alice.delete(&entry).ok().await;
}

/// T15-like
async fn the_aliases_of_a_room_are_listed_for_members(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let stranger = User::register(server, "stranger").await;
    let room = alice.public_room(&[&bob]).await;
    let mut made = [alias(), alias()];
    for alias in &made {
        let put = alice.put(path(["directory", "room", alias]));
        put.json(&json!({ "room_id": room })).ok().await;
    }
    let request = path(["rooms", &room, "aliases"]);
    let listed = bob.get(&request).ok().await;
    let mut found: Vec<_> = listed["aliases"].as_array().expect("aliases").clone();
    found.sort_by_key(ToString::to_string);
    made.sort();
    assert_eq!(found, made);
    stranger.get(&request).refused(403, "M_FORBIDDEN").await;
}

async fn an_alias_is_resolved_without_a_token(server: &Server) {
    let alice = User::register(server, "alice").await;
    let name = unique("alias");
    let room = alice.create_room(&json!({ "room_alias_name": name })).await;
    let anyone = skerry_tests::Client::new(server.url());
    let found = anyone.get(path(["directory", "room", &format!("#{name}:localhost")])).ok().await;
    assert_eq!(found["room_id"], room);
}

/// T1d
async fn a_room_has_only_so_many_aliases(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let put = |alias: &str| {
        alice.put(path(["directory", "room", alias])).json(&json!({ "room_id": room }))
    };
    let aliases: Vec<_> = (0..100).map(|_| alias()).collect();
    for alias in &aliases {
        put(alias).ok().await;
    }
    let more = alias();
    put(&more).refused(403, "M_FORBIDDEN").await;
    alice.delete(path(["directory", "room", &aliases[0]])).ok().await;
    put(&more).ok().await;
    let listed = alice.get(path(["rooms", &room, "aliases"])).ok().await;
    assert_eq!(listed["aliases"].as_array().map(Vec::len), Some(100), "{listed}");
}
