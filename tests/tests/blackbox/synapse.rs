//! Rooms that users of Skerry and users of Synapse share.

mod changes;
mod ephemeral;
mod gaps;
mod invites;
mod joins;
mod keys;
mod messages;
mod outages;
mod presence;
mod reads;
mod three_servers;

use skerry_tests::{
    Homeserver, PATIENCE, Request, User, Value, encode, json, path, peer::StateIds, unique,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The room versions that both of them know, of those that rooms are still made in.
const VERSIONS: [&str; 3] = ["10", "11", "12"];

/// Between two looks at what must change.
const LOOK: Duration = Duration::from_millis(20);

/// A user of each server, once in this order and once in the other: the first one is at home in the
/// room of a test, the other one is a guest.
async fn both_ways(one: &impl Homeserver, other: &impl Homeserver) -> [(User, User); 2] {
    let first = (User::register(one, "home").await, User::register(other, "guest").await);
    let second = (User::register(other, "home").await, User::register(one, "guest").await);
    [first, second]
}

/// The name of a user's server.
fn server_of(user: &User) -> &str {
    user.id.split_once(':').expect("a user ID").1
}

/// A request to join a room by its ID or its address, by way of that user's server.
fn joining(user: &User, room: &str, via: &User) -> Request {
    user.post(format!("/join{}?via={}", path([room]), encode(server_of(via))))
}

/// A room that the one has made so, and the other has joined.
async fn shared_room(home: &User, guest: &User, options: &Value) -> String {
    let room = home.create_room(options).await;
    joining(guest, &room, home).ok().await;
    agree(home, guest, &room).await;
    room
}

/// The same, public, of a version that is usual.
async fn public_room(home: &User, guest: &User) -> String {
    shared_room(home, guest, &json!({ "preset": "public_chat", "room_version": "11" })).await
}

/// An address that no other room has, and what it is after it is set.
fn address(home: &User) -> (String, String) {
    let local = unique("harbor");
    let whole = format!("#{local}:{}", server_of(home));
    (local, whole)
}

/// What has a sync show all that a test has said.
fn long_timelines() -> Value {
    json!({ "room": { "timeline": { "limit": 100 } } })
}

/// Waits until both see the same state, and gives it.
async fn agree(one: &User, other: &User, room: &str) -> StateIds {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (left, right) = (one.state_ids(room).await, other.state_ids(room).await);
        if left == right {
            return left;
        }
        let differs = left.iter().filter(|it| !right.iter().any(|other| other == *it));
        let differs: Vec<_> = differs.collect();
        assert!(Instant::now() < deadline, "{room}: of {} {differs:?}", one.id);
        sleep(LOOK).await;
    }
}

/// Waits until a user is a member of that kind, as another one sees it.
async fn until_member(seer: &User, room: &str, user: &User, membership: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = seer.membership_in(room, &user.id).await;
        if found == membership {
            return;
        }
        assert!(Instant::now() < deadline, "{} sees {} of {found:?}", seer.id, user.id);
        sleep(LOOK).await;
    }
}

/// Both say something, and both hear it.
async fn talk(one: &User, other: &User, room: &str) {
    for (speaker, listener) in [(one, other), (other, one)] {
        let mut watch = listener.watch().await;
        let text = unique("hello");
        let said = speaker.say(room, &text).await;
        assert_eq!(watch.event(room, &said).await["content"]["body"], text.as_str());
    }
}
