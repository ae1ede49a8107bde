//! Long-polls: they wait, wake for everything that a sync can tell, and end when their time is up.

use skerry_tests::{Request, Server, Sync, User, ids, json, path, peer::Draft, remote::Remote};
use std::future::Future;
use std::time::Duration;
use tokio::{task::JoinSet, time::Instant};

both_hosts![
    a_poll_waits_until_its_time_is_up,
    a_poll_without_a_timeout_answers_at_once,
    a_poll_with_news_answers_at_once,
    a_message_wakes_a_poll,
    an_invite_wakes_a_poll,
    account_data_wakes_a_poll,
    room_account_data_and_tags_wake_a_poll,
    typing_wakes_a_poll,
    a_receipt_wakes_a_poll,
    being_kicked_wakes_a_poll,
    several_polls_of_one_user_wake_together,
    a_message_elsewhere_wakes_nobody,
    a_filtered_message_is_not_told,
    an_abandoned_poll_loses_nothing,
    c11_polls_wait_also_when_all_places_are_taken,
    c15_a_message_wakes_a_poll_after_one_that_was_refused,
    c15_an_event_wakes_a_poll_after_one_that_was_known,
];

/// Far longer than any wake-up, far shorter than the poll itself.
const PROMPT: Duration = Duration::from_secs(5);
const POLL_MS: u64 = 25_000;
/// Polls of one user that may wait at the same time, at most, in a build with the test routes. A
/// host may have a place for every poll.
const PLACES: usize = 16;

/// A sync with nothing pending, whose long-poll really waits.
async fn settled(user: &User) -> String {
    let mut since = user.sync().get().await.next_batch().to_owned();
    loop {
        let sync = user.sync().since(&since).query("timeout", 200).get().await;
        sync.next_batch().clone_into(&mut since);
        if sync.is_empty() {
            return since;
        }
    }
}

/// Polls, acts, and hands over the answer, which must come promptly after the act.
async fn woken_by<T>(user: &User, act: impl Future<Output = T>) -> (Sync, T) {
    let since = settled(user).await;
    let poll = async {
        let sync = user.sync().since(&since).query("timeout", POLL_MS).get().await;
        (sync, Instant::now())
    };
    let act = async {
        // The poll has to be waiting; a request of the same user cannot tell, but takes as long.
        user.get("/account/whoami").ok().await;
        let started = Instant::now();
        (act.await, started)
    };
    let ((sync, woken), (result, started)) = tokio::join!(poll, act);
    let took = woken.saturating_duration_since(started);
    assert!(took < PROMPT, "woke after {took:?}: {}", sync.json);
    (sync, result)
}

/// C15
async fn c15_a_message_wakes_a_poll_after_one_that_was_refused(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let mut levels = alice.state(&room, "m.room.power_levels", "").ok().await;
    levels["events"]["org.example.heavy"] = json!(50);
    alice.set_state(&room, "m.room.power_levels", "", &levels).await;
    settled(&alice).await;
    bob.sending(&room, "org.example.heavy", &json!({})).refused(403, "M_FORBIDDEN").await;
    let (sync, said) = woken_by(&alice, bob.say(&room, "hello")).await;
    assert_eq!(ids(sync.joined(&room).expect("the room").timeline()), [said.as_str()]);
}

/// C15
async fn c15_an_event_wakes_a_poll_after_one_that_was_known(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let carol = remote.peer.user("carol");
    let known = room.end();
    settled(&alice).await;
    remote.send(server, &[&known]).await;
    let hello = room.add(Draft::message(&carol, "hello"));
    let (sync, _) = woken_by(&alice, remote.send(server, &[&hello])).await;
    assert_eq!(ids(sync.joined(&room.id).expect("the room").timeline()), [hello.id.as_str()]);
}

async fn a_poll_waits_until_its_time_is_up(server: &Server) {
    let alice = User::register(server, "alice").await;
    let since = settled(&alice).await;
    let started = Instant::now();
    let sync = alice.sync().since(&since).query("timeout", 700).get().await;
    let took = started.elapsed();
    assert!((700..8_000).contains(&took.as_millis()), "answered after {took:?}: {}", sync.json);
    assert!(sync.is_empty(), "{}", sync.json);
}

async fn a_poll_without_a_timeout_answers_at_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let since = settled(&alice).await;
    let started = Instant::now();
    alice.sync().since(&since).get().await;
    alice.sync().since(&since).query("timeout", 0).get().await;
    assert!(started.elapsed() < PROMPT, "took {:?}", started.elapsed());
}

async fn a_poll_with_news_answers_at_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let old = alice.say(&room, "old").await;
    let first = alice.sync().until_event(&room, &old).await;
    let new = alice.say(&room, "new").await;
    let started = Instant::now();
    let sync = alice.sync().since(first.next_batch()).query("timeout", POLL_MS).get().await;
    assert!(started.elapsed() < PROMPT, "took {:?}", started.elapsed());
    assert!(sync.joined(&room).is_some_and(|it| it.event(&new).is_some()), "{}", sync.json);
}

/// S-B1
async fn a_message_wakes_a_poll(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let (sync, sent) = woken_by(&bob, alice.say(&room, "wake up")).await;
    let section = sync.joined(&room).expect("the room");
    assert!(section.event(&sent).is_some(), "{}", section.0);
}

async fn an_invite_wakes_a_poll(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({})).await;
    let (sync, _) = woken_by(&bob, alice.invite(&room, &bob)).await;
    assert!(sync.room("invite", &room).is_some(), "{}", sync.json);
}

async fn account_data_wakes_a_poll(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let data = phone.put(path(["user", &alice.id, "account_data", "org.example"]));
    let (sync, _) = woken_by(&alice, data.json(&json!({ "a": 1 })).ok()).await;
    assert_eq!(sync.account_data("org.example"), Some(&json!({ "a": 1 })), "{}", sync.json);
}

