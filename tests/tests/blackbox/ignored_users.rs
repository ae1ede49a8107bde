//! What users send whom somebody ignores: state is shown, nothing else is, and nothing else counts.

use skerry_tests::{Server, User, Value, events, ids, json, message, path};

both_hosts![
    neither_a_page_nor_a_context_nor_an_event_shows_what_they_send,
    a_page_is_filled_with_what_others_send,
    a_timeline_is_filled_with_what_others_send,
    what_they_send_is_not_unread,
    what_they_send_is_not_unread_in_a_thread_or_of_long_ago,
    their_state_is_shown_everywhere,
    their_invitations_are_not_shown,
    ignoring_begins_and_ends_at_once_on_every_device,
    nobody_ignores_themselves,
    others_see_what_they_send,
];

async fn ignore(user: &User, ignored: &[&User]) {
    let ignored: serde_json::Map<_, _> =
        ignored.iter().map(|it| (it.id.clone(), json!({}))).collect();
    let data = path(["user", &user.id, "account_data", "m.ignored_user_list"]);
    user.put(data).json(&json!({ "ignored_users": ignored })).ok().await;
}

/// A room of Alice, Bob, whom nobody ignores, and Mallory, whom Alice does.
struct House {
    alice: User,
    bob: User,
    mallory: User,
    room: String,
}

impl House {
    async fn new(server: &Server) -> Self {
        let alice = User::register(server, "alice").await;
        let bob = User::register(server, "bob").await;
        let mallory = User::register(server, "mallory").await;
        let room = alice.public_room(&[&bob, &mallory]).await;
        ignore(&alice, &[&mallory]).await;
        Self { alice, bob, mallory, room }
    }
}

fn chunk(page: &Value) -> &[Value] {
    page["chunk"].as_array().expect("a chunk")
}

fn counts(user: &User, sync: &skerry_tests::Sync, room: &str) -> (Value, Value) {
    let room = sync.joined(room).unwrap_or_else(|| panic!("{} is not in {room}", user.id));
    let counts = &room.0["unread_notifications"];
    (counts["notification_count"].clone(), counts["highlight_count"].clone())
}

/// Waits until an initial sync has an event, and tells its counts.
async fn counts_at(user: &User, room: &str, event: &str) -> (Value, Value) {
    let sync = user.sync().until_event(room, event).await;
    counts(user, &sync, room)
}

async fn neither_a_page_nor_a_context_nor_an_event_shows_what_they_send(server: &Server) {
    let House { alice, bob, mallory, room } = House::new(server).await;
    let before = bob.say(&room, "before").await;
    let hidden = mallory.say(&room, "hidden").await;
    let after = bob.say(&room, "after").await;
    for direction in ["b", "f"] {
        let page = alice.messages(&room, direction).query("limit", 50).ok().await;
        assert!(!ids(chunk(&page)).contains(&hidden.as_str()), "{direction}: {page}");
        assert!(ids(chunk(&page)).contains(&after.as_str()), "{direction}: {page}");
    }
    let context = alice.get(path(["rooms", &room, "context", &before])).ok().await;
    let found = context["events_after"].as_array().map(|it| ids(it)).expect("events");
    assert_eq!(found, [&after], "{context}");
    let context = alice.get(path(["rooms", &room, "context", &after])).ok().await;
    assert_eq!(context["events_before"][0]["event_id"], before.as_str(), "{context}");
    alice.get(path(["rooms", &room, "context", &hidden])).refused(404, "M_NOT_FOUND").await;
    alice.event(&room, &hidden).refused(404, "M_NOT_FOUND").await;
}

async fn a_page_is_filled_with_what_others_send(server: &Server) {
    let House { alice, bob, mallory, room } = House::new(server).await;
    let sent = bob.say_many(&room, 3).await;
    mallory.say_many(&room, 12).await;
    let page = alice.messages(&room, "b").query("limit", 2).ok().await;
    assert_eq!(ids(chunk(&page)), [&sent[2], &sent[1]], "{page}");
    let end = page["end"].as_str().expect("there is more");
    let page = alice.messages(&room, "b").query("limit", 1).query("from", end).ok().await;
    assert_eq!(ids(chunk(&page)), [&sent[0]], "{page}");
}

async fn a_timeline_is_filled_with_what_others_send(server: &Server) {
    let House { alice, bob, mallory, room } = House::new(server).await;
    let sent = bob.say_many(&room, 3).await;
    let since = alice.sync().until_event(&room, &sent[2]).await;
    mallory.say_many(&room, 12).await;
    let last = bob.say(&room, "last").await;
    let filter = json!({ "room": { "timeline": { "limit": 3 } } });
    let initial = alice.sync().filter(&filter).until_event(&room, &last).await;
    let timeline = initial.joined(&room).expect("the room").timeline();
    assert_eq!(ids(timeline), [&sent[1], &sent[2], &last], "{}", initial.json);
    let next = alice.sync().filter(&filter).since(since.next_batch());
    let next = next.until_event(&room, &last).await;
    let section = next.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), [&last], "{}", next.json);
    assert!(!section.limited(), "nothing was left out that is for Alice: {}", next.json);
}

