//! Profiles, and how a change reaches the rooms.

use skerry_tests::{Client, Server, User, json, path};

both_hosts![
    a_profile_is_set_read_and_cleared,
    an_avatar_url_is_any_text,
    a_profile_is_read_without_a_token,
    an_unknown_user_has_no_profile,
    a_profile_belongs_to_its_user,
    a_change_reaches_every_joined_room,
    a_change_does_not_touch_rooms_that_were_left,
    a_profile_field_has_a_size,
];

async fn set(user: &User, field: &str, value: &str) {
    let request = user.put(path(["profile", &user.id, field]));
    request.json(&json!({ field: value })).ok().await;
}

async fn a_profile_is_set_read_and_cleared(server: &Server) {
    let alice = User::register(server, "alice").await;
    set(&alice, "displayname", "Alice 🌊").await;
    set(&alice, "avatar_url", "mxc://localhost/alice").await;
    let profile = alice.get(path(["profile", &alice.id])).ok().await;
    assert_eq!(profile["displayname"], "Alice 🌊");
    assert_eq!(profile["avatar_url"], "mxc://localhost/alice");
    let name = alice.get(path(["profile", &alice.id, "displayname"])).ok().await;
    assert_eq!(name, json!({ "displayname": "Alice 🌊" }), "one field is that field only");
    alice.delete(path(["profile", &alice.id, "avatar_url"])).ok().await;
    let profile = alice.get(path(["profile", &alice.id])).ok().await;
    assert!(profile.get("avatar_url").is_none(), "{profile}");
    let avatar = alice.get(path(["profile", &alice.id, "avatar_url"]));
    avatar.refused(404, "M_NOT_FOUND").await;
}

/// It should be an `mxc` URI; other servers take what clients send, and clients count on that.
async fn an_avatar_url_is_any_text(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let url = "http://localhost/my/avatar.png";
    set(&alice, "avatar_url", url).await;
    let profile = alice.get(path(["profile", &alice.id])).ok().await;
    assert_eq!(profile["avatar_url"], url);
    let members = path(["rooms", &room, "joined_members"]);
    let mut shown = alice.get(&members).ok().await;
    while shown["joined"][&alice.id]["avatar_url"] != url {
        shown = alice.get(&members).ok().await;
    }
    let other = alice.put(path(["profile", &alice.id, "avatar_url"]));
    other.json(&json!({ "avatar_url": 5 })).send().await.client_error();
}

async fn a_profile_is_read_without_a_token(server: &Server) {
    let alice = User::register(server, "alice").await;
    set(&alice, "displayname", "Alice").await;
    let profile = Client::new(server.url()).get(path(["profile", &alice.id])).ok().await;
    assert_eq!(profile["displayname"], "Alice");
}

async fn an_unknown_user_has_no_profile(server: &Server) {
    let alice = User::register(server, "alice").await;
    let profile = alice.get(path(["profile", "@nobody-at-all:localhost"])).send().await;
    profile.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
    let name = alice.get(path(["profile", "@nobody-at-all:localhost", "displayname"]));
    let name = name.send().await;
    name.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
}

/// T7
async fn a_profile_belongs_to_its_user(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    set(&alice, "displayname", "Alice").await;
    let forged = bob.put(path(["profile", &alice.id, "displayname"]));
    forged.json(&json!({ "displayname": "Bob was here" })).refused(403, "M_FORBIDDEN").await;
    bob.delete(path(["profile", &alice.id, "displayname"])).refused(403, "M_FORBIDDEN").await;
    let profile = bob.get(path(["profile", &alice.id])).ok().await;
    assert_eq!(profile["displayname"], "Alice");
}

async fn a_change_reaches_every_joined_room(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let rooms = [alice.public_room(&[&bob]).await, bob.public_room(&[&alice]).await];
    let mut watch = bob.watch().await;
    set(&alice, "displayname", "Alice").await;
    let mut changed = Vec::new();
    while changed.len() < rooms.len() {
        let found = watch.until("alice's new name", |sync| {
            let found: Vec<_> = rooms
                .iter()
                .filter(|room| {
                    let Some(section) = sync.joined(room) else { return false };
                    section.timeline().iter().any(|event| {
                        event["state_key"] == alice.id.as_str()
                            && event["content"]["displayname"] == "Alice"
                            && event["content"]["membership"] == "join"
                    })
                })
                .cloned()
                .collect();
            (!found.is_empty()).then_some(found)
        });
        changed.extend(found.await);
    }
    for room in &rooms {
        let member = bob.state(room, "m.room.member", &alice.id).ok().await;
        assert_eq!(member["displayname"], "Alice", "{member}");
    }
}

async fn a_change_does_not_touch_rooms_that_were_left(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let left = bob.public_room(&[&alice]).await;
    let joined = bob.public_room(&[&alice]).await;
    alice.leave(&left).await;
    let mut watch = bob.watch().await;
    set(&alice, "displayname", "Alice").await;
    watch
        .room("alice's new name", &joined, |room| {
            let mut events = room.timeline().iter();
            events.find(|it| it["content"]["displayname"] == "Alice").cloned()
        })
        .await;
    assert_eq!(bob.membership_of(&left, &alice).await, "leave");
    let member = bob.state(&left, "m.room.member", &alice.id).ok().await;
    assert_ne!(member["displayname"], "Alice", "{member}");
}

/// T1d
async fn a_profile_field_has_a_size(server: &Server) {
    let alice = User::register(server, "alice").await;
    let request = alice.put(path(["profile", &alice.id, "displayname"]));
    let large = json!({ "displayname": "x".repeat(70_000) });
    let reply = request.json(&large).send().await;
    reply.client_error();
    let profile = alice.get(path(["profile", &alice.id])).ok().await;
    assert!(profile.to_string().len() < 65_536);
}
