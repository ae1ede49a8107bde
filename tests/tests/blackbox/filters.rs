//! Filters of `/sync`, stored and inline.

use skerry_tests::{Server, User, Value, ids, json, path};

both_hosts![
    a_filter_is_stored_and_read,
    a_stored_filter_works_like_an_inline_one,
    a_number_that_no_store_holds_is_not_found,
    a_filter_belongs_to_its_user,
    the_oldest_filters_go_when_they_are_large,
    an_invalid_filter_is_refused,
    an_unknown_event_format_is_refused,
    a_filter_that_costs_too_much_is_refused,
    rooms_are_chosen_and_left_out,
    timeline_types_and_senders_are_chosen,
    state_types_are_chosen,
    a_filtered_timeline_still_ends_the_state,
    account_data_types_are_chosen,
    ephemeral_types_are_chosen,
    room_account_data_types_are_chosen,
    event_fields_are_chosen,
];

async fn store(user: &User, filter: &Value) -> String {
    let stored = user.post(path(["user", &user.id, "filter"])).json(filter).ok().await;
    let id = stored["filter_id"].as_str().expect("a filter ID").to_owned();
    assert!(!id.starts_with('{'), "it would be taken for an inline filter: {id}");
    id
}

async fn a_filter_is_stored_and_read(server: &Server) {
    let alice = User::register(server, "alice").await;
    let filter = json!({ "room": { "timeline": { "limit": 3, "types": ["m.room.message"] },
        "state": { "lazy_load_members": true }, "include_leave": true } });
    let id = store(&alice, &filter).await;
    let read = alice.get(path(["user", &alice.id, "filter", &id])).ok().await;
    assert_eq!(read["room"]["timeline"], filter["room"]["timeline"], "{read}");
    assert_eq!(read["room"]["state"]["lazy_load_members"], true, "{read}");
    assert_eq!(read["room"]["include_leave"], true, "{read}");
    let missing = alice.get(path(["user", &alice.id, "filter", "no-such-filter"]));
    missing.refused(404, "M_NOT_FOUND").await;
}

async fn a_stored_filter_works_like_an_inline_one(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let sent = alice.say_many(&room, 4).await;
    let filter = json!({ "room": { "timeline": { "limit": 2 } } });
    let id = store(&alice, &filter).await;
    let stored = alice.sync().query("filter", id).until_event(&room, &sent[3]).await;
    let inline = alice.sync().filter(&filter).until_event(&room, &sent[3]).await;
    for sync in [stored, inline] {
        assert_eq!(ids(sync.joined(&room).expect("the room").timeline()), sent[2..]);
    }
}

/// Numbers that no store holds are no IDs, wherever a client may put them.
async fn a_number_that_no_store_holds_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    let id = store(&alice, &json!({ "room": { "timeline": { "limit": 1 } } })).await;
    let too_large = ["9007199254740992", "9223372036854775808", "18446744073709551616"];
    let unusual = [format!("+{id}"), format!("0{id}"), "-1".to_owned(), "1e3".to_owned()];
    let room = alice.create_room(&json!({})).await;
    for id in too_large.into_iter().chain(unusual.iter().map(String::as_str)) {
        let filter = alice.get(path(["user", &alice.id, "filter", id]));
        filter.refused(404, "M_NOT_FOUND").await;
        alice.sync().query("filter", id).request().refused(400, "M_INVALID_PARAM").await;
    }
    for number in too_large {
        for (request, name, value) in [
            (alice.get("/sync"), "since", format!("s{number}")),
            (alice.get("/sync"), "since", format!("s1_{number}")),
            (alice.get("/sync"), "timeout", number.to_owned()),
            (alice.messages(&room, "b"), "from", format!("t{number}")),
            (alice.messages(&room, "b"), "to", format!("s{number}")),
            (alice.messages(&room, "b"), "limit", number.to_owned()),
            (alice.get(path(["rooms", &room, "members"])), "at", format!("t{number}")),
            (alice.get("/publicRooms"), "since", format!("n{number}_!a:localhost")),
            (alice.get("/publicRooms"), "limit", number.to_owned()),
        ] {
            let reply = request.query(name, value).send().await;
            assert!(reply.status < 500, "{reply}");
        }
    }
}

/// T1d: the same filter is stored once, and of many large ones those that were stored last stay.
async fn the_oldest_filters_go_when_they_are_large(server: &Server) {
    let alice = User::register(server, "alice").await;
    let filter = |number: usize| {
        let type_of = |index: usize| format!("{number}.{index}.{}", "x".repeat(240));
        let types: Vec<_> = (0..120).map(type_of).collect();
        json!({ "room": { "timeline": { "types": types } } })
    };
    let mut stored = Vec::new();
    for number in 0..60 {
        stored.push(store(&alice, &filter(number)).await);
        assert_eq!(store(&alice, &filter(number)).await, stored[number]);
    }
    let get = |id: &str| alice.get(path(["user", &alice.id, "filter", id]));
    get(&stored[0]).refused(404, "M_NOT_FOUND").await;
    get(&stored[19]).refused(404, "M_NOT_FOUND").await;
    for id in &stored[30..] {
        get(id).ok().await;
    }
    alice.sync().query("filter", &stored[59]).get().await;
}

