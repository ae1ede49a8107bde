//! What a client takes the state of a room to be, whatever its timeline shows.

use std::collections::BTreeMap;

use skerry_tests::{Room, Server, SyncRequest, User, Value, events, ids, json};

both_hosts![
    state_set_while_history_was_closed_comes_with_the_join,
    state_set_between_two_stays_comes_with_the_second,
    state_that_a_filter_keeps_out_comes,
    a_hidden_change_is_not_undone_by_an_older_one,
    a_limit_of_zero_hides_no_state,
    a_limit_on_state_hides_none,
    hidden_members_come_as_far_as_they_are_needed,
];

type State = BTreeMap<(String, String), String>;

fn state_of<'a>(events: impl IntoIterator<Item = &'a Value>) -> State {
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let entry =
        |it: &Value| Some(((text(&it["type"])?, text(&it["state_key"])?), text(&it["event_id"])?));
    events.into_iter().filter_map(entry).collect()
}

/// The state as a client has it after one part of a sync, by the rules of either way.
fn after(mut state: State, section: Room<'_>, is_state_after: bool) -> State {
    if is_state_after {
        assert!(section.0.get("state").is_none(), "{}", section.0);
        state.extend(state_of(events(&section.0["state_after"])));
    } else {
        assert!(section.0.get("state_after").is_none(), "{}", section.0);
        state.extend(state_of(section.state().iter().chain(section.timeline())));
    }
    state
}

/// Asserts that a client comes to the room's state, from what it had, in both ways.
async fn assert_state_comes(
    user: &User,
    room: &str,
    had: &State,
    request: impl Fn() -> SyncRequest,
) {
    let expected = state_of(&user.all_state(room).await);
    for is_state_after in [false, true] {
        let request = request().query("use_state_after", is_state_after);
        let sync = request.until("the room", |sync| sync.joined(room).map(|_| sync.clone())).await;
        let section = sync.joined(room).expect("the room");
        let state = after(had.clone(), section, is_state_after);
        assert_eq!(state, expected, "use_state_after {is_state_after}: {}", section.0);
    }
}

/// A public room whose history is for those who were there.
async fn closed_room(alice: &User, options: Value) -> String {
    let content = json!({ "history_visibility": "joined" });
    let closed = json!({ "type": "m.room.history_visibility", "content": content });
    let mut options = options;
    options["preset"] = json!("public_chat");
    options["initial_state"] = json!([closed]);
    alice.create_room(&options).await
}

async fn state_set_while_history_was_closed_comes_with_the_join(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = closed_room(&alice, json!({ "name": "the room", "topic": "hidden" })).await;
    let since = bob.sync().get().await.next_batch().to_owned();
    bob.join(&room).await;
    assert_state_comes(&bob, &room, &State::new(), || bob.sync()).await;
    assert_state_comes(&bob, &room, &State::new(), || bob.sync().since(&since)).await;
    let full = || bob.sync().since(&since).query("full_state", true);
    assert_state_comes(&bob, &room, &State::new(), full).await;
    for limit in 1..12 {
        let filter = json!({ "room": { "timeline": { "limit": limit } } });
        let request = || bob.sync().filter(&filter);
        assert_state_comes(&bob, &room, &State::new(), request).await;
    }
}

async fn state_set_between_two_stays_comes_with_the_second(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = closed_room(&alice, json!({ "name": "before" })).await;
    bob.join(&room).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "while bob was there" })).await;
    let since = bob.sync().get().await.next_batch().to_owned();
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "while bob was away" })).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "hidden" })).await;
    bob.join(&room).await;
    assert_state_comes(&bob, &room, &State::new(), || bob.sync()).await;
    assert_state_comes(&bob, &room, &State::new(), || bob.sync().since(&since)).await;
}

