//! Who learns that somebody's devices have changed (T16, S-C7).

use skerry_tests::{Key, Server, Sync, User, Watch, json};

both_hosts![
    sc7_a_new_device_is_told_to_who_shares_an_encrypted_room,
    sc7_the_own_devices_learn_of_each_other,
    sc7_a_device_that_logs_out_is_a_change,
    sc7_a_new_name_of_a_device_is_a_change,
    t16_who_shares_no_encrypted_room_learns_nothing,
    sc7_who_joins_and_who_was_there_learn_of_each_other,
    sc7_a_room_that_becomes_encrypted_tells_of_its_members,
    sc7_who_leaves_is_told_unless_another_room_is_shared,
    sc7_a_new_name_of_a_user_is_no_change,
    sc7_a_change_comes_no_later_than_what_the_device_says,
    sc7_changes_are_found_between_two_tokens,
    sc7_a_change_is_told_once,
];

fn lists(sync: &Sync, kind: &str, user: &User) -> bool {
    let users = sync.json["device_lists"][kind].as_array();
    users.is_some_and(|it| it.iter().any(|it| *it == user.id.as_str()))
}

pub(crate) async fn changed(watch: &mut Watch, user: &User) {
    let what = format!("a change of {}", user.id);
    watch.until(&what, |it| lists(it, "changed", user).then_some(())).await;
}

/// Asserts that nothing is told of a user until a message after all that.
async fn not_told(watch: &mut Watch, user: &User, room: &str, event: &str) {
    watch
        .until("a message after it", |sync| {
            for kind in ["changed", "left"] {
                assert!(!lists(sync, kind, user), "{}", sync.json);
            }
            sync.joined(room)?.event(event).cloned()
        })
        .await;
}

/// Alice and Bob in an encrypted room.
async fn encrypted(server: &Server) -> (User, User, String) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.encrypt(&room).await;
    (alice, bob, room)
}

/// What comes after all that has happened so far.
async fn watch_after(user: &User, room: &str) -> Watch {
    let last = user.say(room, "so far").await;
    let sync = user.sync().until_event(room, &last).await;
    Watch::from(user, sync.next_batch())
}

async fn sc7_a_new_device_is_told_to_who_shares_an_encrypted_room(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let mut watch = watch_after(&bob, &room).await;
    alice.upload_device_keys().await;
    changed(&mut watch, &alice).await;
    let tablet = User::log_in(server, &alice.id).await;
    tablet.upload_device_keys().await;
    changed(&mut watch, &alice).await;
    let found = bob.query_keys(&[&alice.id]).await;
    assert_eq!(found["device_keys"][&alice.id].as_object().map(serde_json::Map::len), Some(2));
    let master = Key::default().cross_signing(&alice.id, "master", None);
    let keys = json!({ "master_key": master });
    alice.post("/keys/device_signing/upload").json(&keys).ok().await;
    changed(&mut watch, &alice).await;
}

async fn sc7_the_own_devices_learn_of_each_other(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut watch = alice.watch().await;
    let tablet = User::log_in(server, &alice.id).await;
    tablet.upload_device_keys().await;
    changed(&mut watch, &alice).await;
    tablet.post("/logout").json(&json!({})).ok().await;
    changed(&mut watch, &alice).await;
}

async fn sc7_a_device_that_logs_out_is_a_change(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let tablet = User::log_in(server, &alice.id).await;
    tablet.upload_device_keys().await;
    let mut watch = watch_after(&bob, &room).await;
    tablet.post("/logout").json(&json!({})).ok().await;
    changed(&mut watch, &alice).await;
}

async fn sc7_a_new_name_of_a_device_is_a_change(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    alice.upload_device_keys().await;
    let mut watch = watch_after(&bob, &room).await;
    let rename = alice.put(format!("/devices/{}", alice.device));
    rename.json(&json!({ "display_name": "new" })).ok().await;
    changed(&mut watch, &alice).await;
}

