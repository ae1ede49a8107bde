//! Unread counts by the default push rules.

use skerry_tests::{Room, Server, User, json, message, path};

both_hosts![
    a_message_counts_and_a_receipt_clears,
    own_messages_do_not_count,
    an_own_event_clears_what_came_before_it,
    an_own_message_clears_what_the_room_no_longer_remembers,
    an_own_message_in_a_thread_clears_the_thread,
    a_new_profile_reads_nothing,
    a_mention_is_highlighted,
    a_private_receipt_clears_too,
    an_older_receipt_leaves_the_newer_unread,
    reading_on_one_device_clears_another,
    notices_and_state_do_not_count,
    threads_are_counted_apart_on_request,
];

/// Notification and highlight counts.
fn counts(room: Room<'_>) -> Option<(u64, u64)> {
    let counts = room.0.get("unread_notifications")?;
    Some((counts["notification_count"].as_u64()?, counts["highlight_count"].as_u64()?))
}

/// Waits until an initial sync shows these counts; the message they come from is already there.
async fn settles_at(user: &User, room: &str, expected: (u64, u64)) {
    let what = format!("the counts {expected:?}");
    let found =
        user.sync().until(&what, |sync| counts(sync.joined(room)?).filter(|it| *it == expected));
    found.await;
}

async fn read(user: &User, room: &str, kind: &str, event: &str) {
    user.post(path(["rooms", room, "receipt", kind, event])).ok().await;
}

async fn a_message_counts_and_a_receipt_clears(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob, &carol]).await;
    let mut watch = bob.watch().await;
    for number in 1..=3 {
        let event = alice.say(&room, "unread").await;
        // The specification wants the count in the very answer that brings the event.
        let told = watch.room("the message", &room, |it| it.event(&event).and(counts(it))).await;
        assert_eq!(told, (number, 0));
        if number == 3 {
            read(&bob, &room, "m.read", &event).await;
        }
    }
    watch.room("cleared counts", &room, |it| counts(it).filter(|it| *it == (0, 0))).await;
    settles_at(&bob, &room, (0, 0)).await;
    settles_at(&carol, &room, (3, 0)).await;
}

async fn own_messages_do_not_count(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 2).await;
    settles_at(&bob, &room, (2, 0)).await;
    let sync = alice.sync().until_event(&room, &sent[1]).await;
    assert_eq!(counts(sync.joined(&room).expect("the room")).unwrap_or((0, 0)), (0, 0));
}

/// What a user sends says that they have read what came before.
async fn an_own_event_clears_what_came_before_it(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &bob.id).await;
    let room = alice.public_room(&[&bob]).await;
    let mut watch = phone.watch().await;
    let mut unread = alice.say(&room, "unread").await;
    for kind in ["m.room.message", "m.reaction"] {
        watch.room("the message", &room, |it| it.event(&unread).and(counts(it))).await;
        settles_at(&bob, &room, (1, 0)).await;
        let content = match kind {
            "m.reaction" => {
                let about = json!({ "rel_type": "m.annotation", "event_id": unread, "key": "x" });
                json!({ "m.relates_to": about })
            }
            _ => message("read"),
        };
        let own = bob.send(&room, kind, &content).await;
        let told = watch.room("the answer", &room, |it| it.event(&own).and(counts(it))).await;
        assert_eq!(told, (0, 0), "{kind}");
        settles_at(&bob, &room, (0, 0)).await;
        unread = alice.say(&room, "unread again").await;
    }
    settles_at(&phone, &room, (1, 0)).await;
    settles_at(&alice, &room, (0, 0)).await;
}

async fn an_own_message_clears_what_the_room_no_longer_remembers(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.say_many(&room, 12).await;
    bob.say(&room, "read").await;
    let last = alice.say_many(&room, 15).await.pop().expect("a message");
    let sync = bob.sync().until_event(&room, &last).await;
    assert_eq!(counts(sync.joined(&room).expect("the room")), Some((15, 0)), "{}", sync.json);
}

async fn an_own_message_in_a_thread_clears_the_thread(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let start = alice.say(&room, "main").await;
    let mut reply = message("in the thread");
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": start });
    alice.send(&room, "m.room.message", &reply).await;
    settles_at(&bob, &room, (2, 0)).await;
    bob.send(&room, "m.room.message", &reply).await;
    settles_at(&bob, &room, (1, 0)).await;
    bob.say(&room, "main").await;
    settles_at(&bob, &room, (0, 0)).await;
}

