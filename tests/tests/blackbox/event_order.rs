//! Events come in any order, more than once, and some never: what is shown is the same.

use skerry_tests::{
    Server, User, json, message,
    peer::{Draft, Event, Peer, PeerRoom, outcome_name},
};

both_hosts![
    children_wait_for_their_parents,
    an_event_waits_for_those_that_authorize_it,
    an_event_whose_ancestors_never_come_does_no_harm,
    t5_a_flood_of_orphans_pushes_out_its_own,
    an_event_is_taken_once,
    an_outlier_is_not_shown,
    an_outlier_that_comes_live_is_shown,
    an_outlier_needs_its_auth_events,
    t3a_a_late_event_of_a_banned_user_is_soft_failed,
    t3a_a_soft_failed_event_is_used_by_what_builds_on_it,
];

/// A public room of Alice's with Carol and Dave of the peer in it.
async fn trio(server: &Server) -> (User, String, String, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let room = alice.public_room(&[]).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
    let joins = [room.add(Draft::join(&carol)), room.add(Draft::join(&dave))];
    room.accept(server, &[&joins[0], &joins[1]]).await;
    (alice, carol, dave, room)
}

fn accepted() -> skerry_tests::Value {
    json!({ "accepted": { "redacted": false } })
}

async fn children_wait_for_their_parents(server: &Server) {
    let (alice, carol, dave, mut room) = trio(server).await;
    let mut watch = alice.watch().await;
    let chain: Vec<_> = (0..4)
        .map(|number| room.add(Draft::message(if number % 2 == 0 { &carol } else { &dave }, "?")))
        .collect();
    for number in [3, 2, 1] {
        let outcome = room.send(server, &[&chain[number]]).await;
        let missing = &chain[number - 1].id;
        assert_eq!(outcome, [json!({ "waits": { "auth": [], "prev": [missing] } })]);
        alice.is_not_shown(&room.id, &chain[number].id).await;
    }
    // Meanwhile the room goes on without them.
    let own = alice.say(&room.id, "nobody else here?").await;
    assert_eq!(room.read(&alice, &own).await.prev(), chain[0].prev());
    assert_eq!(room.send(server, &[&chain[0]]).await, [accepted()]);
    watch.event(&room.id, &chain[3].id).await;
    let chain: Vec<_> = chain.into_iter().map(|it| it.id).collect();
    assert_eq!(alice.history_from(&room.id, &chain[0]).await, chain);
    let next = alice.say(&room.id, "there you are").await;
    let mut prev = room.read(&alice, &next).await.prev();
    let mut expected = vec![own, chain[3].clone()];
    prev.sort();
    expected.sort();
    assert_eq!(prev, expected);
}

async fn an_event_waits_for_those_that_authorize_it(server: &Server) {
    let (alice, _, _, mut room) = trio(server).await;
    let erin = room.peer.user("erin");
    let base = room.end();
    let join = room.add(Draft::join(&erin));
    let hello = room.add(Draft::message(&erin, "hello"));
    let outcome = room.send(server, &[&hello]).await;
    assert_eq!(outcome, [json!({ "waits": { "auth": [join.id], "prev": [join.id] } })]);
    // Not behind the missing join, but authorized by it.
    let aside = room.stray(Draft::message(&erin, "me too").after(&[&base]).auth(hello.auth()));
    let outcome = room.send(server, &[&aside]).await;
    assert_eq!(outcome, [json!({ "waits": { "auth": [join.id], "prev": [] } })]);
    assert_eq!(room.send(server, &[&join]).await, [accepted()]);
    alice.is_shown(&room.id, &hello.id, &message("hello")).await;
    // Before its own join nobody speaks.
    alice.is_not_shown(&room.id, &aside.id).await;
    assert_eq!(room.send(server, &[&aside]).await, [json!("known")]);
}

