//! Who is there, among users of one server (F17), and to whom profiles are shown (T15d).

use skerry_tests::{
    Host, Options, PATIENCE, Request, Server, Sync, User, Value, Watch, json, path,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

private_server![
    native: Native => [
        f17_who_shares_a_room_sees_who_is_there,
        f17_who_does_not_ask_any_more_is_offline,
        f17_what_clients_say_by_asking_counts,
        f17_where_presence_is_off_nobody_is_told,
        t15d_a_limited_profile_is_shown_to_those_who_share_a_room,
    ],
    worker: Worker => [
        f17_who_shares_a_room_sees_who_is_there,
        f17_who_does_not_ask_any_more_is_offline,
        f17_what_clients_say_by_asking_counts,
        f17_where_presence_is_off_nobody_is_told,
        t15d_a_limited_profile_is_shown_to_those_who_share_a_room,
    ],
];

/// A server that tells of users those whom it is to tell.
pub(crate) fn telling(host: Host, presence: &str) -> Server {
    Server::start(host, Options { presence: presence.to_owned(), ..Options::default() })
}

pub(crate) fn status_path(user: &str) -> String {
    path(["presence", user, "status"])
}

pub(crate) fn setting(user: &User, presence: &str, message: Option<&str>) -> Request {
    let mut body = json!({ "presence": presence });
    if let Some(message) = message {
        body["status_msg"] = json!(message);
    }
    user.put(status_path(&user.id)).json(&body)
}

/// What a sync says of a user.
pub(crate) fn status(sync: &Sync, user: &str) -> Option<Value> {
    let events = sync.json["presence"]["events"].as_array().expect("a list");
    let event = events.iter().find(|it| it["sender"] == user)?;
    assert_eq!(event["type"], "m.presence");
    Some(event["content"].clone())
}

/// Syncs on until a user is shown to be so.
pub(crate) async fn until_status(watch: &mut Watch, user: &str, presence: &str) -> Value {
    let what = format!("that {user} is {presence}");
    let is_so = |sync: &Sync| status(sync, user).filter(|it| it["presence"] == presence);
    watch.until(&what, is_so).await
}

/// Asks until a user is so, who is not shown to be so by anybody's asking.
async fn until_found(asker: &User, user: &str, presence: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = asker.get(status_path(user)).ok().await;
        if found["presence"] == presence {
            return found;
        }
        assert!(Instant::now() < deadline, "{user} is {found}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn f17_who_shares_a_room_sees_who_is_there(host: Host) {
    let server = telling(host, "local");
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let carol = User::register(&server, "carol").await;
    let (mut of_bob, mut of_carol) = (bob.watch().await, carol.watch().await);
    setting(&alice, "online", Some("here")).ok().await;
    let shown = until_status(&mut of_bob, &alice.id, "online").await;
    assert_eq!((&shown["status_msg"], &shown["currently_active"]), (&json!("here"), &json!(true)));
    assert!(shown["last_active_ago"].as_u64().is_some_and(|it| it < 60_000), "{shown}");
    let found = bob.get(status_path(&alice.id)).ok().await;
    assert_eq!(found["presence"], "online");
    // One's own is shown as well.
    let own = alice.sync().get().await;
    assert_eq!(status(&own, &alice.id).expect("it is shown")["status_msg"], "here");
    // Who begins learns of those who are there.
    setting(&alice, "unavailable", Some("away")).ok().await;
    let shown = until_status(&mut of_bob, &alice.id, "unavailable").await;
    assert_eq!(shown["currently_active"], false);
    let begun = bob.sync().until("alice", |sync| status(sync, &alice.id)).await;
    assert_eq!(begun["status_msg"], "away");
    // So does who comes.
    alice.get(status_path(&carol.id)).refused(403, "M_FORBIDDEN").await;
    carol.get(status_path(&alice.id)).refused(403, "M_FORBIDDEN").await;
    let before = of_carol.next().await;
    assert_eq!(status(&before, &alice.id), None, "they share no room");
    setting(&alice, "unavailable", Some("away")).ok().await;
    carol.join(&room).await;
    until_status(&mut of_carol, &alice.id, "unavailable").await;
    until_status(&mut of_bob, &carol.id, "online").await;
    // A filter keeps statuses out.
    let none = json!({ "presence": { "not_types": ["m.presence"] } });
    let filtered = bob.sync().filter(&none).get().await;
    assert_eq!(filtered.json["presence"]["events"], json!([]));
    setting(&alice, "busy", None).refused(400, "M_INVALID_PARAM").await;
    setting(&alice, "online", Some(&"x".repeat(300))).refused(400, "M_INVALID_PARAM").await;
    let others = alice.put(status_path(&bob.id)).json(&json!({ "presence": "online" }));
    others.refused(403, "M_FORBIDDEN").await;
}

async fn f17_who_does_not_ask_any_more_is_offline(host: Host) {
    let server = telling(host, "local");
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    alice.public_room(&[&bob]).await;
    let mut of_bob = bob.watch().await;
    let first = alice.sync().get().await;
    until_status(&mut of_bob, &alice.id, "online").await;
    until_status(&mut of_bob, &alice.id, "offline").await;
    // Who waits is there, and comes back at once.
    let waiting = alice.sync().since(first.next_batch()).query("timeout", 1_000).get();
    let (_, shown) = tokio::join!(waiting, until_status(&mut of_bob, &alice.id, "online"));
    assert_eq!(shown["presence"], "online");
    assert_eq!(bob.get(status_path(&bob.id)).ok().await["presence"], "online");
}

async fn f17_what_clients_say_by_asking_counts(host: Host) {
    let server = telling(host, "local");
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let hidden = alice.sync().query("set_presence", "offline").get().await;
    assert_eq!(status(&hidden, &alice.id), None);
    assert_eq!(bob.get(status_path(&alice.id)).ok().await["presence"], "offline");
    let idle = async |since: &str| {
        let idle = alice.sync().since(since).query("set_presence", "unavailable");
        idle.get().await
    };
    let asked = idle(hidden.next_batch()).await;
    let found = until_found(&bob, &alice.id, "unavailable").await;
    assert_eq!(found["currently_active"], false);
    // Who says something is not idle.
    alice.say(&room, "hello").await;
    let asked = idle(asked.next_batch()).await;
    assert!(asked.joined(&room).is_some(), "{}", asked.json);
    until_found(&bob, &alice.id, "online").await;
    setting(&alice, "offline", Some("gone")).ok().await;
    let found = bob.get(status_path(&alice.id)).ok().await;
    assert_eq!((&found["presence"], found.get("status_msg")), (&json!("offline"), None));
}

async fn f17_where_presence_is_off_nobody_is_told(host: Host) {
    let server = telling(host, "off");
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut of_bob = bob.watch().await;
    assert_eq!(setting(&alice, "online", Some("here")).ok().await, json!({}));
    for user in [&alice, &bob] {
        bob.get(status_path(&user.id)).refused(404, "M_NOT_FOUND").await;
    }
    let said = alice.say(&room, "hello").await;
    let is_there = |sync: &Sync| {
        assert_eq!(sync.json["presence"]["events"], json!([]));
        sync.joined(&room)?.event(&said).cloned()
    };
    of_bob.until("a message", is_there).await;
    let begun = bob.sync().get().await;
    assert_eq!(begun.json["presence"]["events"], json!([]));
}

async fn t15d_a_limited_profile_is_shown_to_those_who_share_a_room(host: Host) {
    let server = Server::start(host, Options { limit_profile: true, ..Options::default() });
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let name = json!({ "displayname": "Alice" });
    let field = path(["profile", &alice.id, "displayname"]);
    let profile = path(["profile", &alice.id]);
    alice.put(&field).json(&name).ok().await;
    for path in [&field, &profile] {
        assert_eq!(alice.get(path).ok().await, name, "one's own");
        bob.get(path).refused(403, "M_FORBIDDEN").await;
        server_client(&server).get(path).refused(403, "M_FORBIDDEN").await;
    }
    let nobody = path(["profile", "@nobody:localhost"]);
    bob.get(&nobody).refused(403, "M_FORBIDDEN").await;
    let room = alice.public_room(&[&bob]).await;
    for path in [&field, &profile] {
        assert_eq!(bob.get(path).ok().await, name);
    }
    bob.leave(&room).await;
    bob.get(&profile).refused(403, "M_FORBIDDEN").await;
}

fn server_client(server: &Server) -> skerry_tests::Client {
    skerry_tests::Client::new(server.url())
}