async fn what_they_send_is_not_unread(server: &Server) {
    let House { alice, bob, mallory, room } = House::new(server).await;
    let phone = User::log_in(server, &alice.id).await;
    let mut call = message("Alice!");
    call["m.mentions"] = json!({ "user_ids": [alice.id] });
    mallory.send(&room, "m.room.message", &call).await;
    let other = bob.say(&room, "one that counts").await;
    assert_eq!(counts_at(&alice, &room, &other).await, (json!(1), json!(0)));
    // Then what they have sent is unread again, and then it is not.
    ignore(&phone, &[]).await;
    assert_eq!(counts_at(&alice, &room, &other).await, (json!(2), json!(1)));
    ignore(&phone, &[&bob, &mallory]).await;
    let sync = alice.sync().get().await;
    assert_eq!(counts(&alice, &sync, &room), (json!(0), json!(0)), "{}", sync.json);
    ignore(&phone, &[&mallory]).await;
    assert_eq!(counts_at(&phone, &room, &other).await, (json!(1), json!(0)));
}

async fn what_they_send_is_not_unread_in_a_thread_or_of_long_ago(server: &Server) {
    let House { alice, bob, mallory, room } = House::new(server).await;
    let root = bob.say(&room, "a thread").await;
    let mut reply = message("a reply");
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
    mallory.send(&room, "m.room.message", &reply).await;
    // More than the room has in memory.
    mallory.say_many(&room, 30).await;
    let last = bob.send(&room, "m.room.message", &reply).await;
    let filter = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let sync = alice.sync().filter(&filter).until_event(&room, &last).await;
    assert_eq!(counts(&alice, &sync, &room).0, 1, "{}", sync.json);
    let threads = &sync.joined(&room).expect("the room").0["unread_thread_notifications"];
    assert_eq!(threads[&root]["notification_count"], 1, "{}", sync.json);
}

async fn their_state_is_shown_everywhere(server: &Server) {
    let House { alice, mallory, room, .. } = House::new(server).await;
    alice.give_power(&room, &mallory, 100).await;
    let topic = json!({ "topic": "by Mallory" });
    let state = mallory.set_state(&room, "m.room.topic", "", &topic).await;
    alice.sync().until_event(&room, &state).await;
    let page = alice.messages(&room, "b").query("limit", 1).ok().await;
    assert_eq!(ids(chunk(&page)), [&state]);
    assert_eq!(alice.event(&room, &state).ok().await["content"], topic);
    let context = alice.get(path(["rooms", &room, "context", &state])).ok().await;
    assert_eq!(context["event"]["event_id"], state.as_str());
    assert_eq!(alice.state(&room, "m.room.topic", "").ok().await, topic);
}

async fn their_invitations_are_not_shown(server: &Server) {
    let House { alice, bob, mallory, .. } = House::new(server).await;
    let since = alice.sync().get().await;
    let room = mallory.create_room(&json!({ "invite": [alice.id] })).await;
    let other = bob.create_room(&json!({ "invite": [alice.id] })).await;
    let invited = |sync: &skerry_tests::Sync| sync.room("invite", &other).map(|_| sync.clone());
    let next = alice.sync().since(since.next_batch()).until("Bob's invitation", invited).await;
    assert!(next.room("invite", &room).is_none(), "{}", next.json);
    let initial = alice.sync().get().await;
    assert!(initial.room("invite", &room).is_none(), "{}", initial.json);
    ignore(&alice, &[]).await;
    let initial = alice.sync().get().await;
    assert!(initial.room("invite", &room).is_some(), "{}", initial.json);
}

async fn ignoring_begins_and_ends_at_once_on_every_device(server: &Server) {
    let House { alice, mallory, room, .. } = House::new(server).await;
    let phone = User::log_in(server, &alice.id).await;
    let sent = mallory.say(&room, "on and off").await;
    let shows = async |user: &User| {
        let page = user.messages(&room, "b").query("limit", 50).ok().await;
        let sync = user.sync().get().await;
        let timeline = events(&sync.json["rooms"]["join"][&room]["timeline"]).to_vec();
        let event = user.event(&room, &sent).send().await.status == 200;
        let is_in = |events: &[Value]| ids(events).contains(&sent.as_str());
        [is_in(chunk(&page)), is_in(&timeline), event]
    };
    for user in [&alice, &phone, &alice] {
        assert_eq!(shows(&alice).await, [false; 3]);
        assert_eq!(shows(&phone).await, [false; 3]);
        ignore(user, &[]).await;
        assert_eq!(shows(&phone).await, [true; 3]);
        assert_eq!(shows(&alice).await, [true; 3]);
        ignore(user, &[&mallory]).await;
    }
}

async fn nobody_ignores_themselves(server: &Server) {
    let House { alice, room, .. } = House::new(server).await;
    ignore(&alice, &[&alice]).await;
    let sent = alice.say(&room, "mine").await;
    alice.sync().until_event(&room, &sent).await;
    alice.event(&room, &sent).ok().await;
}

async fn others_see_what_they_send(server: &Server) {
    let House { bob, mallory, room, .. } = House::new(server).await;
    let sent = mallory.say(&room, "for others").await;
    bob.event(&room, &sent).ok().await;
    assert_eq!(counts_at(&bob, &room, &sent).await, (json!(1), json!(0)));
}