/// S-C2
async fn a_filter_belongs_to_its_user(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let id = store(&alice, &json!({ "room": { "timeline": { "limit": 1 } } })).await;
    bob.get(path(["user", &alice.id, "filter", &id])).refused(403, "M_FORBIDDEN").await;
    let foreign = bob.post(path(["user", &alice.id, "filter"]));
    foreign.refused(403, "M_FORBIDDEN").await;
}

async fn an_invalid_filter_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    for wrong in [
        json!({ "room": [] }),
        json!({ "room": { "timeline": { "types": "m.room.message" } } }),
        json!({ "room": { "timeline": { "senders": [1] } } }),
        json!({ "room": { "state": { "lazy_load_members": "yes" } } }),
        json!({ "event_fields": {} }),
    ] {
        let reply = alice.post(path(["user", &alice.id, "filter"])).json(&wrong).send().await;
        assert_eq!(reply.status, 400, "{wrong}: {reply}");
        reply.client_error();
        let inline = alice.sync().filter(&wrong).request().send().await;
        assert_eq!(inline.status, 400, "{wrong}: {inline}");
        inline.client_error();
    }
}

async fn an_unknown_event_format_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    for format in ["nonsense", "", "Client"] {
        let filter = json!({ "event_format": format });
        let request = alice.post(path(["user", &alice.id, "filter"])).json(&filter);
        request.refused(400, "M_BAD_JSON").await;
        alice.sync().filter(&filter).request().refused(400, "M_BAD_JSON").await;
    }
    for format in ["client", "federation"] {
        let filter = json!({ "event_format": format });
        let id = store(&alice, &filter).await;
        alice.sync().query("filter", id).get().await;
        alice.sync().filter(&filter).get().await;
    }
}

/// T1b: what a filter may cost is bounded, wherever one is given.
async fn a_filter_that_costs_too_much_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    let store = |filter: &Value| alice.post(path(["user", &alice.id, "filter"])).json(filter);
    for wrong in [
        json!({ "types": ["*a".repeat(100)] }),
        json!({ "not_types": vec!["*a*"; 40] }),
        json!({ "types": ["a".repeat(256)] }),
        json!({ "not_senders": vec!["@a:b"; 1001] }),
        json!({ "rooms": vec!["!a:b"; 1001] }),
    ] {
        for part in ["timeline", "state", "ephemeral", "account_data"] {
            let filter = json!({ "room": { part: wrong } });
            store(&filter).refused(400, "M_BAD_JSON").await;
        }
        let filter = json!({ "room": { "timeline": wrong } });
        alice.sync().filter(&filter).request().refused(400, "M_BAD_JSON").await;
        for request in
            [alice.messages(&room, "b"), alice.get(path(["rooms", &room, "context", &event]))]
        {
            request.query("filter", &wrong).refused(400, "M_BAD_JSON").await;
        }
    }
    let global = json!({ "account_data": { "types": ["*".repeat(65)] } });
    store(&global).refused(400, "M_BAD_JSON").await;
    store(&json!({ "event_fields": vec!["type"; 101] })).refused(400, "M_BAD_JSON").await;
    let fitting = json!({ "types": ["m.*".to_owned(), "a".repeat(255)], "not_types": vec!["*"; 64],
        "not_senders": vec!["@a:b"; 500] });
    alice.messages(&room, "b").query("filter", &fitting).ok().await;
    store(&json!({ "room": { "timeline": fitting } })).ok().await;
}

async fn rooms_are_chosen_and_left_out(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (one, two) = (alice.create_room(&json!({})).await, alice.create_room(&json!({})).await);
    alice
        .sync()
        .until("both rooms", |sync| {
            (sync.joined(&one).is_some() && sync.joined(&two).is_some()).then_some(())
        })
        .await;
    let cases = [
        (json!({ "rooms": [one] }), true, false),
        (json!({ "not_rooms": [one] }), false, true),
        (json!({ "rooms": [one, two], "not_rooms": [one] }), false, true),
        (json!({ "rooms": [] }), false, false),
    ];
    for (filter, has_one, has_two) in cases {
        let sync = alice.sync().filter(&json!({ "room": filter })).get().await;
        assert_eq!(sync.joined(&one).is_some(), has_one, "{filter}");
        assert_eq!(sync.joined(&two).is_some(), has_two, "{filter}");
    }
}