async fn state_that_a_filter_keeps_out_comes(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    alice.say(&room, "start").await;
    let first = alice.sync().get().await;
    let had = after(State::new(), first.joined(&room).expect("the room"), false);
    let since = first.next_batch().to_owned();
    alice.say(&room, "before").await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "hidden" })).await;
    alice.say(&room, "between").await;
    bob.join(&room).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "hidden" })).await;
    alice.set_state(&room, "org.example.linked", "", &json!({ "url": "mxc://a/b" })).await;
    for timeline in [
        json!({ "types": ["m.room.message"] }),
        json!({ "not_types": ["m.room.*"] }),
        json!({ "types": [] }),
        json!({ "senders": [bob.id] }),
        json!({ "not_senders": [alice.id] }),
        json!({ "contains_url": true }),
        json!({ "contains_url": false }),
        json!({ "types": ["m.room.message"], "limit": 1 }),
        json!({ "not_rooms": [room] }),
    ] {
        let filter = json!({ "room": { "timeline": timeline } });
        assert_state_comes(&alice, &room, &State::new(), || alice.sync().filter(&filter)).await;
        let request = || alice.sync().since(&since).filter(&filter);
        assert_state_comes(&alice, &room, &had, request).await;
    }
}

async fn a_hidden_change_is_not_undone_by_an_older_one(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut power = alice.state(&room, "m.room.power_levels", "").ok().await;
    power["users"][bob.id.as_str()] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", &power).await;
    let first = alice.sync().get().await;
    let had = after(State::new(), first.joined(&room).expect("the room"), false);
    let since = first.next_batch().to_owned();
    let older = bob.set_state(&room, "m.room.name", "", &json!({ "name": "by bob" })).await;
    let said = bob.say(&room, "between").await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "by alice" })).await;
    let last = bob.say(&room, "after").await;
    let filter = json!({ "room": { "timeline": { "not_senders": [alice.id] } } });
    assert_state_comes(&alice, &room, &State::new(), || alice.sync().filter(&filter)).await;
    let request = || alice.sync().since(&since).filter(&filter);
    assert_state_comes(&alice, &room, &had, request).await;
    // The older change is behind the timeline, and not lost.
    let sync = request().until_event(&room, &last).await;
    let section = sync.joined(&room).expect("the room");
    assert_eq!(ids(section.timeline()), [&said, &last], "{}", section.0);
    assert!(section.limited(), "{}", section.0);
    let page = alice.messages(&room, "b").query("from", section.prev_batch()).ok().await;
    assert_eq!(page["chunk"][0]["event_id"], older, "{page}");
}

async fn a_limit_of_zero_hides_no_state(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "name": "before" })).await;
    let first = alice.sync().get().await;
    let had = after(State::new(), first.joined(&room).expect("the room"), false);
    let since = first.next_batch().to_owned();
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "after" })).await;
    let filter = json!({ "room": { "timeline": { "limit": 0 } } });
    assert_state_comes(&alice, &room, &State::new(), || alice.sync().filter(&filter)).await;
    let request = || alice.sync().since(&since).filter(&filter);
    assert_state_comes(&alice, &room, &had, request).await;
}

/// What a limit leaves out of the state is nowhere else, and no client would know of it.
async fn a_limit_on_state_hides_none(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({ "name": "the room", "topic": "limits" })).await;
    alice.say_many(&room, 12).await;
    let filter = json!({ "room": { "state": { "limit": 1 } } });
    assert_state_comes(&alice, &room, &State::new(), || alice.sync().filter(&filter)).await;
}

/// The members of a crowd that nobody needs are left for the client to ask for.
async fn hidden_members_come_as_far_as_they_are_needed(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[]).await;
    alice.say_many(&room, 2).await;
    let since = alice.sync().get().await.next_batch().to_owned();
    bob.join(&room).await;
    carol.join(&room).await;
    let said = bob.say(&room, "here").await;
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"], "limit": 2 },
        "state": { "lazy_load_members": true } } });
    let members = |section: Room<'_>| {
        let members = section.state().iter().filter(|it| it["type"] == "m.room.member");
        let mut found: Vec<_> =
            members.filter_map(|it| it["state_key"].as_str().map(str::to_owned)).collect();
        found.sort_unstable();
        found
    };
    let mut needed = vec![alice.id.clone(), bob.id.clone()];
    needed.sort_unstable();
    // A room without a name: the heroes are needed as well.
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "the room" })).await;
    let sync = alice.sync().filter(&filter).until_event(&room, &said).await;
    assert_eq!(members(sync.joined(&room).expect("the room")), needed, "{}", sync.json);
    // Of what changed since, nothing may be lost.
    let mut changed = [bob.id.clone(), carol.id.clone()];
    changed.sort_unstable();
    let sync = alice.sync().since(&since).filter(&filter).until_event(&room, &said).await;
    let found = members(sync.joined(&room).expect("the room"));
    assert!(changed.iter().all(|it| found.contains(it)), "{}", sync.json);
}
