//! Sliding sync: which rooms are given, and what of them.

use skerry_tests::{
    Request, Server, User, Value, ids, json, path,
    sliding::{Sliding, list, required, timeline},
};

both_hosts![
    it_is_announced,
    a_list_shows_the_rooms_of_its_ranges,
    ranges_grow_and_what_was_given_is_not_given_again,
    rooms_are_in_the_order_of_their_activity,
    a_room_that_nobody_reads_rises_when_something_is_said,
    filters_choose_rooms,
    spaces_choose_rooms,
    many_rooms_come_by_several_answers,
    a_room_begins_with_what_was_asked,
    state_is_what_was_asked_for,
    members_come_with_the_timelines_that_name_them,
    what_is_new_comes_alone,
    a_gap_is_said,
    more_events_are_given_when_more_are_wanted,
    more_state_is_given_when_more_is_wanted,
    a_subscription_shows_a_room_that_no_list_does,
    what_is_not_the_users_is_not_shown,
    an_invitation_is_shown_and_taken_up,
    an_invitation_is_turned_down,
    a_knock_is_shown,
    who_leaves_is_told_once,
    who_is_removed_is_told,
    t11_who_is_ignored_is_not_shown,
    names_and_heroes_name_rooms,
    a_position_reads_history,
];

fn all() -> Value {
    list(&json!([[0, 99]]), 10, &json!([["*", "*"]]))
}

/// A connection that has been given everything.
async fn settled(user: &User, body: Value) -> Sliding {
    let mut client = user.sliding(body);
    client.settle().await;
    client
}

async fn it_is_announced(server: &Server) {
    let alice = User::register(server, "alice").await;
    let versions = alice.get("/_matrix/client/versions").ok().await;
    assert_eq!(versions["unstable_features"]["org.matrix.simplified_msc3575"], true);
}

async fn a_list_shows_the_rooms_of_its_ranges(server: &Server) {
    let alice = User::register(server, "alice").await;
    let none = alice.sliding(all()).next(0).await;
    assert_eq!((none.count("all"), none.rooms().len()), (0, 0));
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(alice.create_room(&json!({})).await);
    }
    for (ranges, places) in [
        (json!([[0, 1]]), vec![4, 3]),
        (json!([[2, 2]]), vec![2]),
        (json!([[0, 0], [4, 90]]), vec![4, 0]),
        (json!([[5, 9]]), vec![]),
    ] {
        let slid = alice.sliding(list(&ranges, 1, &json!([]))).next(0).await;
        let mut expected: Vec<_> = places.iter().map(|it| rooms[*it].as_str()).collect();
        expected.sort_unstable();
        assert_eq!((slid.count("all"), slid.rooms()), (5, expected), "{ranges}");
    }
}

async fn ranges_grow_and_what_was_given_is_not_given_again(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(alice.create_room(&json!({})).await);
    }
    let mut client = alice.sliding(list(&json!([[0, 1]]), 1, &json!([])));
    assert_eq!(client.next(0).await.rooms().len(), 2);
    client.body = list(&json!([[0, 3]]), 1, &json!([]));
    let second = client.next(0).await;
    let mut expected = vec![rooms[2].as_str(), rooms[3].as_str()];
    expected.sort_unstable();
    assert_eq!(second.rooms(), expected);
    assert!(expected.iter().all(|it| second.room(it).expect("it")["initial"] == true));
    client.body = list(&json!([[0, 99]]), 1, &json!([]));
    assert_eq!(client.next(0).await.rooms().len(), 2);
    assert!(client.next(0).await.is_empty());
    client.body = list(&json!([[0, 0]]), 1, &json!([]));
    assert!(client.next(0).await.is_empty(), "it shrinks");
    let said = alice.say(&rooms[0], "the oldest room").await;
    let room = client.until_event(&rooms[0], &said).await;
    assert_eq!(room.get("initial"), None, "it was given before: {room}");
}

