//! Push rules, and what counts by them.

use skerry_tests::{Room, Server, User, Value, encode, json, message, path};

both_hosts![
    rules_are_added_changed_and_removed,
    rules_are_ordered,
    server_default_rules_are_changed,
    what_is_no_rule_is_refused,
    rules_come_down_sync_of_every_device,
    rules_are_not_told_to_others,
    t1d_there_are_only_so_many_rules,
    t1b_a_pattern_takes_no_longer_than_others,
    a_muted_room_counts_nothing,
    a_room_of_mentions_counts_mentions,
    a_keyword_is_highlighted,
    who_is_muted_counts_nothing,
    rules_on_the_room_count_by_what_it_is,
    a_change_of_rules_counts_what_is_unread_anew,
    rules_count_in_threads,
    rules_count_what_the_room_no_longer_remembers,
    a_call_counts,
    t11_who_is_ignored_never_counts,
];

fn rule(kind: &str, id: &str) -> String {
    format!("/pushrules/global/{kind}/{}", encode(id))
}

async fn put(user: &User, kind: &str, id: &str, body: &Value) {
    user.put(rule(kind, id)).json(body).ok().await;
}

async fn ids(user: &User, kind: &str) -> Vec<String> {
    let rules = user.get("/pushrules/").ok().await;
    let rules = rules["global"][kind].as_array().expect("rules").iter();
    rules.map(|it| it["rule_id"].as_str().expect("an ID").to_owned()).collect()
}

fn highlight() -> Value {
    json!(["notify", { "set_tweak": "highlight" }])
}

/// Notification and highlight counts.
fn counts(room: Room<'_>) -> Option<(u64, u64)> {
    let counts = room.0.get("unread_notifications")?;
    Some((counts["notification_count"].as_u64()?, counts["highlight_count"].as_u64()?))
}

/// The counts that an initial sync shows together with an event.
async fn counts_at(user: &User, room: &str, event: &str) -> (u64, u64) {
    let sync = user.sync().until_event(room, event).await;
    counts(sync.joined(room).expect("the room")).expect("counts")
}

async fn two(server: &Server) -> (User, User, String) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    (alice, bob, room)
}

async fn rules_are_added_changed_and_removed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let url = rule("content", "cake");
    alice.get(&url).refused(404, "M_NOT_FOUND").await;
    let added = json!({ "pattern": "ca*e", "actions": ["notify"] });
    alice.put(&url).json(&added).ok().await;
    let found = alice.get(&url).ok().await;
    let expected = json!({ "rule_id": "cake", "default": false, "enabled": true,
        "pattern": "ca*e", "actions": ["notify"] });
    assert_eq!(found, expected);
    let enabled = format!("{url}/enabled");
    assert_eq!(alice.get(&enabled).ok().await, json!({ "enabled": true }));
    alice.put(&enabled).json(&json!({ "enabled": false })).ok().await;
    assert_eq!(alice.get(&enabled).ok().await, json!({ "enabled": false }));
    let actions = format!("{url}/actions");
    let loud = json!({ "actions": highlight() });
    alice.put(&actions).json(&loud).ok().await;
    assert_eq!(alice.get(&actions).ok().await, loud);
    // What takes its place is enabled or not as it was.
    alice.put(&url).json(&added).ok().await;
    assert_eq!(alice.get(&enabled).ok().await, json!({ "enabled": false }));
    alice.delete(&url).ok().await;
    for url in [&url, &enabled, &actions] {
        alice.get(url).refused(404, "M_NOT_FOUND").await;
    }
    alice.delete(&url).refused(404, "M_NOT_FOUND").await;
    alice.put(&enabled).json(&json!({ "enabled": true })).refused(404, "M_NOT_FOUND").await;
    alice.put(&actions).json(&loud).refused(404, "M_NOT_FOUND").await;
}

async fn rules_are_ordered(server: &Server) {
    let alice = User::register(server, "alice").await;
    let add = async |id: &str, place: &[(&str, &str)]| {
        let mut request = alice.put(rule("override", id)).json(&json!({ "actions": [] }));
        for (name, value) in place {
            request = request.query(name, value);
        }
        request.send().await
    };
    for (id, place) in [
        ("b", &[][..]),
        ("d", &[("after", "b")]),
        ("a", &[]),
        ("c", &[("after", "b"), ("before", "d")]),
        ("a", &[("after", "d")]),
    ] {
        assert_eq!(add(id, place).await.status, 200, "{id}");
    }
    let expected = [".m.rule.master", "b", "c", "d", "a", ".m.rule.suppress_notices"];
    assert_eq!(ids(&alice, "override").await[..6], expected);
    for place in [("after", "x"), ("before", "x"), ("after", "e")] {
        let refused = add("e", &[place]).await;
        assert_eq!((refused.status, refused.errcode()), (400, "M_UNKNOWN"), "{place:?}");
    }
    for place in [("after", ".m.rule.master"), ("before", ".m.rule.call")] {
        let refused = add("e", &[place]).await;
        assert_eq!((refused.status, refused.errcode()), (400, "M_INVALID_PARAM"), "{place:?}");
    }
    assert_eq!(ids(&alice, "override").await[..6], expected, "nothing has changed");
}

