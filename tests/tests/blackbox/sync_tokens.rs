//! A token of `/sync` as a place in a room that the client was not given with it: where the room
//! was when the token was made.

use skerry_tests::{Host, Options, Server, User, Value, ids, json, path};

both_hosts![
    a_room_that_was_left_before_an_initial_sync,
    a_room_that_a_filter_keeps_out,
    a_room_that_a_filter_keeps_out_once_it_was_read,
    a_room_that_was_left_and_joined_again,
    a_room_that_comes_with_a_later_page,
    a_room_that_is_only_looked_at,
    a_room_that_did_not_exist,
    a_poll_that_has_waited_in_vain,
    a_page_ends_at_such_a_token,
    what_a_former_member_may_not_see_is_not_counted_for_them,
    a_room_that_was_given_goes_on_where_it_was_given,
];

private_server![
    native_private: Native => [such_a_token_outlives_a_restart],
    worker_private: Worker => [such_a_token_outlives_a_restart],
];

/// The newest event before a token and the first one after it, as `/messages` has them; empty:
/// there is none.
async fn around(user: &User, room: &str, token: &str) -> [String; 2] {
    let page = async |direction: &str| {
        let request = user.messages(room, direction).query("from", token).query("limit", 1);
        let page = request.ok().await;
        let chunk = page["chunk"].as_array().expect("a chunk");
        ids(chunk).first().map(|it| (*it).to_owned()).unwrap_or_default()
    };
    [page("b").await, page("f").await]
}

/// Who was joined at a token.
async fn joined_at(user: &User, room: &str, token: &str) -> Vec<String> {
    let request = user.get(path(["rooms", room, "members"])).query("at", token);
    let members = request.query("membership", "join").ok().await;
    let chunk = members["chunk"].as_array().expect("a chunk");
    let key = |it: &Value| it["state_key"].as_str().expect("a member").to_owned();
    let mut joined: Vec<_> = chunk.iter().map(key).collect();
    joined.sort_unstable();
    joined
}

fn sorted(users: &[&User]) -> Vec<String> {
    let mut sorted: Vec<_> = users.iter().map(|it| it.id.clone()).collect();
    sorted.sort_unstable();
    sorted
}

/// Registers three users.
async fn cast(server: &Server) -> (User, User, User) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    (alice, bob, User::register(server, "carol").await)
}

/// The token of a sync that is given nothing of a room.
async fn without(user: &User, room: &str, since: Option<&str>) -> String {
    let mut request = user.sync().filter(&json!({ "room": { "not_rooms": [room] } }));
    if let Some(since) = since {
        request = request.since(since);
    }
    let sync = request.get().await;
    assert!(sync.joined(room).is_none(), "the filter keeps it out: {}", sync.json);
    sync.next_batch().to_owned()
}

async fn a_room_that_was_left_before_an_initial_sync(server: &Server) {
    let (alice, bob, carol) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let last = alice.say(&room, "before bob leaves").await;
    bob.leave(&room).await;
    alice.say(&room, "after bob has left").await;
    carol.join(&room).await;
    let token = bob.sync().get().await.next_batch().to_owned();
    let page = bob.messages(&room, "b").query("from", &token).query("limit", 50).ok().await;
    let chunk = page["chunk"].as_array().expect("a chunk");
    assert_eq!(chunk[0]["content"]["membership"], "leave", "{page}");
    assert_eq!(chunk[1]["event_id"], last.as_str(), "{page}");
    let forth = bob.messages(&room, "f").query("from", &token).ok().await;
    assert_eq!(forth["chunk"], json!([]), "nothing more is for them");
    assert_eq!(joined_at(&bob, &room, &token).await, sorted(&[&alice]));
}

