//! The published room directory: listing, paging, search.

use skerry_tests::{Client, Server, User, Value, json, path, unique};

both_hosts![
    a_published_room_is_described,
    a_room_is_published_and_withdrawn,
    the_directory_is_paged,
    paging_goes_back,
    a_search_looks_at_name_topic_and_alias,
    a_search_is_no_pattern,
    a_search_chooses_room_types,
    the_visibility_of_a_missing_room_is_not_found,
    the_list_can_be_read_without_a_body,
];

async fn search(user: &User, body: Value) -> Value {
    user.post("/publicRooms").json(&body).ok().await
}

fn room_ids(found: &Value) -> Vec<String> {
    let chunk = found["chunk"].as_array().expect("a chunk");
    chunk.iter().map(|it| it["room_id"].as_str().expect("a room ID").to_owned()).collect()
}

async fn a_published_room_is_described(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let name = unique("Seaside");
    let history = json!({ "type": "m.room.history_visibility",
        "content": { "history_visibility": "world_readable" } });
    let room = alice
        .create_room(&json!({ "visibility": "public", "name": name, "topic": "sand and salt",
            "room_alias_name": name, "initial_state": [history] }))
        .await;
    bob.join(&room).await;
    let found = search(&alice, json!({ "filter": { "generic_search_term": name } })).await;
    assert_eq!(room_ids(&found), [room.as_str()]);
    let entry = &found["chunk"][0];
    assert_eq!(entry["name"], name);
    assert_eq!(entry["topic"], "sand and salt");
    assert_eq!(entry["canonical_alias"], format!("#{name}:localhost"));
    assert_eq!(entry["num_joined_members"], 2, "{entry}");
    assert_eq!(entry["world_readable"], true, "{entry}");
    assert_eq!(entry["guest_can_join"], false, "{entry}");
    assert!(entry.get("join_rule").is_none_or(|it| it == "public"), "the default: {entry}");
}

async fn a_room_is_published_and_withdrawn(server: &Server) {
    let alice = User::register(server, "alice").await;
    let name = unique("Harbor");
    let room = alice.create_room(&json!({ "preset": "public_chat", "name": name })).await;
    let term = json!({ "filter": { "generic_search_term": name } });
    let entry = path(["directory", "list", "room", &room]);
    for (visibility, listed) in [("public", 1), ("private", 0), ("public", 1)] {
        alice.put(&entry).json(&json!({ "visibility": visibility })).ok().await;
        let anyone = Client::new(server.url());
        assert_eq!(anyone.get(&entry).ok().await["visibility"], visibility);
        let found = search(&alice, term.clone()).await;
        assert_eq!(room_ids(&found).len(), listed, "{visibility}: {found}");
    }
    alice.put(&entry).ok().await;
    let kept = alice.get(&entry).ok().await;
    assert_eq!(kept["visibility"], "public", "public is the default");
}

/// Some published rooms that share one word.
async fn published(alice: &User, count: usize) -> (String, Vec<String>) {
    let word = unique("Lighthouse");
    let mut rooms = Vec::new();
    for number in 0..count {
        let options = json!({ "visibility": "public", "name": format!("{word} {number}") });
        rooms.push(alice.create_room(&options).await);
    }
    rooms.sort();
    (word, rooms)
}

async fn the_directory_is_paged(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (word, rooms) = published(&alice, 5).await;
    let mut body = json!({ "limit": 2, "filter": { "generic_search_term": word } });
    let mut found = Vec::new();
    for page_size in [2, 2, 1] {
        let page = search(&alice, body.clone()).await;
        let ids = room_ids(&page);
        assert_eq!(ids.len(), page_size, "{page}");
        found.extend(ids);
        body["since"] = page["next_batch"].clone();
    }
    assert!(body["since"].is_null(), "nothing follows the last page");
    found.sort();
    assert_eq!(found, rooms);
}