async fn server_default_rules_are_changed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let master = rule("override", ".m.rule.master");
    alice.put(format!("{master}/enabled")).json(&json!({ "enabled": true })).ok().await;
    let call = rule("underride", ".m.rule.call");
    alice.put(format!("{call}/actions")).json(&json!({ "actions": [] })).ok().await;
    assert_eq!(alice.get(&master).ok().await["enabled"], true);
    assert_eq!(alice.get(&call).ok().await["actions"], json!([]));
    alice.put(&master).json(&json!({ "actions": [] })).refused(400, "M_INVALID_PARAM").await;
    alice.delete(&master).refused(400, "M_INVALID_PARAM").await;
    assert_eq!(ids(&alice, "override").await[0], ".m.rule.master");
}

async fn what_is_no_rule_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    let nothing = json!({ "actions": [] });
    for (kind, id) in [
        ("override", ".m.rule.own"),
        ("override", "a\\b"),
        ("override", "a/b"),
        ("room", "no-room"),
        ("sender", "nobody"),
        ("device", "a"),
    ] {
        alice.put(rule(kind, id)).json(&nothing).refused(400, "M_INVALID_PARAM").await;
    }
    alice.get(rule("device", "a")).refused(404, "M_NOT_FOUND").await;
    alice.put(rule("content", "a")).json(&nothing).refused(400, "M_MISSING_PARAM").await;
    alice.put(rule("override", "a")).json(&json!({})).refused(400, "M_MISSING_PARAM").await;
    let wrong = json!({ "actions": [], "conditions": [{ "kind": "event_match", "key": 5 }] });
    let refused = alice.put(rule("override", "a")).json(&wrong).send().await;
    assert_eq!(refused.status, 400, "{}", refused.errcode());
    assert_eq!(ids(&alice, "override").await[1], ".m.rule.suppress_notices");
}

async fn rules_come_down_sync_of_every_device(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let mut watches = [alice.watch().await, phone.watch().await];
    put(&alice, "content", "cake", &json!({ "pattern": "cake", "actions": ["notify"] })).await;
    let all = json!({ "global": alice.get("/pushrules/global/").ok().await });
    for watch in &mut watches {
        let found = watch.until("rules", |sync| sync.account_data("m.push_rules").cloned()).await;
        assert_eq!(found, all);
        // Told once.
        let next = alice.sync().since(&watch.clone().since).get().await;
        assert!(next.account_data("m.push_rules").is_none(), "{}", next.json);
    }
    let data = path(["user", &alice.id, "account_data", "m.push_rules"]);
    assert_eq!(alice.get(&data).ok().await, all);
    assert_eq!(alice.sync().get().await.account_data("m.push_rules"), Some(&all));
    alice.put(&data).json(&all).refused(405, "M_BAD_JSON").await;
}

/// S-C2
async fn rules_are_not_told_to_others(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let mut watch = bob.watch().await;
    put(&alice, "content", "x", &json!({ "pattern": "secretword", "actions": [] })).await;
    let last = alice.say(&room, "after it").await;
    let seen = watch.until("the message after it", |sync| {
        assert!(!sync.json.to_string().contains("secretword"), "{}", sync.json);
        sync.joined(&room)?.event(&last).cloned()
    });
    seen.await;
    assert!(!bob.get("/pushrules/").ok().await.to_string().contains("secretword"));
}

async fn t1d_there_are_only_so_many_rules(server: &Server) {
    let alice = User::register(server, "alice").await;
    let large = "x".repeat(60_000);
    let condition = json!({ "kind": "event_match", "key": large, "pattern": "x" });
    let large = json!({ "conditions": [condition], "actions": [] });
    for id in ["a", "b", "c"] {
        put(&alice, "override", id, &large).await;
    }
    alice.put(rule("override", "d")).json(&large).refused(413, "M_TOO_LARGE").await;
    put(&alice, "override", "a", &json!({ "actions": [] })).await;
    let long = json!({ "pattern": "x".repeat(256), "actions": [] });
    alice.put(rule("content", "d")).json(&long).refused(413, "M_TOO_LARGE").await;
}