async fn rooms_are_in_the_order_of_their_activity(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(alice.public_room(&[&bob]).await);
    }
    let mut client = settled(&alice, all()).await;
    // All are read, and then some of them are not.
    for place in [1, 3, 0] {
        let said = bob.say(&rooms[place], "hello").await;
        client.until_event(&rooms[place], &said).await;
    }
    for _ in 0..3 {
        bob.say(&rooms[2], "unread").await;
    }
    bob.say(&rooms[1], "unread and newest").await;
    alice
        .sync()
        .until("the message", |it| {
            it.joined(&rooms[1])?
                .timeline()
                .last()
                .filter(|it| it["content"]["body"] == "unread and newest")
                .map(|_| ())
        })
        .await;
    let mut found = Vec::new();
    for place in 0..4 {
        let slid = alice.sliding(list(&json!([[place, place]]), 1, &json!([]))).next(0).await;
        found.extend(slid.rooms().into_iter().map(str::to_owned));
    }
    assert_eq!(found, [1, 2, 0, 3].map(|it: usize| rooms[it].clone()));
}

/// The order of rooms that no client has ever read is known too: some are asked.
async fn a_room_that_nobody_reads_rises_when_something_is_said(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(bob.public_room(&[&alice]).await);
    }
    let said = bob.say(&rooms[1], "never read").await;
    let mut client = alice.sliding(list(&json!([[0, 0]]), 1, &json!([])));
    let first = client.next(0).await;
    assert_eq!(first.rooms(), [rooms[1].as_str()]);
    assert_eq!(ids(timeline(first.room(&rooms[1]).expect("it"))), [said.as_str()]);
    // Another one, which the client has never been given, wakes it.
    let poll = async { client.until("the room", |it| it.room(&rooms[0]).cloned()).await };
    let say = async {
        alice.get("/account/whoami").ok().await;
        bob.say(&rooms[0], "hello").await
    };
    let (room, said) = tokio::join!(poll, say);
    assert_eq!((room["initial"].clone(), room["num_live"].clone()), (json!(true), json!(1)));
    assert_eq!(ids(timeline(&room)), [said.as_str()]);
}

async fn filters_choose_rooms(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let plain = alice.create_room(&json!({})).await;
    let dm = alice.create_room(&json!({ "is_direct": true })).await;
    let space = alice.create_room(&json!({ "creation_content": { "type": "m.space" } })).await;
    let secret = alice.create_room(&json!({})).await;
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    alice.set_state(&secret, "m.room.encryption", "", &encryption).await;
    let invited = bob.create_room(&json!({ "invite": [alice.id] })).await;
    let data = path(["user", &alice.id, "account_data", "m.direct"]);
    alice.put(data).json(&json!({ (&*bob.id): [dm] })).ok().await;
    let tag = path(["user", &alice.id, "rooms", &secret, "tags", "m.favourite"]);
    alice.put(tag).ok().await;
    for (filters, expected) in [
        (json!({}), vec![&plain, &dm, &space, &secret, &invited]),
        (json!({ "is_dm": true }), vec![&dm]),
        (json!({ "is_dm": false, "is_invite": false }), vec![&plain, &space, &secret]),
        (json!({ "is_encrypted": true }), vec![&secret]),
        (json!({ "is_invite": true }), vec![&invited]),
        (json!({ "room_types": ["m.space"] }), vec![&space]),
        (json!({ "not_room_types": ["m.space"], "is_invite": false }), vec![&plain, &dm, &secret]),
        (json!({ "tags": ["m.favourite"] }), vec![&secret]),
        (json!({ "not_tags": ["m.favourite"], "is_invite": false }), vec![&plain, &dm, &space]),
    ] {
        let mut body = all();
        body["lists"]["all"]["filters"] = filters.clone();
        let mut client = alice.sliding(body);
        let mut expected: Vec<_> = expected.into_iter().map(String::as_str).collect();
        expected.sort_unstable();
        // The room tells of its encryption after the answer.
        let slid = client.next(0).await;
        let found: Vec<_> = slid.rooms();
        assert_eq!(
            (found, slid.count("all")),
            (expected.clone(), expected.len() as u64),
            "{filters}"
        );
    }
}

async fn spaces_choose_rooms(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let space = alice.create_room(&json!({ "creation_content": { "type": "m.space" } })).await;
    let (child, other) = (alice.create_room(&json!({})).await, alice.create_room(&json!({})).await);
    let via = json!({ "via": ["localhost"] });
    alice.set_state(&space, "m.space.child", &child, &via).await;
    alice.set_state(&space, "m.space.child", &other, &json!({})).await;
    let foreign = bob.public_room(&[]).await;
    bob.set_state(&foreign, "m.space.child", &other, &via).await;
    for (spaces, expected) in [
        (json!([space]), vec![&*child]),
        (json!([foreign]), vec![]),
        (json!(["!unknown:localhost"]), vec![]),
    ] {
        let mut body = all();
        body["lists"]["all"]["filters"] = json!({ "spaces": spaces });
        assert_eq!(alice.sliding(body).next(0).await.rooms(), expected, "{spaces}");
    }
}

