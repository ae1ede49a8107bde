//! The list of notifications.

use skerry_tests::{Server, User, Value, encode, json, message, path};

both_hosts![
    what_notifies_is_listed_the_newest_first,
    pages_go_on_where_the_last_one_ended,
    a_page_looks_back_only_so_far,
    only_highlights_are_listed_on_request,
    what_was_read_is_listed_as_read,
    rules_decide_what_is_listed,
    what_does_not_notify_is_not_listed,
    t11_who_is_ignored_is_not_listed,
    a_token_of_something_else_is_refused,
];

fn listed(answer: &Value) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().expect("an ID").to_owned();
    let all = answer["notifications"].as_array().expect("a list").iter();
    all.map(|it| (text(&it["room_id"]), text(&it["event"]["event_id"]))).collect()
}

async fn list(user: &User) -> Value {
    user.get("/notifications").ok().await
}

/// The events that are listed on all pages, of so many each.
async fn all_pages(user: &User, limit: u64) -> Vec<String> {
    let (mut found, mut from) = (Vec::new(), None::<String>);
    loop {
        let mut request = user.get("/notifications").query("limit", limit);
        if let Some(from) = &from {
            request = request.query("from", from);
        }
        let page = request.ok().await;
        found.extend(listed(&page).into_iter().map(|(_, event)| event));
        match page.get("next_token") {
            Some(next) => from = Some(next.as_str().expect("a token").to_owned()),
            None => return found,
        }
    }
}

fn calling(user: &User) -> Value {
    let mut call = message("you there!");
    call["m.mentions"] = json!({ "user_ids": [user.id] });
    call
}

async fn what_notifies_is_listed_the_newest_first(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let one = alice.public_room(&[&bob]).await;
    let other = alice.public_room(&[&bob]).await;
    let first = alice.say(&one, "first").await;
    let second = alice.send(&other, "m.room.message", &calling(&bob)).await;
    let third = alice.say(&one, "third").await;
    let answer = list(&bob).await;
    let expected = [(&one, &third), (&other, &second), (&one, &first)];
    assert_eq!(listed(&answer), expected.map(|(room, event)| (room.clone(), event.clone())));
    assert!(answer.get("next_token").is_none(), "{answer}");
    let newest = &answer["notifications"][0];
    assert_eq!(newest["read"], false);
    assert_eq!(newest["event"]["content"]["body"], "third");
    assert!(newest["event"].get("room_id").is_none(), "{newest}");
    assert!(newest["ts"].as_u64().expect("a time") >= 1_600_000_000_000);
    let sound = json!({ "set_tweak": "sound", "value": "default" });
    assert_eq!(newest["actions"], json!(["notify", sound]), "of two there are");
    let call = &answer["notifications"][1]["actions"];
    assert_eq!(*call, json!(["notify", sound, { "set_tweak": "highlight" }]));
    assert_eq!(listed(&list(&alice).await), [], "nobody notifies themselves");
}

async fn pages_go_on_where_the_last_one_ended(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let rooms = [alice.public_room(&[&bob]).await, alice.public_room(&[&bob]).await];
    let mut sent = Vec::new();
    for number in 0..9 {
        sent.push(alice.say(&rooms[number % 2], "unread").await);
    }
    sent.reverse();
    for limit in [1, 2, 4, 9, 100] {
        assert_eq!(all_pages(&bob, limit).await, sent, "{limit} on a page");
    }
    let page = bob.get("/notifications").query("limit", 2).ok().await;
    assert_eq!(listed(&page).len(), 2, "{page}");
}

async fn a_page_looks_back_only_so_far(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (quiet, loud) = (alice.public_room(&[&bob]).await, alice.public_room(&[&bob]).await);
    let old = alice.say(&quiet, "long ago").await;
    let older = alice.say(&loud, "as long ago").await;
    for number in 0..130 {
        let notice = json!({ "msgtype": "m.notice", "body": format!("{number}") });
        alice.send(&loud, "m.room.message", &notice).await;
    }
    assert_eq!(all_pages(&bob, 20).await, [older, old]);
}

