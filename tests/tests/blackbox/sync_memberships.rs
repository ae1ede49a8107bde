//! Rooms moving between the sections of `/sync`: invite, knock, join, leave.

use skerry_tests::{Room, Server, User, Value, events, json, path};

both_hosts![
    an_invite_comes_with_a_view_of_the_room,
    an_invite_is_in_the_initial_sync,
    a_rejected_invite_ends_in_leave,
    a_withdrawn_invite_ends_in_leave,
    an_accepted_invite_moves_to_join,
    a_new_room_comes_with_its_whole_state,
    leaving_is_told_once,
    being_kicked_or_banned_is_told_with_the_reason,
    a_left_room_is_told_only_on_request,
    a_left_room_ends_where_the_user_left,
    a_knock_is_told_with_a_view_of_the_room,
    a_forgotten_room_is_told_no_more,
    a_rejoined_room_is_whole_again,
];

fn of_type<'a>(events: &'a [Value], kind: &str) -> Option<&'a Value> {
    events.iter().find(|it| it["type"] == kind)
}

/// Checks stripped state: enough to recognize the room, and nothing beyond four keys; a create
/// event has its time too.
fn assert_stripped(state: &[Value], me: &User, membership: &str) {
    for event in state {
        let mut allowed = vec!["type", "state_key", "content", "sender"];
        if event["type"] == "m.room.create" {
            allowed.push("origin_server_ts");
        }
        let keys: Vec<_> = event.as_object().expect("an event").keys().collect();
        assert!(keys.iter().all(|key| allowed.contains(&key.as_str())), "{keys:?}");
    }
    assert!(of_type(state, "m.room.create").is_some(), "the create event is required: {state:?}");
    assert!(of_type(state, "m.room.join_rules").is_some(), "{state:?}");
    let name = of_type(state, "m.room.name").expect("the name");
    assert_eq!(name["content"]["name"], "the room");
    let member = state.iter().find(|it| it["state_key"] == me.id.as_str()).expect("the own member");
    assert_eq!(member["content"]["membership"], membership);
}

async fn an_invite_comes_with_a_view_of_the_room(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut watch = bob.watch().await;
    let room = alice.create_room(&json!({ "name": "the room", "topic": "private" })).await;
    alice.say(&room, "a secret").await;
    alice.invite(&room, &bob).await;
    let invite = watch.until("the invite", |sync| {
        sync.room("invite", &room).map(|it| it.0["invite_state"].clone())
    });
    let invite = invite.await;
    assert_stripped(events(&invite), &bob, "invite");
    let member = events(&invite).iter().find(|it| it["state_key"] == bob.id.as_str());
    assert_eq!(member.expect("the invite")["sender"], alice.id.as_str());
    assert!(!invite.to_string().contains("a secret"), "{invite}");
}

async fn an_invite_is_in_the_initial_sync(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "name": "the room", "invite": [bob.id] })).await;
    let found = bob.sync().until("the invite", |sync| {
        assert!(sync.joined(&room).is_none(), "{}", sync.json);
        sync.room("invite", &room).map(|it| it.0["invite_state"].clone())
    });
    assert_stripped(events(&found.await), &bob, "invite");
}

async fn a_rejected_invite_ends_in_leave(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut watch = bob.watch().await;
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    watch.until("the invite", |sync| sync.room("invite", &room).map(|_| ())).await;
    bob.leave(&room).await;
    watch.until("the end of it", |sync| sync.room("leave", &room).map(|_| ())).await;
    let fresh = bob.sync().get().await;
    assert!(fresh.room("invite", &room).is_none(), "{}", fresh.json);
}

async fn a_withdrawn_invite_ends_in_leave(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut watch = bob.watch().await;
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    watch.until("the invite", |sync| sync.room("invite", &room).map(|_| ())).await;
    let event = alice.say(&room, "a secret").await;
    alice.on_member(&room, "kick", &bob).ok().await;
    let left =
        watch.until("the end of it", |sync| sync.room("leave", &room).map(|it| it.0.to_string()));
    let left = left.await;
    assert!(!left.contains(&event) && !left.contains("a secret"), "{left}");
}

async fn an_accepted_invite_moves_to_join(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut watch = bob.watch().await;
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    watch.until("the invite", |sync| sync.room("invite", &room).map(|_| ())).await;
    bob.join(&room).await;
    let sync = watch.until("the room", |sync| sync.joined(&room).map(|_| sync.clone())).await;
    assert!(sync.room("invite", &room).is_none(), "{}", sync.json);
}

async fn a_new_room_comes_with_its_whole_state(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "preset": "public_chat", "name": "the room" })).await;
    alice.say_many(&room, 15).await;
    let mut watch = bob.watch().await;
    bob.join(&room).await;
    let section = watch.room("the room", &room, |it| Some(it.0.clone())).await;
    let section = Room(&section);
    assert!(section.limited(), "there is more than was told: {}", section.0);
    let all: Vec<Value> = section.state().iter().chain(section.timeline()).cloned().collect();
    for kind in ["m.room.create", "m.room.power_levels", "m.room.name", "m.room.join_rules"] {
        assert!(of_type(&all, kind).is_some(), "{kind} is missing: {}", section.0);
    }
    let member = |user: &User| all.iter().any(|it| it["state_key"] == user.id.as_str());
    assert!(member(&alice) && member(&bob), "{}", section.0);
}

