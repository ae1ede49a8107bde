//! How a room ends for who was invited, who knocked, and who was there: the own membership event
//! comes with `/sync`, whatever else of the room one may see.

use skerry_tests::{Server, Sync, User, Value, Watch, events, json, path};

both_hosts![
    however_an_invitation_ends_its_end_is_told,
    however_a_knock_ends_its_end_is_told,
    an_end_comes_in_the_state_when_the_timeline_is_filtered,
    a_ban_after_leaving_is_told,
    an_invitation_turned_down_after_leaving_is_told,
    a_room_that_all_may_read_ends_where_the_user_left,
    ended_invitations_come_on_request,
    a_room_forgotten_by_one_device_is_left_on_the_others,
    a_forgotten_invitation_is_left_on_the_others,
];

const VISIBILITIES: [&str; 4] = ["world_readable", "shared", "invited", "joined"];

fn with_visibility(visibility: &str) -> Value {
    let content = json!({ "history_visibility": visibility });
    json!({ "name": "a secret", "initial_state": [
        { "type": "m.room.history_visibility", "content": content },
        { "type": "m.room.join_rules", "content": { "join_rule": "knock" } },
    ] })
}

/// The ways in which somebody who has not joined gets out of a room, and what they become.
const ENDS: [(&str, &str); 3] = [("leave", "leave"), ("kick", "leave"), ("ban", "ban")];

/// Ends the user's time in a room, for a reason.
async fn end(alice: &User, bob: &User, room: &str, action: &str) {
    let by = if action == "leave" { bob } else { alice };
    let mut body = json!({ "reason": format!("reason of the {action}") });
    if action != "leave" {
        body["user_id"] = json!(bob.id);
    }
    by.post(path(["rooms", room, action])).json(&body).ok().await;
}

/// The room's part of a sync that says that it was left, with the last event of its timeline.
fn last_of(sync: &Sync, room: &str) -> Option<(Value, Value)> {
    let section = sync.room("leave", room)?;
    Some((section.0.clone(), section.timeline().last().cloned().unwrap_or_default()))
}

fn assert_ended(last: &Value, bob: &User, action: &str, membership: &str) {
    assert_eq!(last["type"], "m.room.member", "{action}: {last}");
    assert_eq!(last["state_key"], bob.id.as_str(), "{action}: {last}");
    assert_eq!(last["content"]["membership"], membership, "{action}: {last}");
    assert_eq!(last["content"]["reason"], format!("reason of the {action}"), "{last}");
}

async fn however_an_invitation_ends_its_end_is_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut watch = bob.watch().await;
    for visibility in VISIBILITIES {
        for (action, membership) in ENDS {
            let room = alice.create_room(&with_visibility(visibility)).await;
            alice.invite(&room, &bob).await;
            watch.until("the invite", |sync| sync.room("invite", &room).map(|_| ())).await;
            alice.say(&room, "a secret").await;
            end(&alice, &bob, &room, action).await;
            alice.say(&room, "a secret").await;
            let (section, last) = watch.until("the end", |sync| last_of(sync, &room)).await;
            assert_ended(&last, &bob, action, membership);
            assert!(!section.to_string().contains("a secret"), "{visibility}: {section}");
        }
    }
}

async fn however_a_knock_ends_its_end_is_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut watch = bob.watch().await;
    for (action, membership) in ENDS {
        let room = alice.create_room(&with_visibility("joined")).await;
        bob.post(path(["knock", &room])).ok().await;
        watch.until("the knock", |sync| sync.room("knock", &room).map(|_| ())).await;
        end(&alice, &bob, &room, action).await;
        let (section, last) = watch.until("the end", |sync| last_of(sync, &room)).await;
        assert_ended(&last, &bob, action, membership);
        assert!(!section.to_string().contains("a secret"), "{section}");
    }
}

async fn an_end_comes_in_the_state_when_the_timeline_is_filtered(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&with_visibility("shared")).await;
    alice.invite(&room, &bob).await;
    let since = bob.sync().until("the invite", |sync| {
        sync.room("invite", &room).map(|_| sync.next_batch().to_owned())
    });
    let since = since.await;
    end(&alice, &bob, &room, "kick").await;
    for timeline in [json!({ "types": ["m.room.message"] }), json!({ "limit": 0 }), json!({})] {
        let filter = json!({ "room": { "timeline": timeline } });
        for is_state_after in [false, true] {
            let request = bob.sync().since(&since).filter(&filter);
            let request = request.query("use_state_after", is_state_after);
            let sync =
                request.until("the end", |sync| sync.room("leave", &room).map(|_| sync.clone()));
            let sync = sync.await;
            let section = sync.room("leave", &room).expect("the room");
            let shown = section.timeline();
            let found = match is_state_after {
                true => events(&section.0["state_after"]).first(),
                false => section.state().iter().chain(shown).next(),
            };
            assert_ended(found.expect("the own membership"), &bob, "kick", "leave");
            let is_filtered = filter["room"]["timeline"] != json!({});
            assert_eq!(shown.is_empty(), is_filtered, "{}", section.0);
        }
    }
}