async fn only_highlights_are_listed_on_request(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.say(&room, "before").await;
    let call = alice.send(&room, "m.room.message", &calling(&bob)).await;
    alice.say(&room, "after").await;
    let answer = bob.get("/notifications").query("only", "highlight").ok().await;
    assert_eq!(listed(&answer), [(room, call)]);
}

async fn what_was_read_is_listed_as_read(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let first = alice.say(&room, "first").await;
    let mut reply = message("in a thread");
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": first });
    let in_thread = alice.send(&room, "m.room.message", &reply).await;
    let last = alice.say(&room, "last").await;
    let read = async || {
        let answer = list(&bob).await;
        let all = answer["notifications"].as_array().expect("a list");
        all.iter().map(|it| it["read"].as_bool().expect("read")).collect::<Vec<_>>()
    };
    assert_eq!(read().await, [false, false, false]);
    let of_thread = json!({ "thread_id": first });
    let receipt = path(["rooms", &room, "receipt", "m.read", &in_thread]);
    bob.post(receipt).json(&of_thread).ok().await;
    assert_eq!(read().await, [false, true, false]);
    bob.post(path(["rooms", &room, "receipt", "m.read.private", &first])).ok().await;
    assert_eq!(read().await, [false, true, true]);
    // Sending is reading.
    bob.say(&room, "mine").await;
    assert_eq!(read().await, [true, true, true]);
    assert_eq!(listed(&list(&bob).await)[0].1, last);
}

async fn rules_decide_what_is_listed(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let muted = alice.public_room(&[&bob]).await;
    let rule = |kind: &str, id: &str| format!("/pushrules/global/{kind}/{}", encode(id));
    bob.put(rule("room", &muted)).json(&json!({ "actions": [] })).ok().await;
    let bell = json!(["notify", { "set_tweak": "sound", "value": "bell" }]);
    let keyword = json!({ "pattern": "cake", "actions": bell });
    bob.put(rule("content", "cake")).json(&keyword).ok().await;
    alice.say(&muted, "nothing of this").await;
    let cake = alice.say(&room, "Cake?").await;
    let answer = list(&bob).await;
    assert_eq!(listed(&answer), [(room.clone(), cake)]);
    assert_eq!(answer["notifications"][0]["actions"], bell);
    let master = format!("{}/enabled", rule("override", ".m.rule.master"));
    bob.put(&master).json(&json!({ "enabled": true })).ok().await;
    assert_eq!(listed(&list(&bob).await), []);
}

async fn what_does_not_notify_is_not_listed(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[]).await;
    alice.say(&room, "before Bob came").await;
    bob.join(&room).await;
    let redacted = alice.say(&room, "a slip").await;
    alice.put(path(["rooms", &room, "redact", &redacted, "t"])).json(&json!({})).ok().await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "none" })).await;
    assert_eq!(listed(&list(&bob).await), []);
    let seen = alice.say(&room, "seen").await;
    assert_eq!(listed(&list(&bob).await), [(room.clone(), seen)]);
    bob.on_member(&room, "leave", &bob).ok().await;
    assert_eq!(listed(&list(&bob).await), [], "Bob is not there any more");
}

async fn t11_who_is_ignored_is_not_listed(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob, &carol]).await;
    let old = alice.say(&room, "old").await;
    carol.send(&room, "m.room.message", &calling(&bob)).await;
    carol.say_many(&room, 130).await;
    let seen = alice.say(&room, "seen").await;
    let ignored = json!({ "ignored_users": { (carol.id.as_str()): {} } });
    let list_of_ignored = path(["user", &bob.id, "account_data", "m.ignored_user_list"]);
    bob.put(list_of_ignored).json(&ignored).ok().await;
    assert_eq!(listed(&list(&bob).await), [(room.clone(), seen.clone()), (room, old.clone())]);
    assert_eq!(all_pages(&bob, 1).await, [seen, old]);
}

async fn a_token_of_something_else_is_refused(server: &Server) {
    let alice = User::register(server, "alice").await;
    for from in ["x", "-1", "s1_2", ""] {
        let asked = alice.get("/notifications").query("from", from);
        asked.refused(400, "M_INVALID_PARAM").await;
    }
    assert_eq!(listed(&alice.get("/notifications").query("limit", 0).ok().await), []);
    assert_eq!(listed(&alice.get("/notifications").query("only", "x").ok().await), []);
}
