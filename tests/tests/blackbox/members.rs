//! The member list, now and at a point in time.

use skerry_tests::{Server, User, Value, json, path};

both_hosts![
    every_membership_is_listed,
    memberships_are_chosen_and_left_out,
    members_are_listed_as_they_were_at_a_token,
    a_former_member_sees_those_of_their_time,
    a_member_is_a_whole_event,
];

fn keys(members: &Value) -> Vec<String> {
    let chunk = members["chunk"].as_array().expect("a chunk");
    let mut keys: Vec<String> =
        chunk.iter().map(|it| it["state_key"].as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

fn sorted(users: &[&User]) -> Vec<String> {
    let mut ids: Vec<String> = users.iter().map(|it| it.id.clone()).collect();
    ids.sort();
    ids
}

/// A room of alice with one user in each other membership.
struct Cast {
    room: String,
    alice: User,
    joined: User,
    invited: User,
    left: User,
    banned: User,
}

impl Cast {
    async fn new(server: &Server) -> Self {
        let alice = User::register(server, "alice").await;
        let joined = User::register(server, "joined").await;
        let invited = User::register(server, "invited").await;
        let left = User::register(server, "left").await;
        let banned = User::register(server, "banned").await;
        let room = alice.public_room(&[&joined, &left, &banned]).await;
        alice.invite(&room, &invited).await;
        left.leave(&room).await;
        alice.on_member(&room, "ban", &banned).ok().await;
        Self { room, alice, joined, invited, left, banned }
    }
}

async fn every_membership_is_listed(server: &Server) {
    let cast = Cast::new(server).await;
    let Cast { room, alice, joined, invited, left, banned } = &cast;
    let members = joined.get(path(["rooms", room, "members"])).ok().await;
    assert_eq!(keys(&members), sorted(&[alice, joined, invited, left, banned]));
}

async fn memberships_are_chosen_and_left_out(server: &Server) {
    let cast = Cast::new(server).await;
    let Cast { room, alice, joined, invited, left, banned } = &cast;
    let request = alice.get(path(["rooms", room, "members"]));
    let only = |membership: &str| request.clone().query("membership", membership);
    let not = |membership: &str| request.clone().query("not_membership", membership);
    assert_eq!(keys(&only("join").ok().await), sorted(&[alice, joined]));
    assert_eq!(keys(&only("invite").ok().await), sorted(&[invited]));
    assert_eq!(keys(&only("leave").ok().await), sorted(&[left]));
    assert_eq!(keys(&only("ban").ok().await), sorted(&[banned]));
    assert_eq!(keys(&only("knock").ok().await), sorted(&[]));
    assert_eq!(keys(&not("leave").ok().await), sorted(&[alice, joined, invited, banned]));
    // Together they are an "or": it is this, or it is not that.
    let either = only("leave").query("not_membership", "join").ok().await;
    assert_eq!(keys(&either), sorted(&[left, invited, banned]));
}

async fn members_are_listed_as_they_were_at_a_token(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "only two of us").await;
    let then = alice.sync().until_event(&room, &event).await;
    bob.leave(&room).await;
    carol.join(&room).await;
    let request = alice.get(path(["rooms", &room, "members"])).query("membership", "join");
    let old = request.clone().query("at", then.next_batch()).ok().await;
    assert_eq!(keys(&old), sorted(&[&alice, &bob]));
    assert_eq!(keys(&request.ok().await), sorted(&[&alice, &carol]));
}

/// T15-like
async fn a_former_member_sees_those_of_their_time(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob]).await;
    bob.leave(&room).await;
    carol.join(&room).await;
    let members = bob.get(path(["rooms", &room, "members"])).ok().await;
    assert_eq!(keys(&members), sorted(&[&alice, &bob]));
}

async fn a_member_is_a_whole_event(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let members = alice.get(path(["rooms", &room, "members"])).ok().await;
    let member = &members["chunk"][0];
    assert_eq!(member["type"], "m.room.member");
    assert_eq!(member["sender"], alice.id.as_str());
    assert_eq!(member["room_id"], room.as_str());
    assert_eq!(member["content"]["membership"], "join");
    let event = member["event_id"].as_str().expect("an event ID");
    assert_eq!(alice.event(&room, event).ok().await["type"], "m.room.member");
}
