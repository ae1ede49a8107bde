//! Typing notifications.

use skerry_tests::{Request, Room, Server, User, json, path};

both_hosts![
    typing_is_told_and_taken_back,
    typing_ends_by_itself,
    several_may_type,
    typing_ends_when_the_user_leaves,
    nobody_types_for_another,
    the_duration_may_be_left_to_the_server,
    a_token_from_before_typing_ended_learns_the_end,
];

fn typing(user: &User, room: &str, typing: bool) -> Request {
    let body = json!({ "typing": typing, "timeout": 30_000 });
    user.put(path(["rooms", room, "typing", &user.id])).json(&body)
}

/// Who types, when the room tells of it.
fn typists(room: Room<'_>) -> Option<Vec<String>> {
    let ids = room.ephemeral("m.typing")?["user_ids"].as_array().expect("a list of users");
    let mut ids: Vec<String> =
        ids.iter().map(|it| it.as_str().expect("an ID").to_owned()).collect();
    ids.sort();
    Some(ids)
}

async fn typing_is_told_and_taken_back(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    typing(&bob, &room, true).ok().await;
    assert_eq!(watch.room("bob typing", &room, typists).await, [bob.id.as_str()]);
    typing(&bob, &room, false).ok().await;
    assert_eq!(watch.room("bob stopping", &room, typists).await, Vec::<String>::new());
}

async fn typing_ends_by_itself(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    let short = json!({ "typing": true, "timeout": 1_000 });
    bob.put(path(["rooms", &room, "typing", &bob.id])).json(&short).ok().await;
    assert_eq!(watch.room("bob typing", &room, typists).await, [bob.id.as_str()]);
    assert_eq!(watch.room("the end", &room, typists).await, Vec::<String>::new());
}

async fn several_may_type(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    typing(&alice, &room, true).ok().await;
    typing(&bob, &room, true).ok().await;
    let mut both = vec![alice.id.clone(), bob.id.clone()];
    both.sort();
    watch.room("both typing", &room, |it| typists(it).filter(|ids| *ids == both)).await;
    typing(&alice, &room, false).ok().await;
    let only_bob = vec![bob.id.clone()];
    watch.room("bob alone", &room, |it| typists(it).filter(|ids| *ids == only_bob)).await;
}

async fn typing_ends_when_the_user_leaves(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    typing(&bob, &room, true).ok().await;
    watch.room("bob typing", &room, typists).await;
    bob.leave(&room).await;
    watch.room("nobody typing", &room, |it| typists(it).filter(Vec::is_empty)).await;
}

/// T7
async fn nobody_types_for_another(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let forged = alice.put(path(["rooms", &room, "typing", &bob.id]));
    forged.json(&json!({ "typing": true, "timeout": 1_000 })).refused(403, "M_FORBIDDEN").await;
}

async fn a_token_from_before_typing_ended_learns_the_end(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    typing(&bob, &room, true).ok().await;
    watch.room("bob typing", &room, typists).await;
    let since = watch.since.clone();
    typing(&bob, &room, false).ok().await;
    watch.room("bob stopping", &room, typists).await;
    let late = alice.sync().since(&since).get().await;
    let room = late.joined(&room).expect("the room changed");
    assert_eq!(typists(room), Some(Vec::new()), "{}", late.json);
}

async fn the_duration_may_be_left_to_the_server(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut watch = alice.watch().await;
    let request = bob.put(path(["rooms", &room, "typing", &bob.id]));
    request.json(&json!({ "typing": true })).ok().await;
    assert_eq!(watch.room("bob typing", &room, typists).await, [bob.id.as_str()]);
}