async fn a_room_that_a_filter_keeps_out(server: &Server) {
    let (alice, bob, carol) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let sent = alice.say_many(&room, 3).await;
    let token = without(&bob, &room, None).await;
    let later = alice.say(&room, "later").await;
    carol.join(&room).await;
    assert_eq!(around(&bob, &room, &token).await, [sent[2].as_str(), later.as_str()]);
    assert_eq!(joined_at(&bob, &room, &token).await, sorted(&[&alice, &bob]));
    // No client has read the room, whose stream is told of it once.
    let last = alice.say(&room, "later still").await;
    let token = without(&bob, &room, Some(&token)).await;
    let newest = alice.say(&room, "newest").await;
    assert_eq!(around(&bob, &room, &token).await, [last.as_str(), newest.as_str()]);
    assert_eq!(joined_at(&bob, &room, &token).await, sorted(&[&alice, &bob, &carol]));
    let only = json!({ "room": { "rooms": ["!another:room"] } });
    let token = bob.sync().filter(&only).get().await.next_batch().to_owned();
    assert_eq!(around(&bob, &room, &token).await, [newest.as_str(), ""]);
}

async fn a_room_that_a_filter_keeps_out_once_it_was_read(server: &Server) {
    let (alice, bob, _) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let read = alice.say(&room, "read").await;
    let given = bob.sync().until_event(&room, &read).await;
    let sent = alice.say_many(&room, 3).await;
    let token = without(&bob, &room, Some(given.next_batch())).await;
    let later = alice.say(&room, "later").await;
    assert_eq!(around(&bob, &room, &token).await, [sent[2].as_str(), later.as_str()]);
    // Another device reads it meanwhile: the token is what it was.
    let phone = User::log_in(server, &bob.id).await;
    phone.sync().until_event(&room, &later).await;
    assert_eq!(around(&bob, &room, &token).await, [sent[2].as_str(), later.as_str()]);
    assert_eq!(around(&bob, &room, given.next_batch()).await, [read.as_str(), sent[0].as_str()]);
}

async fn a_room_that_was_left_and_joined_again(server: &Server) {
    let (alice, bob, carol) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let first = alice.say(&room, "while bob is there").await;
    let before = bob.sync().until_event(&room, &first).await;
    let second = alice.say(&room, "the same").await;
    bob.leave(&room).await;
    let token = bob.sync().get().await.next_batch().to_owned();
    let away = alice.say(&room, "while bob is away").await;
    carol.join(&room).await;
    bob.join(&room).await;
    let last = alice.say(&room, "since bob is back").await;
    let phone = User::log_in(server, &bob.id).await;
    phone.sync().until_event(&room, &last).await;
    assert_eq!(around(&bob, &room, before.next_batch()).await, [first.as_str(), second.as_str()]);
    assert_eq!(around(&bob, &room, &token).await[1], away);
    assert_eq!(joined_at(&bob, &room, before.next_batch()).await, sorted(&[&alice, &bob]));
    assert_eq!(joined_at(&bob, &room, &token).await, sorted(&[&alice]));
}

/// The server that is tested gives four rooms at a time.
async fn a_room_that_comes_with_a_later_page(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(alice.create_room(&json!({})).await);
    }
    let room = &rooms[0];
    let last = alice.say(room, "last").await;
    let page = alice.sync().get().await;
    assert!(page.joined(room).is_none(), "it is for the next page: {}", page.json);
    let later = alice.say(room, "later").await;
    assert_eq!(around(&alice, room, page.next_batch()).await, [last.as_str(), later.as_str()]);
    let next = alice.sync().since(page.next_batch()).until_event(room, &later).await;
    assert_eq!(around(&alice, room, next.next_batch()).await, [later.as_str(), ""]);
    let given = page.joined(&rooms[5]).expect("the newest room").timeline();
    let newest = given.last().expect("an event")["event_id"].as_str().expect("an ID");
    assert_eq!(around(&alice, &rooms[5], page.next_batch()).await, [newest, ""]);
}

async fn a_room_that_is_only_looked_at(server: &Server) {
    let (alice, bob, _) = cast(server).await;
    let readable = json!({ "history_visibility": "world_readable" });
    let visibility = json!({ "type": "m.room.history_visibility", "content": readable });
    let room = alice.create_room(&json!({ "initial_state": [visibility] })).await;
    let last = alice.say(&room, "last").await;
    let token = bob.sync().get().await.next_batch().to_owned();
    let later = alice.say(&room, "later").await;
    assert_eq!(around(&bob, &room, &token).await, [last.as_str(), later.as_str()]);
    assert_eq!(joined_at(&bob, &room, &token).await, sorted(&[&alice]));
}