async fn an_event_whose_ancestors_never_come_does_no_harm(server: &Server) {
    let (alice, carol, _, mut room) = trio(server).await;
    let good = room.end();
    let lost = vec!["$bG9zdC1hbmQtbmV2ZXItZm91bmQtYWdhaW4tYXQtYWxs".to_owned()];
    let auth = room.stray(Draft::message(&carol, "never sent")).auth();
    let orphan = Draft::message(&carol, "an orphan").after_ids(lost.clone());
    let orphan = room.stray(orphan.auth(auth.clone()));
    let child = Draft::message(&carol, "its child").after(&[&orphan]).auth(auth.clone());
    let child = room.stray(child);
    let mixed = vec![lost[0].clone(), good.id.clone()];
    let mixed = room.stray(Draft::message(&carol, "half an orphan").after_ids(mixed));
    let deep = Draft::message(&carol, "very deep").after_ids(lost.clone()).auth(auth);
    let deep = room.stray(deep.with("depth", json!(9_007_199_254_740_991_i64)));
    for (event, missing) in [(&orphan, &lost), (&child, &vec![orphan.id.clone()]), (&mixed, &lost)]
    {
        let waits = json!({ "waits": { "auth": [], "prev": missing } });
        assert_eq!(room.send(server, &[event]).await, std::slice::from_ref(&waits));
        assert_eq!(room.send(server, &[event]).await, [waits], "it still waits");
        alice.is_not_shown(&room.id, &event.id).await;
    }
    room.send(server, &[&deep]).await;
    let next = alice.say(&room.id, "undisturbed").await;
    let next = room.read(&alice, &next).await;
    assert_eq!(next.prev(), [good.id.as_str()]);
    assert!(next.pdu["depth"].as_u64() < Some(100), "{}", next.pdu);
    let later = room.add(Draft::message(&carol, "later").after(&[&next]));
    room.accept(server, &[&later]).await;
}

/// T5
async fn t5_a_flood_of_orphans_pushes_out_its_own(server: &Server) {
    let (alice, carol, _, mut room) = trio(server).await;
    let (parent, child) =
        (room.add(Draft::message(&carol, "first")), room.add(Draft::message(&carol, "second")));
    let outcome = room.send(server, &[&child]).await.remove(0);
    assert_eq!(outcome_name(&outcome), "waits", "{outcome}");
    let flood = Peer::new("flood.example");
    let mallory = flood.user("mallory");
    let base = room.event(&parent.prev()[0]).clone();
    let join = room.signed_by(&flood, Draft::join(&mallory).after(&[&base]));
    let hand = |room: PeerRoom, events: Vec<Event>| {
        let flood = flood.clone();
        async move {
            let events: Vec<_> = events.iter().collect();
            room.hand_with(server, "live", &events, json!([]), &[&flood]).await
        }
    };
    assert_eq!(hand(room.clone(), vec![join.clone()]).await, [accepted()]);
    let auth = room.stray(Draft::message(&mallory, "joined").after(&[&join])).auth();
    // More than a room keeps, in parts as large as a transaction.
    for part in 0..22 {
        let orphans = (0..50).map(|number| {
            let lost = format!("${part:_>20}{number:_>23}");
            let orphan = Draft::message(&mallory, "flood").after_ids(vec![lost]);
            room.signed_by(&flood, orphan.auth(auth.clone()))
        });
        let orphans = orphans.collect();
        for outcome in hand(room.clone(), orphans).await {
            assert_eq!(outcome_name(&outcome), "waits", "{outcome}");
        }
    }
    room.accept(server, &[&parent]).await;
    alice.is_shown(&room.id, &child.id, &message("second")).await;
}

async fn an_event_is_taken_once(server: &Server) {
    let (alice, carol, _, mut room) = trio(server).await;
    let mut watch = alice.watch().await;
    let first = room.add(Draft::message(&carol, "once"));
    let topic = json!({ "topic": "mine" });
    let rejected = room.stray(Draft::state(&carol, "m.room.topic", "", topic));
    let outcomes = room.send(server, &[&first, &first]).await;
    assert_eq!(outcomes, [accepted(), json!("known")]);
    room.refuse(server, &rejected, "rejected").await;
    for kind in ["live", "outlier", "live"] {
        let outcomes = room.hand(server, kind, &[&first, &rejected]).await;
        assert_eq!(outcomes, [json!("known"), json!("known")], "{kind}");
    }
    let last = room.add(Draft::message(&carol, "and never again"));
    room.accept(server, &[&last]).await;
    watch.event(&room.id, &last.id).await;
    assert_eq!(watch.seen_in(&room.id), [&first.id, &last.id]);
    // What Skerry sent itself comes back from others.
    let own = alice.say(&room.id, "mine").await;
    let own = room.read(&alice, &own).await;
    assert_eq!(room.send(server, &[&own]).await, [json!("known")]);
}

async fn an_outlier_is_not_shown(server: &Server) {
    let (alice, carol, _, mut room) = trio(server).await;
    let good = room.end();
    let before = alice.sync().get().await;
    let outliers = [
        room.stray(Draft::message(&carol, "an outlier")),
        room.stray(Draft::member(&carol, &carol, "leave")),
        room.stray(Draft::join(&room.peer.user("erin"))),
    ];
    let outcomes = room.hand(server, "outlier", &outliers.each_ref()).await;
    assert_eq!(outcomes, [accepted(), accepted(), accepted()]);
    for event in &outliers {
        alice.is_not_shown(&room.id, &event.id).await;
    }
    assert_eq!(alice.membership_in(&room.id, &carol).await, "join");
    assert_eq!(alice.joined_members(&room.id).await.len(), 3);
    let sync = alice.sync().since(before.next_batch()).query("timeout", 0).get().await;
    assert!(sync.joined(&room.id).is_none(), "{}", sync.json);
    let next = alice.say(&room.id, "undisturbed").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [good.id]);
}