/// T1b: with backtracking this would never end.
async fn t1b_a_pattern_takes_no_longer_than_others(server: &Server) {
    let (alice, bob, room) = two(server).await;
    for number in 0..20 {
        let pattern = format!("{}b{number}", "a*".repeat(125));
        let id = number.to_string();
        put(&bob, "content", &id, &json!({ "pattern": pattern, "actions": highlight() })).await;
    }
    let mut last = String::new();
    for _ in 0..5 {
        last = alice.say(&room, &"a".repeat(60_000)).await;
    }
    assert_eq!(counts_at(&bob, &room, &last).await, (5, 0));
}

async fn a_muted_room_counts_nothing(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let other = alice.public_room(&[&bob]).await;
    let carol = User::register(server, "carol").await;
    carol.join(&room).await;
    let of_room = json!([{ "kind": "event_match", "key": "room_id", "pattern": room }]);
    put(&bob, "override", &room, &json!({ "conditions": of_room, "actions": [] })).await;
    let mut call = message("Bob!");
    call["m.mentions"] = json!({ "user_ids": [bob.id] });
    let last = alice.send(&room, "m.room.message", &call).await;
    assert_eq!(counts_at(&bob, &room, &last).await, (0, 0));
    assert_eq!(counts_at(&carol, &room, &last).await, (1, 0), "others have their own rules");
    let last = alice.send(&other, "m.room.message", &call).await;
    assert_eq!(counts_at(&bob, &other, &last).await, (1, 1));
}

async fn a_room_of_mentions_counts_mentions(server: &Server) {
    let (alice, bob, room) = two(server).await;
    put(&bob, "room", &room, &json!({ "actions": [] })).await;
    let mut watch = bob.watch().await;
    let last = alice.say(&room, "no mention").await;
    let told = watch.room("the message", &room, |it| it.event(&last).and(counts(it))).await;
    assert_eq!(told, (0, 0));
    let mut call = message("Bob!");
    call["m.mentions"] = json!({ "user_ids": [bob.id] });
    let last = alice.send(&room, "m.room.message", &call).await;
    let told = watch.room("the mention", &room, |it| it.event(&last).and(counts(it))).await;
    assert_eq!(told, (1, 1));
    // Everybody is called by who has the power to.
    call["m.mentions"] = json!({ "room": true });
    alice.send(&room, "m.room.message", &call).await;
    let carol = User::register(server, "carol").await;
    carol.join(&room).await;
    let last = carol.send(&room, "m.room.message", &call).await;
    let told = watch.room("the calls", &room, |it| it.event(&last).and(counts(it))).await;
    assert_eq!(told, (2, 2));
    bob.post(path(["rooms", &room, "receipt", "m.read", &last])).ok().await;
    watch.room("cleared counts", &room, |it| counts(it).filter(|it| *it == (0, 0))).await;
}

async fn a_keyword_is_highlighted(server: &Server) {
    let (alice, bob, room) = two(server).await;
    put(&bob, "content", "k", &json!({ "pattern": "ca?e", "actions": highlight() })).await;
    alice.say(&room, "there is CAKE.").await;
    let last = alice.say(&room, "there are pancakes").await;
    assert_eq!(counts_at(&bob, &room, &last).await, (2, 1));
    assert_eq!(counts_at(&alice, &room, &last).await, (0, 0));
}

async fn who_is_muted_counts_nothing(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let carol = User::register(server, "carol").await;
    carol.join(&room).await;
    put(&bob, "sender", &alice.id, &json!({ "actions": [] })).await;
    alice.say(&room, "by Alice").await;
    let last = carol.say(&room, "by Carol").await;
    assert_eq!(counts_at(&bob, &room, &last).await, (1, 0));
}

async fn rules_on_the_room_count_by_what_it_is(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let name = json!({ "displayname": "Bob (the *)" });
    bob.put(path(["profile", &bob.id, "displayname"])).json(&name).ok().await;
    let named = json!([{ "kind": "contains_display_name" },
        { "kind": "room_member_count", "is": "<3" }]);
    put(&bob, "override", "name", &json!({ "conditions": named, "actions": highlight() })).await;
    let powerful = json!([{ "kind": "sender_notification_permission", "key": "room" },
        { "kind": "event_property_is", "key": "content.org\\.loud", "value": true }]);
    put(&bob, "underride", "p", &json!({ "conditions": powerful, "actions": highlight() })).await;
    alice.say(&room, "bob (The *), come").await;
    alice.say(&room, "bob (the one)").await;
    let loud = json!({ "msgtype": "m.text", "body": "loud", "org.loud": true });
    let last = alice.send(&room, "m.room.message", &loud).await;
    assert_eq!(counts_at(&bob, &room, &last).await, (3, 2));
}

