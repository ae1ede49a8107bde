//! What lies in history that the user may not see is told by no other way either.

use skerry_tests::{Server, User, Value, json, path, unique};

both_hosts![
    members_at_a_hidden_point_are_not_told,
    a_hidden_name_is_told_by_no_later_event,
    what_was_state_while_history_was_closed_stays_hidden,
    what_a_member_saw_replaced_is_told,
    a_former_member_is_not_told_of_a_later_redaction,
    an_event_that_is_hidden_takes_no_receipt,
];

const SECRET: &str = "a name for friends";

/// A room whose history is for those who were there: ellen came, took a name, and left.
async fn room_of_ellen(server: &Server, alice: &User) -> String {
    let ellen = User::register(server, "ellen").await;
    let content = json!({ "history_visibility": "joined" });
    let closed = json!({ "type": "m.room.history_visibility", "content": content });
    let options = json!({ "preset": "public_chat", "initial_state": [closed] });
    let room = alice.create_room(&options).await;
    ellen.join(&room).await;
    let named = json!({ "membership": "join", "displayname": SECRET });
    ellen.set_state(&room, "m.room.member", &ellen.id, &named).await;
    ellen.leave(&room).await;
    room
}

async fn members_at_a_hidden_point_are_not_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = room_of_ellen(server, &alice).await;
    bob.join(&room).await;
    let members = |user: &User, at: u64| {
        user.get(path(["rooms", &room, "members"])).query("at", format!("t{at}"))
    };
    let mut refused = Vec::new();
    for at in 1..=20 {
        let reply = members(&bob, at).send().await;
        assert!(!reply.text.contains(SECRET), "{reply}");
        if reply.status != 200 {
            reply.refused(403, "M_FORBIDDEN");
            refused.push(at);
        }
    }
    assert!(refused.len() >= 3, "all the time that ellen was there: {refused:?}");
    assert!(refused.windows(2).all(|it| it[0] + 1 == it[1]), "nothing in between: {refused:?}");
    // At that time she was there, for whoever was there too.
    let mut is_told = false;
    for at in refused {
        is_told |= members(&alice, at).ok().await.to_string().contains(SECRET);
    }
    assert!(is_told, "alice knew her");
    let sync = bob.sync().until("the room", |sync| sync.joined(&room).map(|it| it.0.clone()));
    let start = sync.await["timeline"]["prev_batch"].clone();
    let start = start.as_str().expect("a token").to_owned();
    let reply = bob.get(path(["rooms", &room, "members"])).query("at", start).send().await;
    assert!(!reply.text.contains(SECRET), "{reply}");
}

async fn a_hidden_name_is_told_by_no_later_event(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = room_of_ellen(server, &alice).await;
    bob.join(&room).await;
    let include = json!({ "room": { "include_leave": true } });
    for request in [
        bob.get(path(["rooms", &room, "members"])),
        bob.get(path(["rooms", &room, "state"])),
        bob.messages(&room, "b").query("limit", 100),
        bob.sync().filter(&include).request(),
    ] {
        let reply = request.send().await;
        assert!(reply.text.contains("m.room.member"), "{reply}");
        assert!(!reply.text.contains(SECRET), "{reply}");
    }
    bob.leave(&room).await;
    let sync = bob
        .sync()
        .filter(&include)
        .until("the left room", |sync| sync.room("leave", &room).map(|it| it.0.to_string()));
    let left = sync.await;
    assert!(!left.contains(SECRET), "{left}");
}

/// The state event of that type, as the user gets it with the whole state.
async fn state_event(user: &User, room: &str, kind: &str) -> Value {
    let mut state = user.all_state(room).await.into_iter();
    state.find(|it| it["type"] == kind).expect("the event")
}

async fn what_was_state_while_history_was_closed_stays_hidden(server: &Server) {
    let alice = User::register(server, "alice").await;
    let stranger = User::register(server, "stranger").await;
    let room = alice.create_room(&json!({ "preset": "private_chat", "name": SECRET })).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "closed" })).await;
    let open = json!({ "history_visibility": "world_readable" });
    alice.set_state(&room, "m.room.history_visibility", "", &open).await;
    let name = state_event(&stranger, &room, "m.room.name").await;
    assert_eq!(name["content"]["name"], "closed", "what holds now may be known");
    assert!(!name.to_string().contains(SECRET), "{name}");
    assert!(state_event(&alice, &room, "m.room.name").await.to_string().contains(SECRET));
    // What is replaced from here on has been there for all to see.
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "open" })).await;
    let name = state_event(&stranger, &room, "m.room.name").await;
    assert_eq!(name["unsigned"]["prev_content"]["name"], "closed", "{name}");
}

async fn what_a_member_saw_replaced_is_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let content = json!({ "history_visibility": "joined" });
    let closed = json!({ "type": "m.room.history_visibility", "content": content });
    let options = json!({ "name": "before", "initial_state": [closed], "invite": [bob.id] });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "after" })).await;
    let name = state_event(&bob, &room, "m.room.name").await;
    assert_eq!(name["unsigned"]["prev_content"]["name"], "before", "{name}");
    let state = bob.all_state(&room).await;
    let own = state.iter().find(|it| it["state_key"] == bob.id.as_str()).expect("the own join");
    assert_eq!(own["unsigned"]["prev_content"]["membership"], "invite", "{own}");
}

async fn a_former_member_is_not_told_of_a_later_redaction(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "regretted").await;
    bob.leave(&room).await;
    let redact = alice.put(path(["rooms", &room, "redact", &event, &unique("txn")]));
    redact.json(&json!({ "reason": SECRET })).ok().await;
    let include = json!({ "room": { "include_leave": true } });
    for request in [
        bob.event(&room, &event),
        bob.messages(&room, "b").query("limit", 100),
        bob.get(path(["rooms", &room, "context", &event])),
        bob.sync().filter(&include).request(),
    ] {
        let reply = request.send().await;
        assert!(reply.text.contains(&event), "{reply}");
        assert!(!reply.text.contains(SECRET), "{reply}");
    }
    let told = alice.event(&room, &event).ok().await;
    let because = &told["unsigned"]["redacted_because"]["content"];
    assert_eq!(because["reason"], SECRET, "{told}");
}

async fn an_event_that_is_hidden_takes_no_receipt(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = room_of_ellen(server, &alice).await;
    let hidden = alice.say(&room, "hidden").await;
    bob.join(&room).await;
    let shown = alice.say(&room, "shown").await;
    for kind in ["m.read", "m.read.private"] {
        let receipt = |event: &str| bob.post(path(["rooms", &room, "receipt", kind, event]));
        receipt(&hidden).refused(404, "M_NOT_FOUND").await;
        receipt(&shown).ok().await;
    }
    let markers = json!({ "m.fully_read": shown, "m.read": hidden });
    let markers = bob.post(path(["rooms", &room, "read_markers"])).json(&markers);
    markers.refused(404, "M_NOT_FOUND").await;
}