async fn many_rooms_come_by_several_answers(server: &Server) {
    let alice = User::register(server, "alice").await;
    for _ in 0..30 {
        alice.create_room(&json!({})).await;
    }
    let mut client = alice.sliding(list(&json!([[0, 99]]), 1, &json!([])));
    let first = client.next(0).await;
    assert_eq!((first.count("all"), first.rooms().len()), (30, 24));
    assert_eq!(client.next(20_000).await.rooms().len(), 6, "at once, however long it may wait");
    assert!(client.next(0).await.is_empty());
}

async fn a_room_begins_with_what_was_asked(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let options = json!({ "preset": "public_chat", "name": "Hall", "is_direct": false });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let said = bob.say_many(&room, 3).await;
    let alice_sees = alice.sync().until_event(&room, &said[2]).await;
    let body = list(&json!([[0, 9]]), 2, &json!([["m.room.name", ""]]));
    let slid = alice.sliding(body).next(0).await;
    let found = slid.room(&room).expect("the room");
    assert_eq!(found["initial"], true);
    assert_eq!(found["name"], "Hall");
    assert_eq!(found.get("avatar"), None);
    assert_eq!((&found["joined_count"], &found["invited_count"]), (&json!(2), &json!(0)));
    assert_eq!(ids(timeline(found)), [said[1].as_str(), said[2].as_str()]);
    assert_eq!((&found["limited"], &found["num_live"]), (&json!(true), &json!(0)));
    assert_eq!((&found["membership"], &found["lists"]), (&json!("join"), &json!(["all"])));
    assert!(found["bump_stamp"].as_u64().expect("a stamp") > 0);
    let counts = &alice_sees.joined(&room).expect("it").0["unread_notifications"];
    assert_eq!(found["notification_count"], counts["notification_count"]);
    let before =
        alice.messages(&room, "b").query("from", found["prev_batch"].as_str().expect("a text"));
    let page = before.query("limit", 1).ok().await;
    assert_eq!(page["chunk"][0]["event_id"], said[0].as_str());
}

async fn state_is_what_was_asked_for(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "name": "Hall", "topic": "talk" })).await;
    for key in ["a", "b"] {
        alice.set_state(&room, "org.example.thing", key, &json!({ "is": key })).await;
    }
    let me = [alice.id.as_str()];
    let everything = alice.all_state(&room).await.len();
    for (wanted, expected) in [
        (json!([]), vec![]),
        (json!([["m.room.name", ""]]), vec![("m.room.name", "")]),
        (
            json!([["org.example.thing", "*"]]),
            vec![("org.example.thing", "a"), ("org.example.thing", "b")],
        ),
        (json!([["org.example.thing", "b"]]), vec![("org.example.thing", "b")]),
        (json!([["m.room.member", "$ME"]]), vec![("m.room.member", me[0])]),
        (json!([["m.room.nothing", "*"], ["m.room.nothing", ""]]), vec![]),
    ] {
        let slid = alice.sliding(list(&json!([[0, 9]]), 0, &wanted)).next(0).await;
        let found = slid.room(&room).expect("the room");
        let state = found["required_state"].as_array().cloned().unwrap_or_default();
        let mut keys: Vec<_> = state
            .iter()
            .map(|it| {
                (it["type"].as_str().expect("a text"), it["state_key"].as_str().expect("a text"))
            })
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, expected, "{wanted}");
        assert!(timeline(found).is_empty());
    }
    let slid = alice.sliding(list(&json!([[0, 9]]), 0, &json!([["*", "*"]]))).next(0).await;
    let state = &slid.room(&room).expect("the room")["required_state"];
    assert_eq!(state.as_array().map(Vec::len), Some(everything));
}