async fn a_change_of_rules_counts_what_is_unread_anew(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let last = alice.say(&room, "hello").await;
    assert_eq!(counts_at(&bob, &room, &last).await, (1, 0));
    let message = format!("{}/actions", rule("underride", ".m.rule.message"));
    let small = format!("{}/actions", rule("underride", ".m.rule.room_one_to_one"));
    for url in [&message, &small] {
        bob.put(url).json(&json!({ "actions": [] })).ok().await;
    }
    assert_eq!(counts_at(&bob, &room, &last).await, (0, 0));
    bob.put(&small).json(&json!({ "actions": highlight() })).ok().await;
    assert_eq!(counts_at(&bob, &room, &last).await, (1, 1));
    let master = format!("{}/enabled", rule("override", ".m.rule.master"));
    bob.put(&master).json(&json!({ "enabled": true })).ok().await;
    assert_eq!(counts_at(&bob, &room, &last).await, (0, 0));
}

async fn rules_count_in_threads(server: &Server) {
    let (alice, bob, room) = two(server).await;
    put(&bob, "content", "k", &json!({ "pattern": "cake", "actions": highlight() })).await;
    let root = alice.say(&room, "a thread").await;
    let mut reply = message("about cake");
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
    let last = alice.send(&room, "m.room.message", &reply).await;
    let filter = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let sync = bob.sync().filter(&filter).until_event(&room, &last).await;
    let found = sync.joined(&room).expect("the room");
    assert_eq!(counts(found), Some((1, 0)), "{}", sync.json);
    let threads = &found.0["unread_thread_notifications"];
    assert_eq!(threads[&root], json!({ "notification_count": 1, "highlight_count": 1 }));
    bob.send(&room, "m.room.message", &reply).await;
    let last = alice.send(&room, "m.room.message", &reply).await;
    assert_eq!(counts_at(&bob, &room, &last).await, (2, 1), "the root, and the last reply");
}

async fn rules_count_what_the_room_no_longer_remembers(server: &Server) {
    let (alice, bob, room) = two(server).await;
    put(&bob, "content", "k", &json!({ "pattern": "cake", "actions": highlight() })).await;
    alice.say(&room, "cake, and read").await;
    bob.say(&room, "read").await;
    let cake = alice.say(&room, "cake").await;
    let redacted = alice.say(&room, "cake, and redacted").await;
    alice.put(path(["rooms", &room, "redact", &redacted, "t"])).json(&json!({})).ok().await;
    let last = alice.say_many(&room, 25).await.pop().expect("a message");
    assert_eq!(counts_at(&bob, &room, &last).await, (26, 1));
    bob.post(path(["rooms", &room, "receipt", "m.read", &cake])).ok().await;
    assert_eq!(counts_at(&bob, &room, &last).await, (25, 0));
}

async fn a_call_counts(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let carol = User::register(server, "carol").await;
    carol.join(&room).await;
    put(&carol, "content", "k", &json!({ "pattern": "cake", "actions": [] })).await;
    let call = json!({ "call_id": "1", "version": "1", "lifetime": 60_000, "party_id": "a",
        "offer": { "type": "offer", "sdp": "" } });
    let last = alice.send(&room, "m.call.invite", &call).await;
    assert_eq!(counts_at(&bob, &room, &last).await, (1, 0));
    assert_eq!(counts_at(&carol, &room, &last).await, (1, 0));
}

async fn t11_who_is_ignored_never_counts(server: &Server) {
    let (alice, bob, room) = two(server).await;
    let carol = User::register(server, "carol").await;
    carol.join(&room).await;
    alice.give_power(&room, &carol, 100).await;
    let ignored = json!({ "ignored_users": { (carol.id.as_str()): {} } });
    let list = path(["user", &bob.id, "account_data", "m.ignored_user_list"]);
    bob.put(list).json(&ignored).ok().await;
    let last = alice.say(&room, "by Alice").await;
    let before = counts_at(&bob, &room, &last).await;
    let mentions = json!({ "user_ids": [bob.id] });
    let mut call = message("Bob!");
    call["m.mentions"] = mentions.clone();
    let topic = json!({ "topic": "Bob!", "m.mentions": mentions });
    for round in ["by the server-default rules", "by rules of their own"] {
        carol.send(&room, "m.room.message", &call).await;
        let last = carol.set_state(&room, "m.room.topic", "", &topic).await;
        assert_eq!(counts_at(&bob, &room, &last).await, before, "{round}");
        put(&bob, "content", "k", &json!({ "pattern": "Bob", "actions": highlight() })).await;
    }
}