/// Two users and a room that Bob was in and has left; his watch has shown him that.
async fn left_room(server: &Server) -> (User, User, String, Watch) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = bob.watch().await;
    bob.leave(&room).await;
    watch.until("the room in leave", |sync| sync.room("leave", &room).map(|_| ())).await;
    alice.say(&room, "a secret").await;
    (alice, bob, room, watch)
}

async fn a_ban_after_leaving_is_told(server: &Server) {
    let (alice, bob, room, mut watch) = left_room(server).await;
    end(&alice, &bob, &room, "ban").await;
    let (section, last) = watch.until("the ban", |sync| last_of(sync, &room)).await;
    assert_ended(&last, &bob, "ban", "ban");
    assert!(!section.to_string().contains("a secret"), "{section}");
}

async fn an_invitation_turned_down_after_leaving_is_told(server: &Server) {
    let (alice, bob, room, mut watch) = left_room(server).await;
    alice.invite(&room, &bob).await;
    watch.until("the invite", |sync| sync.room("invite", &room).map(|_| ())).await;
    end(&alice, &bob, &room, "leave").await;
    let (section, last) = watch.until("the end", |sync| last_of(sync, &room)).await;
    assert_ended(&last, &bob, "leave", "leave");
    assert!(!section.to_string().contains("a secret"), "{section}");
}

/// The timeline goes up to the point at which the user left, says the specification.
async fn a_room_that_all_may_read_ends_where_the_user_left(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut options = with_visibility("world_readable");
    options["initial_state"][1]["content"]["join_rule"] = json!("public");
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let mut watch = bob.watch().await;
    end(&alice, &bob, &room, "leave").await;
    let later = alice.say(&room, "later").await;
    let (section, last) = watch.until("the end", |sync| last_of(sync, &room)).await;
    assert_ended(&last, &bob, "leave", "leave");
    assert!(!section.to_string().contains(&later), "{section}");
}

async fn ended_invitations_come_on_request(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&with_visibility("shared")).await;
    alice.invite(&room, &bob).await;
    end(&alice, &bob, &room, "leave").await;
    let include = json!({ "room": { "include_leave": true } });
    let request = bob.sync().filter(&include);
    let (section, last) = request.until("the room", |sync| last_of(sync, &room)).await;
    assert_ended(&last, &bob, "leave", "leave");
    assert!(!section.to_string().contains("a secret"), "{section}");
    let plain = bob.sync().get().await;
    assert!(plain.room("leave", &room).is_none(), "{}", plain.json);
}

async fn a_room_forgotten_by_one_device_is_left_on_the_others(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &bob.id).await;
    let room = alice.public_room(&[&bob]).await;
    bob.post(path(["rooms", &room, "forget"])).refused(400, "M_UNKNOWN").await;
    alice.say(&room, "a secret").await;
    let since = phone
        .sync()
        .until("the room", |sync| sync.joined(&room).map(|_| sync.next_batch().to_owned()));
    let since = since.await;
    end(&alice, &bob, &room, "leave").await;
    for _ in 0..2 {
        bob.post(path(["rooms", &room, "forget"])).ok().await;
    }
    for full_state in [false, true] {
        let request = phone.sync().since(&since).query("full_state", full_state);
        let (section, last) = request.until("the end", |sync| last_of(sync, &room)).await;
        assert_ended(&last, &bob, "leave", "leave");
        // What was forgotten is closed.
        assert!(!section.to_string().contains("a secret"), "{section}");
    }
    let mut watch = Watch::from(&phone, &since);
    watch.until("the end", |sync| last_of(sync, &room)).await;
    let include = json!({ "room": { "include_leave": true } });
    for request in [phone.sync().since(&watch.since), phone.sync(), bob.sync()] {
        let sync = request.filter(&include).query("full_state", true).get().await;
        assert!(sync.room("leave", &room).is_none(), "{}", sync.json);
        assert!(sync.joined(&room).is_none(), "{}", sync.json);
    }
}

async fn a_forgotten_invitation_is_left_on_the_others(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&with_visibility("shared")).await;
    alice.invite(&room, &bob).await;
    let mut watch = bob.watch().await;
    bob.post(path(["rooms", &room, "forget"])).refused(400, "M_UNKNOWN").await;
    end(&alice, &bob, &room, "leave").await;
    bob.post(path(["rooms", &room, "forget"])).ok().await;
    let (_, last) = watch.until("the end", |sync| last_of(sync, &room)).await;
    assert_ended(&last, &bob, "leave", "leave");
}