async fn members_come_with_the_timelines_that_name_them(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob, &carol]).await;
    let said = bob.say(&room, "hello").await;
    let lazily = json!([["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]]);
    let mut client = alice.sliding(list(&json!([[0, 9]]), 1, &lazily));
    let found = client.until_event(&room, &said).await;
    let has = |room: &Value, user: &User| required(room, "m.room.member", &user.id).is_some();
    assert!(has(&found, &alice) && has(&found, &bob) && !has(&found, &carol), "{found}");
    assert!(required(&found, "m.room.power_levels", "").is_some());
    let said = carol.say(&room, "here too").await;
    let found = client.until_event(&room, &said).await;
    assert!(has(&found, &carol), "{found}");
    // A member who says nothing: what changed of them is told as long as nothing was left out.
    let dan = User::register(server, "dan").await;
    dan.join(&room).await;
    client.until("dan", |it| Some(has(it.room(&room)?, &dan)).filter(|it| *it)).await;
}

async fn what_is_new_comes_alone(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let other = alice.create_room(&json!({})).await;
    let body = list(&json!([[0, 9]]), 10, &json!([["m.room.topic", ""]]));
    let mut client = settled(&alice, body).await;
    let said = bob.say(&room, "hello").await;
    let found = client.until_event(&room, &said).await;
    assert_eq!(ids(timeline(&found)), [said.as_str()]);
    for absent in ["initial", "name", "limited", "joined_count", "required_state", "is_dm"] {
        assert_eq!(found.get(absent), None, "{absent}: {found}");
    }
    assert_eq!(found["num_live"], 1);
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "new" })).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "Named" })).await;
    let named = client.until("the name", |it| {
        let room = it.room(&room)?;
        room.get("name").map(|_| room.clone())
    });
    let found = named.await;
    assert_eq!(found["name"], "Named");
    alice.set_state(&room, "m.room.name", "", &json!({})).await;
    let gone = client.until("no name", |it| it.room(&room)?.get("name").cloned()).await;
    assert_eq!(gone, Value::Null);
    assert!(client.next(0).await.room(&other).is_none());
}

async fn a_gap_is_said(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut client = settled(&alice, list(&json!([[0, 9]]), 2, &json!([]))).await;
    let said = bob.say_many(&room, 5).await;
    alice.sync().until_event(&room, &said[4]).await;
    let found = client.until_event(&room, &said[4]).await;
    assert_eq!(ids(timeline(&found)), [said[3].as_str(), said[4].as_str()]);
    assert_eq!((&found["limited"], &found["num_live"]), (&json!(true), &json!(2)));
    let before =
        alice.messages(&room, "b").query("from", found["prev_batch"].as_str().expect("a text"));
    let page = before.query("limit", 2).ok().await;
    assert_eq!(page["chunk"][0]["event_id"], said[2].as_str());
}

async fn more_events_are_given_when_more_are_wanted(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let said = alice.say_many(&room, 6).await;
    let mut client = alice.sliding(list(&json!([[0, 9]]), 1, &json!([])));
    client.until_event(&room, &said[5]).await;
    client.body = list(&json!([[0, 9]]), 4, &json!([]));
    let slid = client.next(20_000).await;
    let found = slid.room(&room).expect("the room");
    let expected: Vec<_> = said[2..].iter().map(String::as_str).collect();
    assert_eq!(ids(timeline(found)), expected, "at once, however long it may wait");
    assert_eq!(found["unstable_expanded_timeline"], true);
    assert_eq!(found["expanded_timeline"], true);
    assert_eq!(found["num_live"], 0);
    assert_eq!(found.get("initial"), None);
    assert!(client.next(0).await.is_empty());
    client.body = list(&json!([[0, 9]]), 1, &json!([]));
    assert!(client.next(0).await.is_empty(), "fewer");
    client.body = list(&json!([[0, 9]]), 4, &json!([]));
    assert!(client.next(0).await.is_empty(), "it has them");
}

async fn more_state_is_given_when_more_is_wanted(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "name": "Hall", "topic": "talk" })).await;
    let mut client = alice.sliding(list(&json!([[0, 9]]), 1, &json!([["m.room.name", ""]])));
    client.settle().await;
    client.body = list(&json!([[0, 9]]), 1, &json!([["m.room.name", ""], ["m.room.topic", ""]]));
    let slid = client.next(20_000).await;
    let found = slid.room(&room).expect("the room");
    assert_eq!(required(found, "m.room.topic", "").expect("a topic")["topic"], "talk");
    assert_eq!(required(found, "m.room.name", ""), None, "it has that");
    assert!(timeline(found).is_empty(), "{found}");
    assert!(client.next(0).await.is_empty());
}