/// The server writes a new profile into every room: nobody has read these.
async fn a_new_profile_reads_nothing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.say(&room, "unread").await;
    settles_at(&bob, &room, (1, 0)).await;
    let mut watch = alice.watch().await;
    let name = json!({ "displayname": "Robert" });
    bob.put(path(["profile", &bob.id, "displayname"])).json(&name).ok().await;
    let is_new = |it: &skerry_tests::Value| it["content"]["displayname"] == "Robert";
    watch.room("the name", &room, |it| it.timeline().iter().any(is_new).then_some(())).await;
    let sync = bob.sync().get().await;
    assert_eq!(counts(sync.joined(&room).expect("the room")), Some((1, 0)), "{}", sync.json);
}

async fn a_mention_is_highlighted(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob, &carol]).await;
    let mut content = message("look here");
    content["m.mentions"] = json!({ "user_ids": [bob.id] });
    alice.send(&room, "m.room.message", &content).await;
    settles_at(&bob, &room, (1, 1)).await;
    settles_at(&carol, &room, (1, 0)).await;
    content["m.mentions"] = json!({ "room": true });
    alice.send(&room, "m.room.message", &content).await;
    settles_at(&carol, &room, (2, 1)).await;
    // The same words by someone without the power to call everybody.
    carol.send(&room, "m.room.message", &content).await;
    settles_at(&bob, &room, (3, 2)).await;
}

async fn a_private_receipt_clears_too(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 3).await;
    settles_at(&bob, &room, (3, 0)).await;
    read(&bob, &room, "m.read.private", &sent[2]).await;
    settles_at(&bob, &room, (0, 0)).await;
    // The newer of the two receipts decides: going back with the other changes nothing.
    read(&bob, &room, "m.read", &sent[0]).await;
    let last = alice.say(&room, "one more").await;
    let sync = bob.sync().until_event(&room, &last).await;
    assert_eq!(counts(sync.joined(&room).expect("the room")), Some((1, 0)), "{}", sync.json);
}

async fn an_older_receipt_leaves_the_newer_unread(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 4).await;
    settles_at(&bob, &room, (4, 0)).await;
    read(&bob, &room, "m.read", &sent[1]).await;
    settles_at(&bob, &room, (2, 0)).await;
}

async fn reading_on_one_device_clears_another(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &bob.id).await;
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 2).await;
    settles_at(&phone, &room, (2, 0)).await;
    let mut watch = phone.watch().await;
    read(&bob, &room, "m.read", &sent[1]).await;
    watch.room("cleared counts", &room, |it| counts(it).filter(|it| *it == (0, 0))).await;
}

async fn notices_and_state_do_not_count(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob, &carol]).await;
    // The rule against notices stands before those for mentions, so it wins over a mention too.
    let mentions = json!({ "user_ids": [bob.id] });
    let notice = json!({ "msgtype": "m.notice", "body": "beep", "m.mentions": mentions });
    alice.send(&room, "m.room.message", &notice).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "new" })).await;
    let last = alice.say(&room, "a real message").await;
    let relation = json!({ "rel_type": "m.annotation", "event_id": last, "key": "👍" });
    let last = alice.send(&room, "m.reaction", &json!({ "m.relates_to": relation })).await;
    let sync = bob.sync().until_event(&room, &last).await;
    assert_eq!(counts(sync.joined(&room).expect("the room")), Some((1, 0)), "{}", sync.json);
}

async fn threads_are_counted_apart_on_request(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let start = alice.say(&room, "main").await;
    let mut reply = message("in the thread");
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": start });
    let last = alice.send(&room, "m.room.message", &reply).await;
    let plain = bob.sync().until_event(&room, &last).await;
    let section = plain.joined(&room).expect("the room");
    assert_eq!(counts(section), Some((2, 0)), "{}", section.0);
    assert!(section.0.get("unread_thread_notifications").is_none(), "{}", section.0);
    let filter = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let apart = bob.sync().filter(&filter).until_event(&room, &last).await;
    let section = apart.joined(&room).expect("the room");
    assert_eq!(counts(section), Some((1, 0)), "{}", section.0);
    let of_thread = &section.0["unread_thread_notifications"][&start];
    assert_eq!(of_thread["notification_count"], 1, "{}", section.0);
    // Reading the main timeline leaves the thread unread.
    let receipt = bob.post(path(["rooms", &room, "receipt", "m.read", &start]));
    receipt.json(&json!({ "thread_id": "main" })).ok().await;
    settles_at(&bob, &room, (1, 0)).await;
    let receipt = bob.post(path(["rooms", &room, "receipt", "m.read", &last]));
    receipt.json(&json!({ "thread_id": start })).ok().await;
    settles_at(&bob, &room, (0, 0)).await;
}