async fn timeline_types_and_senders_are_chosen(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let start = alice.say(&room, "start").await;
    let since = alice.sync().until_event(&room, &start).await.next_batch().to_owned();
    let by_alice = alice.say(&room, "from alice").await;
    let custom = bob.send(&room, "org.example.custom", &json!({})).await;
    let by_bob = bob.say(&room, "from bob").await;
    alice.sync().since(&since).until_event(&room, &by_bob).await;
    let cases = [
        (json!({ "types": ["m.room.message"] }), vec![&by_alice, &by_bob]),
        (json!({ "types": ["org.*"] }), vec![&custom]),
        (json!({ "not_types": ["m.room.message"] }), vec![&custom]),
        (json!({ "senders": [bob.id] }), vec![&custom, &by_bob]),
        (json!({ "not_senders": [bob.id] }), vec![&by_alice]),
        (json!({ "types": ["m.room.message"], "senders": [bob.id] }), vec![&by_bob]),
    ];
    for (timeline, expected) in cases {
        let filter = json!({ "room": { "timeline": timeline } });
        let sync = alice.sync().since(&since).filter(&filter).get().await;
        let section = sync.joined(&room).expect("the room");
        assert_eq!(ids(section.timeline()), expected.as_slice(), "{filter}");
        assert!(!section.limited(), "nothing that passes the filter is missing: {filter}");
    }
}

async fn state_types_are_chosen(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "name": "the room", "topic": "filters" })).await;
    let last = alice.say_many(&room, 12).await.pop().expect("a message");
    let filter = json!({ "room": { "state": { "types": ["m.room.name", "m.room.c*"] } } });
    let sync = alice.sync().filter(&filter).until_event(&room, &last).await;
    let section = sync.joined(&room).expect("the room");
    let mut types: Vec<_> = section.state().iter().map(|it| it["type"].as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, [Some("m.room.create"), Some("m.room.name")], "{}", section.0);
}

/// State that the timeline's filter hides must still reach the client, by `state`.
async fn a_filtered_timeline_still_ends_the_state(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let start = alice.say(&room, "start").await;
    let since = alice.sync().until_event(&room, &start).await.next_batch().to_owned();
    let topic = alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "hidden" })).await;
    let last = alice.say(&room, "shown").await;
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });
    let sync = alice.sync().since(&since).filter(&filter).until_event(&room, &last).await;
    let section = sync.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), [&last]);
    assert_eq!(ids(section.state()), [&topic], "{}", section.0);
}

async fn account_data_types_are_chosen(server: &Server) {
    let alice = User::register(server, "alice").await;
    for kind in ["org.example.wanted", "org.example.unwanted"] {
        alice.put(path(["user", &alice.id, "account_data", kind])).ok().await;
    }
    alice
        .sync()
        .until("both", |sync| {
            sync.account_data("org.example.wanted")
                .and(sync.account_data("org.example.unwanted"))
                .map(|_| ())
        })
        .await;
    let filter = json!({ "account_data": { "types": ["org.example.wanted"] } });
    let sync = alice.sync().filter(&filter).get().await;
    assert!(sync.account_data("org.example.wanted").is_some(), "{}", sync.json);
    assert!(sync.account_data("org.example.unwanted").is_none(), "{}", sync.json);
    let filter = json!({ "account_data": { "not_types": ["org.example.*"] } });
    let sync = alice.sync().filter(&filter).get().await;
    assert!(sync.account_data("org.example.wanted").is_none(), "{}", sync.json);
}

async fn ephemeral_types_are_chosen(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    let mut watch = alice.watch().await;
    bob.post(path(["rooms", &room, "receipt", "m.read", &event])).ok().await;
    watch.room("the receipt", &room, |it| it.ephemeral("m.receipt").cloned()).await;
    for (filter, told) in [
        (json!({ "types": ["m.receipt"] }), true),
        (json!({ "types": ["m.typing"] }), false),
        (json!({ "not_types": ["m.receipt"] }), false),
    ] {
        let filter = json!({ "room": { "ephemeral": filter } });
        let sync = alice.sync().filter(&filter).get().await;
        let found = sync.joined(&room).expect("the room").ephemeral("m.receipt");
        assert_eq!(found.is_some(), told, "{filter}");
    }
}

async fn room_account_data_types_are_chosen(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut watch = alice.watch().await;
    for kind in ["org.example.wanted", "org.example.unwanted"] {
        alice.put(path(["user", &alice.id, "rooms", &room, "account_data", kind])).ok().await;
    }
    watch.room("the second", &room, |it| it.account_data("org.example.unwanted").cloned()).await;
    let filter = json!({ "room": { "account_data": { "not_types": ["org.example.unwanted"] } } });
    let sync = alice.sync().filter(&filter).get().await;
    let section = sync.joined(&room).expect("the room");
    assert!(section.account_data("org.example.wanted").is_some(), "{}", section.0);
    assert!(section.account_data("org.example.unwanted").is_none(), "{}", section.0);
}

async fn event_fields_are_chosen(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, "hello").await;
    alice.sync().until_event(&room, &event).await;
    let filter = json!({ "event_fields": ["type", "content.body", "event_id"] });
    let sync = alice.sync().filter(&filter).get().await;
    let section = sync.joined(&room).expect("the room");
    let found = section.event(&event).expect("the message");
    let expected = json!({ "type": "m.room.message", "event_id": event,
        "content": { "body": "hello" } });
    assert_eq!(*found, expected);
}