async fn leaving_is_told_once(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = bob.watch().await;
    bob.leave(&room).await;
    let left = watch.until("the room in leave", |sync| {
        assert!(sync.joined(&room).is_none(), "{}", sync.json);
        sync.room("leave", &room).map(|it| it.timeline().to_vec())
    });
    let left = left.await;
    let last = left.last().expect("the own leave");
    assert_eq!(last["state_key"], bob.id.as_str());
    assert_eq!(last["content"]["membership"], "leave");
    alice.say(&room, "without bob").await;
    let own = bob.create_room(&json!({})).await;
    watch
        .until("another room", |sync| {
            assert!(sync.room("leave", &room).is_none(), "told twice: {}", sync.json);
            sync.joined(&own).map(|_| ())
        })
        .await;
}

async fn being_kicked_or_banned_is_told_with_the_reason(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for (action, membership) in [("kick", "leave"), ("ban", "ban")] {
        let room = alice.public_room(&[&bob]).await;
        let mut watch = bob.watch().await;
        let request = alice.post(path(["rooms", &room, action]));
        request.json(&json!({ "user_id": bob.id, "reason": "spam" })).ok().await;
        let last = watch.until("the room in leave", |sync| {
            sync.room("leave", &room).and_then(|it| it.timeline().last().cloned())
        });
        let last = last.await;
        assert_eq!(last["content"]["membership"], membership, "{last}");
        assert_eq!(last["content"]["reason"], "spam", "{last}");
        assert_eq!(last["sender"], alice.id.as_str(), "{last}");
    }
}

async fn a_left_room_is_told_only_on_request(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    bob.leave(&room).await;
    let include = json!({ "room": { "include_leave": true } });
    let found = bob
        .sync()
        .filter(&include)
        .until("the left room", |sync| sync.room("leave", &room).map(|_| sync.clone()));
    assert!(found.await.joined(&room).is_none());
    let plain = bob.sync().get().await;
    assert!(plain.room("leave", &room).is_none(), "{}", plain.json);
    assert!(plain.joined(&room).is_none(), "{}", plain.json);
}

/// T15-like
async fn a_left_room_ends_where_the_user_left(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "then" })).await;
    let mut watch = bob.watch().await;
    let seen = alice.say(&room, "seen").await;
    bob.leave(&room).await;
    let hidden = alice.say(&room, "hidden").await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "later" })).await;
    let left = watch
        .until("the room in leave", |sync| sync.room("leave", &room).map(|it| it.0.to_string()));
    let mut told = left.await;
    let include = json!({ "room": { "include_leave": true } });
    let fresh = bob.sync().filter(&include).get().await;
    told.push_str(&fresh.json.to_string());
    assert!(!told.contains(&hidden) && !told.contains("later"), "{told}");
    assert!(fresh.room("leave", &room).is_some_and(|it| it.event(&seen).is_some()), "{told}");
    assert!(told.contains("then"), "{told}");
}

async fn a_knock_is_told_with_a_view_of_the_room(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let room = alice.create_room(&json!({ "name": "the room", "initial_state": [rule] })).await;
    let (mut of_alice, mut of_bob) = (alice.watch().await, bob.watch().await);
    bob.post(path(["knock", &room])).ok().await;
    let knock = of_bob
        .until("the knock", |sync| sync.room("knock", &room).map(|it| it.0["knock_state"].clone()));
    assert_stripped(events(&knock.await), &bob, "knock");
    let seen = of_alice.room("bob's knock", &room, |it| {
        it.timeline().iter().find(|it| it["state_key"] == bob.id.as_str()).cloned()
    });
    assert_eq!(seen.await["content"]["membership"], "knock");
    let fresh = bob.sync().get().await;
    assert!(fresh.room("knock", &room).is_some(), "{}", fresh.json);
    alice.on_member(&room, "kick", &bob).ok().await;
    of_bob.until("the denial", |sync| sync.room("leave", &room).map(|_| ())).await;
}

async fn a_forgotten_room_is_told_no_more(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let include = json!({ "room": { "include_leave": true } });
    bob.leave(&room).await;
    bob.sync()
        .filter(&include)
        .until("the left room", |sync| sync.room("leave", &room).map(|_| ()))
        .await;
    bob.post(path(["rooms", &room, "forget"])).ok().await;
    bob.sync()
        .filter(&include)
        .until("the forgotten room gone", |sync| sync.room("leave", &room).is_none().then_some(()))
        .await;
}

async fn a_rejoined_room_is_whole_again(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "preset": "public_chat", "name": "the room" })).await;
    bob.join(&room).await;
    let mut watch = bob.watch().await;
    bob.leave(&room).await;
    watch.until("the room in leave", |sync| sync.room("leave", &room).map(|_| ())).await;
    let missed = alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "missed" })).await;
    alice.say_many(&room, 12).await;
    bob.join(&room).await;
    let since = watch.since.clone();
    let section = bob
        .sync()
        .since(&since)
        .until("the room", |sync| sync.joined(&room).map(|it| it.0.clone()))
        .await;
    let section = Room(&section);
    let all: Vec<Value> = section.state().iter().chain(section.timeline()).cloned().collect();
    let topic = of_type(&all, "m.room.topic").expect("the topic that was set meanwhile");
    assert_eq!(topic["event_id"], missed.as_str());
    assert!(of_type(&all, "m.room.create").is_some(), "a join brings the whole state: {all:?}");
}