/// T16
async fn t16_who_shares_no_encrypted_room_learns_nothing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = watch_after(&bob, &room).await;
    alice.upload_device_keys().await;
    let event = alice.say(&room, "after it").await;
    not_told(&mut watch, &alice, &room, &event).await;
}

async fn sc7_who_joins_and_who_was_there_learn_of_each_other(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let carol = User::register(server, "carol").await;
    let (mut of_carol, mut of_bob) = (carol.watch().await, watch_after(&bob, &room).await);
    carol.join(&room).await;
    changed(&mut of_bob, &carol).await;
    of_carol
        .until("those who were there", |it| {
            (lists(it, "changed", &alice) && lists(it, "changed", &bob)).then_some(())
        })
        .await;
}

async fn sc7_a_room_that_becomes_encrypted_tells_of_its_members(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = watch_after(&bob, &room).await;
    alice.encrypt(&room).await;
    changed(&mut watch, &alice).await;
}

async fn sc7_who_leaves_is_told_unless_another_room_is_shared(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let other = alice.public_room(&[&bob]).await;
    alice.encrypt(&other).await;
    let mut watch = watch_after(&bob, &room).await;
    alice.leave(&other).await;
    let event = alice.say(&room, "still here").await;
    not_told(&mut watch, &alice, &room, &event).await;
    alice.leave(&room).await;
    watch.until("Alice leaving", |it| lists(it, "left", &alice).then_some(())).await;
    // Who leaves shares no room with the others either.
    let room = bob.public_room(&[&alice]).await;
    bob.encrypt(&room).await;
    changed(&mut watch, &alice).await;
    bob.leave(&room).await;
    watch.until("Bob leaving", |it| lists(it, "left", &alice).then_some(())).await;
}

async fn sc7_a_new_name_of_a_user_is_no_change(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let mut watch = watch_after(&bob, &room).await;
    let name = alice.put(format!("/profile/{}/displayname", alice.id));
    name.json(&json!({ "displayname": "Alice" })).ok().await;
    let event = alice.say(&room, "after it").await;
    not_told(&mut watch, &alice, &room, &event).await;
}

async fn sc7_a_change_comes_no_later_than_what_the_device_says(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let mut watch = watch_after(&bob, &room).await;
    for _ in 0..3 {
        let device = User::log_in(server, &alice.id).await;
        device.upload_device_keys().await;
        let event = device.say(&room, "from a new device").await;
        let mut is_told = false;
        watch
            .until("what the new device says", |sync| {
                is_told |= lists(sync, "changed", &alice);
                let said = sync.joined(&room).and_then(|it| it.event(&event));
                said.map(|_| assert!(is_told, "{}", sync.json))
            })
            .await;
    }
}

async fn sc7_changes_are_found_between_two_tokens(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let from = watch_after(&bob, &room).await.since;
    let changes = async |to: &str| {
        let request = bob.get("/keys/changes").query("from", &from).query("to", to);
        request.ok().await
    };
    assert_eq!(changes(&from).await, json!({ "changed": [], "left": [] }));
    alice.upload_device_keys().await;
    let carol = User::register(server, "carol").await;
    carol.join(&room).await;
    let last = carol.say(&room, "after it").await;
    let to = bob.sync().until_event(&room, &last).await;
    let found = changes(to.next_batch()).await;
    for user in [&alice, &carol] {
        let changed = found["changed"].as_array().expect("users");
        assert!(changed.iter().any(|it| *it == user.id.as_str()), "{found}");
    }
    let bad = bob.get("/keys/changes").query("from", "nonsense").query("to", &from);
    bad.refused(400, "M_INVALID_PARAM").await;
}

async fn sc7_a_change_is_told_once(server: &Server) {
    let (alice, bob, room) = encrypted(server).await;
    let mut watch = watch_after(&bob, &room).await;
    alice.upload_device_keys().await;
    changed(&mut watch, &alice).await;
    let event = alice.say(&room, "after it").await;
    not_told(&mut watch, &alice, &room, &event).await;
    let whole = bob.sync().get().await;
    assert!(whole.json.get("device_lists").is_none(), "a client that begins asks itself");
}