async fn a_subscription_shows_a_room_that_no_list_does(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    for _ in 0..2 {
        alice.create_room(&json!({})).await;
    }
    let mut client = alice.sliding(list(&json!([[0, 0]]), 1, &json!([])));
    assert!(client.next(0).await.room(&room).is_none());
    let settings = json!({ "timeline_limit": 5, "required_state": [["m.room.create", ""]] });
    client.body["room_subscriptions"] = json!({ (&*room): settings });
    let slid = client.next(20_000).await;
    let found = slid.room(&room).expect("the room");
    assert!(required(found, "m.room.create", "").is_some() && timeline(found).len() == 5);
    assert_eq!((&found["initial"], found.get("lists")), (&json!(true), None));
    let said = bob.say(&room, "hello").await;
    client.until_event(&room, &said).await;
}

async fn what_is_not_the_users_is_not_shown(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = bob.public_room(&[]).await;
    let readable = bob
        .create_room(&json!({ "initial_state": [{
            "type": "m.room.history_visibility", "state_key": "",
            "content": { "history_visibility": "world_readable" },
        }] }))
        .await;
    let settings = json!({ "timeline_limit": 5, "required_state": [["*", "*"]] });
    let body = json!({ "room_subscriptions": {
        (&*room): settings, (&*readable): settings, "!unknown:localhost": settings,
    } });
    let mut client = alice.sliding(body);
    assert!(client.next(0).await.rooms().is_empty());
    // What was said before she came stays hidden where it is.
    let hidden = bob
        .create_room(&json!({ "preset": "public_chat", "initial_state": [{
            "type": "m.room.history_visibility", "state_key": "",
            "content": { "history_visibility": "joined" },
        }] }))
        .await;
    let secret = bob.say(&hidden, "secret").await;
    alice.join(&hidden).await;
    let said = bob.say(&hidden, "hello").await;
    let mut client = alice.sliding(all());
    let found = client.until_event(&hidden, &said).await;
    assert!(!ids(timeline(&found)).contains(&secret.as_str()));
}

async fn an_invitation_is_shown_and_taken_up(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut client = settled(&alice, all()).await;
    let room = bob.create_room(&json!({ "name": "Hall", "invite": [alice.id] })).await;
    let found = client.until("the invitation", |it| it.room(&room).cloned()).await;
    assert_eq!((&found["membership"], &found["initial"]), (&json!("invite"), &json!(true)));
    let state = found["invite_state"].as_array().expect("stripped state");
    let has =
        |kind: &str, key: &str| state.iter().any(|it| it["type"] == kind && it["state_key"] == key);
    assert!(has("m.room.member", &alice.id) && has("m.room.name", ""), "{found}");
    assert_eq!(found["stripped_state"], found["invite_state"]);
    assert_eq!((found.get("timeline"), found.get("required_state")), (None, None));
    assert!(client.next(0).await.is_empty(), "it comes once");
    alice.join(&room).await;
    let found = client.until("the room", |it| it.room(&room).cloned()).await;
    assert_eq!((&found["membership"], &found["initial"]), (&json!("join"), &json!(true)));
    assert_eq!(found.get("invite_state"), None);
    assert_eq!(found["name"], "Hall");
}

async fn an_invitation_is_turned_down(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = bob.create_room(&json!({ "invite": [alice.id] })).await;
    let mut client = alice.sliding(all());
    client.until("the invitation", |it| it.room(&room).cloned()).await;
    alice.leave(&room).await;
    let found = client.until("its end", |it| it.room(&room).cloned()).await;
    assert_eq!(found["membership"], "leave");
    let member = required(&found, "m.room.member", &alice.id).expect("her membership");
    assert_eq!(member["membership"], "leave");
    let after = client.next(0).await;
    assert!(after.is_empty() && after.count("all") == 0, "{}", after.json);
}

async fn a_knock_is_shown(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let rule = json!({
        "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" },
    });
    let room = bob.create_room(&json!({ "name": "Hall", "initial_state": [rule] })).await;
    let mut client = settled(&alice, all()).await;
    alice.post(path(["knock", &room])).ok().await;
    let found = client.until("the knock", |it| it.room(&room).cloned()).await;
    assert_eq!(found["membership"], "knock");
    assert!(found["stripped_state"].as_array().is_some_and(|it| !it.is_empty()), "{found}");
}