async fn an_outlier_that_comes_live_is_shown(server: &Server) {
    let (alice, carol, _, mut room) = trio(server).await;
    let mut watch = alice.watch().await;
    let erin = room.peer.user("erin");
    let join = room.add(Draft::join(&erin));
    let hello = room.add(Draft::message(&carol, "hello Erin"));
    room.hand(server, "outlier", &[&join, &hello]).await;
    let first = alice.say(&room.id, "in between").await;
    watch.event(&room.id, &first).await;
    room.accept(server, &[&join, &hello]).await;
    watch.event(&room.id, &hello.id).await;
    assert_eq!(watch.seen_in(&room.id), [&first, &join.id, &hello.id]);
    assert_eq!(alice.membership_in(&room.id, &erin).await, "join");
    assert_eq!(alice.joined_members(&room.id).await.len(), 4);
    let history = alice.history_from(&room.id, &first).await;
    assert_eq!(history, [first, join.id, hello.id.clone()]);
    alice.is_shown(&room.id, &hello.id, &message("hello Erin")).await;
    let next = alice.say(&room.id, "welcome").await;
    assert!(room.read(&alice, &next).await.prev().contains(&hello.id));
}

async fn an_outlier_needs_its_auth_events(server: &Server) {
    let (alice, _, _, mut room) = trio(server).await;
    let erin = room.peer.user("erin");
    let join = room.add(Draft::join(&erin));
    let renamed = json!({ "membership": "join", "displayname": "Erin" });
    let renamed = room.add(Draft::state(&erin, "m.room.member", &erin, renamed));
    let outcome = room.hand(server, "outlier", &[&renamed]).await;
    assert_eq!(outcome, [json!({ "waits": { "auth": [join.id], "prev": [] } })]);
    let outcomes = room.hand(server, "outlier", &[&renamed, &join]).await;
    assert_eq!(outcomes, [accepted(), accepted()], "the order does not matter");
    alice.is_not_shown(&room.id, &renamed.id).await;
}

/// T3a, T6b
async fn t3a_a_late_event_of_a_banned_user_is_soft_failed(server: &Server) {
    let (alice, carol, _, mut room) = trio(server).await;
    let base = room.end();
    let before = alice.sync().get().await;
    alice.ban(&room.id, &carol).await;
    let ban = alice.state_ids(&room.id).await[&("m.room.member".to_owned(), carol.clone())].clone();
    let content = json!({ "membership": "join", "displayname": "still here" });
    for draft in [
        Draft::message(&carol, "as if before the ban"),
        Draft::member(&carol, &carol, "leave"),
        Draft::state(&carol, "m.room.member", &carol, content),
    ] {
        let event = room.stray(draft.after(&[&base]));
        room.refuse(server, &event, "soft_failed").await;
        alice.is_not_shown(&room.id, &event.id).await;
        assert_eq!(room.send(server, &[&event]).await, [json!("known")]);
    }
    assert_eq!(alice.membership_in(&room.id, &carol).await, "ban");
    let next = alice.say(&room.id, "undisturbed").await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &next).await;
    let timeline = sync.joined(&room.id).expect("the room").timeline().to_vec();
    assert_eq!(skerry_tests::ids(&timeline), [&ban, &next]);
    room.read(&alice, &ban).await;
    assert_eq!(room.read(&alice, &next).await.prev(), [ban]);
}

/// T3a
async fn t3a_a_soft_failed_event_is_used_by_what_builds_on_it(server: &Server) {
    let (alice, carol, dave, mut room) = trio(server).await;
    let base = room.end();
    alice.ban(&room.id, &carol).await;
    let ban = alice.state_ids(&room.id).await[&("m.room.member".to_owned(), carol.clone())].clone();
    let ban = room.read(&alice, &ban).await;
    let late = room.stray(Draft::message(&carol, "as if before the ban").after(&[&base]));
    room.refuse(server, &late, "soft_failed").await;
    // Dave's server saw it in time.
    let reply = room.stray(Draft::message(&dave, "I heard her").after(&[&late]));
    let merge = room.stray(Draft::message(&dave, "and of the ban").after(&[&reply, &ban]));
    room.accept(server, &[&reply, &merge]).await;
    alice.is_shown(&room.id, &merge.id, &message("and of the ban")).await;
    alice.is_not_shown(&room.id, &late.id).await;
    let next = alice.say(&room.id, "one line again").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [merge.id]);
}