async fn room_account_data_and_tags_wake_a_poll(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let data = path(["user", &alice.id, "rooms", &room, "account_data", "org.example"]);
    let (sync, _) = woken_by(&alice, alice.put(&data).json(&json!({ "a": 1 })).ok()).await;
    assert!(sync.joined(&room).is_some_and(|it| it.account_data("org.example").is_some()));
    let tag = path(["user", &alice.id, "rooms", &room, "tags", "m.favourite"]);
    let (sync, _) = woken_by(&alice, alice.put(&tag).ok()).await;
    assert!(sync.joined(&room).is_some_and(|it| it.account_data("m.tag").is_some()));
}

async fn typing_wakes_a_poll(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let typing = json!({ "typing": true, "timeout": 30_000 });
    let act = bob.put(path(["rooms", &room, "typing", &bob.id])).json(&typing).ok();
    let (sync, _) = woken_by(&alice, act).await;
    assert!(sync.joined(&room).is_some_and(|it| it.ephemeral("m.typing").is_some()));
}

async fn a_receipt_wakes_a_poll(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    let act: Request = bob.post(path(["rooms", &room, "receipt", "m.read", &event]));
    let (sync, _) = woken_by(&alice, act.ok()).await;
    assert!(sync.joined(&room).is_some_and(|it| it.ephemeral("m.receipt").is_some()));
}

async fn being_kicked_wakes_a_poll(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let (sync, _) = woken_by(&bob, alice.on_member(&room, "kick", &bob).ok()).await;
    assert!(sync.room("leave", &room).is_some(), "{}", sync.json);
}

async fn several_polls_of_one_user_wake_together(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &bob.id).await;
    let room = alice.public_room(&[&bob]).await;
    let since = settled(&bob).await;
    let poll = |user: &User| user.sync().since(&since).query("timeout", POLL_MS).get();
    let act = async {
        bob.get("/account/whoami").ok().await;
        (alice.say(&room, "wake up").await, Instant::now())
    };
    let (first, second, third, (sent, at)) =
        tokio::join!(poll(&bob), poll(&bob), poll(&phone), act);
    assert!(at.elapsed() < PROMPT, "the last answered after {:?}", at.elapsed());
    for sync in [first, second, third] {
        assert!(sync.joined(&room).is_some_and(|it| it.event(&sent).is_some()), "{}", sync.json);
    }
}

async fn a_message_elsewhere_wakes_nobody(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({})).await;
    let since = settled(&bob).await;
    let started = Instant::now();
    let poll = bob.sync().since(&since).query("timeout", 1_000).get();
    let (sync, _) = tokio::join!(poll, alice.say(&room, "not for bob"));
    assert!(started.elapsed() >= Duration::from_secs(1), "{}", sync.json);
    assert!(sync.joined(&room).is_none(), "{}", sync.json);
}

async fn a_filtered_message_is_not_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let filter = json!({ "room": { "timeline": { "not_types": ["m.room.message"] } } });
    let mut watch = skerry_tests::Watch::from(&bob, &settled(&bob).await).filtered(filter);
    let hidden = alice.say(&room, "hidden").await;
    let shown = alice.send(&room, "org.example.shown", &json!({})).await;
    watch.event(&room, &shown).await;
    assert!(!watch.seen_in(&room).contains(&hidden.as_str()));
}

async fn an_abandoned_poll_loses_nothing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let since = settled(&bob).await;
    for _ in 0..3 {
        let poll = bob.sync().since(&since).query("timeout", POLL_MS).get();
        let abandoned = tokio::time::timeout(Duration::from_millis(50), poll).await;
        assert!(abandoned.is_err(), "there was nothing to tell");
    }
    let sent = alice.say(&room, "hello").await;
    let sync = bob.sync().since(&since).until_event(&room, &sent).await;
    assert_eq!(skerry_tests::ids(sync.joined(&room).expect("the room").timeline()), [&sent]);
}

/// C11: neither who finds all places taken nor who has lost one is answered with nothing: they
/// would ask again at once. News reaches all of them, and other users notice nothing.
async fn c11_polls_wait_also_when_all_places_are_taken(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let (since, since_of_bob) = (settled(&alice).await, settled(&bob).await);
    let mut polls = JoinSet::new();
    for _ in 0..PLACES + 4 {
        polls.spawn(alice.sync().since(&since).query("timeout", POLL_MS).get());
    }
    for _ in 0..4 {
        let poll = bob.sync().since(&since_of_bob).query("timeout", 700).get();
        let started = Instant::now();
        let (sync, _) = tokio::join!(poll, async {
            let needs_no_place = alice.sync().since(&since).query("timeout", 0).get().await;
            assert!(started.elapsed() < PROMPT, "took {:?}", started.elapsed());
            needs_no_place
        });
        assert!(sync.is_empty() && started.elapsed().as_millis() >= 700, "{}", sync.json);
    }
    assert!(polls.try_join_next().is_none(), "a poll was answered with nothing");
    let (_, sent) = woken_by(&bob, alice.say(&room, "news")).await;
    let sent_at = Instant::now();
    while let Some(sync) = polls.join_next().await {
        let sync = sync.expect("an answer");
        assert!(sync.joined(&room).is_some_and(|it| it.event(&sent).is_some()), "{}", sync.json);
    }
    assert!(sent_at.elapsed() < 2 * PROMPT, "the last answered after {:?}", sent_at.elapsed());
    // The places are free again.
    let (sync, sent) = woken_by(&alice, bob.say(&room, "more news")).await;
    assert!(sync.joined(&room).is_some_and(|it| it.event(&sent).is_some()), "{}", sync.json);
}