async fn a_room_that_did_not_exist(server: &Server) {
    let alice = User::register(server, "alice").await;
    let token = alice.sync().get().await.next_batch().to_owned();
    let room = alice.create_room(&json!({})).await;
    let state = alice.all_state(&room).await;
    let create = state.iter().find(|it| it["type"] == "m.room.create").expect("a create event");
    let create = create["event_id"].as_str().expect("an ID");
    assert_eq!(around(&alice, &room, &token).await, ["", create]);
}

/// Nothing that the filter lets through has come: the answer is of the time when it was given.
async fn a_poll_that_has_waited_in_vain(server: &Server) {
    let (alice, bob, _) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let mut token = without(&bob, &room, None).await;
    for number in 0..2 {
        let last = alice.say(&room, &format!("message {number}")).await;
        let filter = json!({ "room": { "not_rooms": [room] } });
        let poll = bob.sync().filter(&filter).since(&token).query("timeout", 200).get().await;
        assert!(poll.is_empty(), "{}", poll.json);
        poll.next_batch().clone_into(&mut token);
        let later = alice.say(&room, "later").await;
        assert_eq!(around(&bob, &room, &token).await, [last.as_str(), later.as_str()]);
    }
}

async fn a_page_ends_at_such_a_token(server: &Server) {
    let (alice, bob, _) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let old = alice.say_many(&room, 2).await;
    let token = without(&bob, &room, None).await;
    let new = alice.say_many(&room, 2).await;
    let back = bob.messages(&room, "b").query("to", &token).ok().await;
    assert_eq!(ids(back["chunk"].as_array().expect("a chunk")), [&new[1], &new[0]]);
    let forth = bob.messages(&room, "f").query("to", &token).query("limit", 50).ok().await;
    let forth = ids(forth["chunk"].as_array().expect("a chunk"));
    assert_eq!(forth.last(), Some(&old[1].as_str()));
}

async fn what_a_former_member_may_not_see_is_not_counted_for_them(server: &Server) {
    let (alice, bob, _) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    bob.leave(&room).await;
    let mut starts = Vec::new();
    for _ in 0..2 {
        let token = bob.sync().get().await.next_batch().to_owned();
        for direction in ["b", "f"] {
            let page = bob.messages(&room, direction).query("from", &token).ok().await;
            starts.push(page["start"].clone());
        }
        alice.say_many(&room, 3).await;
    }
    starts.dedup();
    assert_eq!(starts.len(), 1, "how far the room has got is not told: {starts:?}");
}

/// What a sync has given, the next one does not: not less and not more is before its token.
async fn a_room_that_was_given_goes_on_where_it_was_given(server: &Server) {
    let (alice, bob, _) = cast(server).await;
    let room = alice.public_room(&[&bob]).await;
    let mut since = None::<String>;
    for number in 0..10 {
        let sent = alice.say(&room, &format!("message {number}")).await;
        let request = match &since {
            None => bob.sync(),
            Some(since) => bob.sync().since(since),
        };
        let sync = request.until_event(&room, &sent).await;
        let token = sync.next_batch().to_owned();
        let later = alice.say(&room, "later").await;
        assert_eq!(around(&bob, &room, &token).await, [sent.as_str(), later.as_str()]);
        since = Some(token);
    }
}

async fn such_a_token_outlives_a_restart(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, bob, _) = cast(&server).await;
    let room = alice.public_room(&[&bob]).await;
    let last = alice.say(&room, "last").await;
    let token = without(&bob, &room, None).await;
    let later = alice.say(&room, "before the restart").await;
    server.restart();
    let (alice, bob) = (alice.at(&server), bob.at(&server));
    assert_eq!(around(&bob, &room, &token).await, [last.as_str(), later.as_str()]);
    let after = alice.say(&room, "after the restart").await;
    let token = without(&bob, &room, Some(&token)).await;
    assert_eq!(around(&bob, &room, &token).await, [after.as_str(), ""]);
}