async fn paging_goes_back(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (word, _) = published(&alice, 4).await;
    let mut body = json!({ "limit": 2, "filter": { "generic_search_term": word } });
    let first = search(&alice, body.clone()).await;
    assert!(first.get("prev_batch").is_none(), "nothing precedes the first page: {first}");
    body["since"] = first["next_batch"].clone();
    let second = search(&alice, body.clone()).await;
    body["since"] = second["prev_batch"].clone();
    assert!(body["since"].is_string(), "{second}");
    let again = search(&alice, body).await;
    assert_eq!(room_ids(&again), room_ids(&first));
}

async fn a_search_looks_at_name_topic_and_alias(server: &Server) {
    let alice = User::register(server, "alice").await;
    let word = unique("Beacon");
    let public = |mut options: Value| {
        options["visibility"] = json!("public");
        alice.create_room(&options)
    };
    let mut expected = [
        public(json!({ "name": format!("The {word} of the coast") })).await,
        public(json!({ "topic": format!("about the {word}") })).await,
        public(json!({ "room_alias_name": word })).await,
    ];
    public(json!({ "name": "something else" })).await;
    for term in [word.to_lowercase(), word.to_uppercase()] {
        let found = search(&alice, json!({ "filter": { "generic_search_term": term } })).await;
        let mut found = room_ids(&found);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{term}");
    }
}

/// S-I1
async fn a_search_is_no_pattern(server: &Server) {
    let alice = User::register(server, "alice").await;
    let word = unique("Plain");
    alice.create_room(&json!({ "visibility": "public", "name": word })).await;
    for term in ["Pl%in", "P_ain", "Pl*in", "%", "Plain.", "\"Plain\" OR \"x\"", "NEAR("] {
        let found = search(&alice, json!({ "filter": { "generic_search_term": term } })).await;
        assert_eq!(room_ids(&found), Vec::<String>::new(), "{term}");
    }
}

async fn a_search_chooses_room_types(server: &Server) {
    let alice = User::register(server, "alice").await;
    let word = unique("Archipelago");
    let room = alice.create_room(&json!({ "visibility": "public", "name": word })).await;
    let space = alice
        .create_room(&json!({ "visibility": "public", "name": word,
            "creation_content": { "type": "m.space" } }))
        .await;
    for (types, expected) in [(json!(["m.space"]), &space), (json!([null]), &room)] {
        let filter = json!({ "generic_search_term": word, "room_types": types });
        let found = search(&alice, json!({ "filter": filter })).await;
        assert_eq!(room_ids(&found), [expected.as_str()], "{types}");
    }
    let filter = json!({ "generic_search_term": word, "room_types": ["m.space"] });
    let found = search(&alice, json!({ "filter": filter })).await;
    assert_eq!(found["chunk"][0]["room_type"], "m.space", "{found}");
}

async fn the_visibility_of_a_missing_room_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    let entry = path(["directory", "list", "room", "!no-such-room:localhost"]);
    alice.get(&entry).refused(404, "M_NOT_FOUND").await;
    let publish = alice.put(&entry).json(&json!({ "visibility": "public" }));
    publish.refused(404, "M_NOT_FOUND").await;
}

async fn the_list_can_be_read_without_a_body(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (_, rooms) = published(&alice, 3).await;
    let mut found = Vec::new();
    let mut since = None::<String>;
    loop {
        let mut request = Client::new(server.url()).get("/publicRooms").query("limit", 3);
        if let Some(since) = &since {
            request = request.query("since", since);
        }
        let page = request.ok().await;
        let ids = room_ids(&page);
        assert!(ids.len() <= 3, "{page}");
        found.extend(ids);
        match page["next_batch"].as_str() {
            Some(next) if Some(next) != since.as_deref() => since = Some(next.to_owned()),
            Some(next) => panic!("the token {next} leads to itself"),
            None => break,
        }
    }
    for room in rooms {
        assert!(found.contains(&room), "{room} is missing");
    }
}