async fn who_leaves_is_told_once(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = bob.public_room(&[&alice]).await;
    let other = bob.public_room(&[&alice]).await;
    let subscribed = json!({ (&*room): { "timeline_limit": 5 } });
    let body = json!({ "conn_id": "narrow", "room_subscriptions": subscribed });
    let mut narrow = settled(&alice, body).await;
    let mut wide = settled(&alice, all()).await;
    alice.leave(&room).await;
    alice.leave(&other).await;
    for client in [&mut narrow, &mut wide] {
        let found = client.until("the leave", |it| it.room(&room).cloned()).await;
        assert_eq!(found["membership"], "leave");
        assert_eq!(
            required(&found, "m.room.member", &alice.id).expect("it")["membership"],
            "leave"
        );
    }
    bob.say(&room, "she is gone").await;
    wide.settle().await;
    assert_eq!(wide.next(0).await.count("all"), 0);
    let fresh = alice.sliding(all()).next(0).await;
    assert_eq!((fresh.count("all"), fresh.rooms().len()), (0, 0));
}

async fn who_is_removed_is_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = bob.public_room(&[&alice]).await;
    let mut client = settled(&alice, all()).await;
    bob.on_member(&room, "ban", &alice).ok().await;
    let secret = bob.say(&room, "she is gone").await;
    let found = client.until("the ban", |it| it.room(&room).cloned()).await;
    assert_eq!(found["membership"], "ban");
    assert!(!ids(timeline(&found)).contains(&secret.as_str()), "{found}");
    assert_eq!(required(&found, "m.room.member", &alice.id).expect("it")["membership"], "ban");
    assert!(client.next(0).await.is_empty());
    // Who has not seen it yet, sees it.
    let fresh = alice.sliding(all()).next(0).await;
    let found = fresh.room(&room).expect("the room");
    assert!(!ids(timeline(found)).contains(&secret.as_str()), "{found}");
    assert_eq!(found["membership"], "ban");
}

/// T11
async fn t11_who_is_ignored_is_not_shown(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mallory = User::register(server, "mallory").await;
    let room = alice.public_room(&[&bob, &mallory]).await;
    let data = path(["user", &alice.id, "account_data", "m.ignored_user_list"]);
    alice.put(data).json(&json!({ "ignored_users": { (&*mallory.id): {} } })).ok().await;
    let mut client = settled(&alice, all()).await;
    let hidden = mallory.say(&room, "you cannot hear me").await;
    let invited = mallory.create_room(&json!({ "invite": [alice.id] })).await;
    let said = bob.say(&room, "hello").await;
    let found = client.until_event(&room, &said).await;
    assert_eq!(found["notification_count"], 1);
    client.settle().await;
    let fresh = alice.sliding(all()).next(0).await;
    assert_eq!(fresh.count("all"), 1);
    for slid in [&fresh.json, &found] {
        assert!(!slid.to_string().contains(&hidden) && !slid.to_string().contains(&invited));
    }
    let settings = json!({ "timeline_limit": 5 });
    let mut client = alice.sliding(json!({ "room_subscriptions": { (&*invited): settings } }));
    assert!(client.next(0).await.rooms().is_empty());
}

async fn names_and_heroes_name_rooms(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let profile = path(["profile", &bob.id, "displayname"]);
    bob.put(profile).json(&json!({ "displayname": "Bobby" })).ok().await;
    let room = alice.private_room(&[&bob]).await;
    let mut client = alice.sliding(list(&json!([[0, 9]]), 1, &json!([])));
    let found = client.next(0).await.room(&room).expect("the room").clone();
    assert_eq!(found.get("name"), None);
    let heroes = found["heroes"].as_array().expect("heroes");
    assert_eq!((heroes.len(), &heroes[0]["user_id"]), (1, &json!(bob.id)));
    assert_eq!(heroes[0]["displayname"], "Bobby");
    let data = path(["user", &alice.id, "account_data", "m.direct"]);
    alice.put(data).json(&json!({ (&*bob.id): [room] })).ok().await;
    let found = client.until("that it is direct", |it| it.room(&room).cloned()).await;
    assert_eq!(found["is_dm"], true);
    let fresh = alice.sliding(all()).next(0).await;
    assert_eq!(fresh.room(&room).expect("it")["is_dm"], true);
}

async fn a_position_reads_history(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let before = alice.say(&room, "before").await;
    let mut client = alice.sliding(all());
    client.until_event(&room, &before).await;
    let pos = client.pos.clone().expect("a position");
    let after = alice.say(&room, "after").await;
    let page = |direction: &str| -> Request {
        alice.messages(&room, direction).query("from", &pos).query("limit", 1)
    };
    assert_eq!(page("b").ok().await["chunk"][0]["event_id"], before.as_str());
    assert_eq!(page("f").ok().await["chunk"][0]["event_id"], after.as_str());
}
