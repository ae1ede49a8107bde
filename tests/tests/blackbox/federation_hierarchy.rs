//! Trees of spaces, here and on other servers, and summaries of rooms of other servers (T15a,
//! S-I3).

use skerry_tests::{
    Request, Server, User, Value, encode, json, path,
    peer::{Draft, PeerRoom},
    remote::{Asked, Remote},
    unique,
};

both_hosts![
    a_tree_is_walked_depth_first,
    a_tree_comes_in_pages,
    a_tree_in_a_circle_has_an_end,
    who_may_not_know_of_a_room_is_not_shown_it,
    t15a_a_tree_is_shown_to_other_servers,
    rooms_of_other_servers_are_in_a_tree,
    s_i3_what_another_server_makes_up_is_in_no_tree,
    a_room_of_another_server_is_summed_up,
    s_i3_a_summary_of_another_room_is_none,
];

const HIERARCHY: &str = "/_matrix/federation/v1/hierarchy";

fn tree(user: &User, room: &str, query: &str) -> Request {
    user.get(format!("/_matrix/client/v1{}?{query}", path(["rooms", room, "hierarchy"])))
}

fn tree_for(remote: &Remote, server: &Server, room: &str) -> Request {
    remote.get(server, &format!("{HIERARCHY}{}", path([room])))
}

fn summary(user: &User, room: &str, via: &[&Remote]) -> Request {
    let via: Vec<_> = via.iter().map(|it| format!("via={}", encode(&it.peer.name))).collect();
    user.get(format!("/_matrix/client/v1{}?{}", path(["room_summary", room]), via.join("&")))
}

async fn space(user: &User, preset: &str) -> String {
    let options = json!({ "preset": preset, "creation_content": { "type": "m.space" } });
    user.create_room(&options).await
}

async fn open_room(user: &User, name: &str) -> String {
    user.create_room(&json!({ "preset": "public_chat", "name": name })).await
}

/// Gives a space a child.
async fn add(user: &User, space: &str, child: &str, content: Value) {
    let mut content = content;
    if content.get("via").is_none() {
        content["via"] = json!(["localhost"]);
    }
    user.set_state(space, "m.space.child", child, &content).await;
}

fn rooms(page: &Value) -> Vec<&str> {
    let rooms = page["rooms"].as_array().expect("rooms").iter();
    rooms.map(|it| it["room_id"].as_str().expect("an ID")).collect()
}

async fn a_tree_is_walked_depth_first(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (root, below) = (space(&alice, "public_chat").await, space(&alice, "public_chat").await);
    let [one, two, three] =
        [open_room(&alice, "1").await, open_room(&alice, "2").await, open_room(&alice, "3").await];
    add(&alice, &root, &three, json!({ "order": "c" })).await;
    add(&alice, &root, &below, json!({ "order": "b", "suggested": true })).await;
    add(&alice, &root, &one, json!({ "order": "a" })).await;
    add(&alice, &below, &two, json!({})).await;
    add(&alice, &root, &two, json!({ "order": "d" })).await;
    add(&alice, &root, &one, json!({ "order": "a", "suggested": true })).await;
    let page = tree(&alice, &root, "").ok().await;
    assert_eq!(rooms(&page), [&root, &one, &below, &two, &three].map(|it| &**it), "{page}");
    assert!(page.get("next_batch").is_none(), "{page}");
    let first = &page["rooms"][0];
    assert_eq!((&first["room_type"], &first["join_rule"]), (&json!("m.space"), &json!("public")));
    let children = first["children_state"].as_array().expect("children");
    assert_eq!(children.len(), 4);
    let mut child = children[0].clone();
    assert!(child["origin_server_ts"].take().is_u64(), "{first}");
    let expected = json!({ "type": "m.space.child", "state_key": one, "sender": alice.id,
        "origin_server_ts": null,
        "content": { "via": ["localhost"], "order": "a", "suggested": true } });
    assert_eq!(child, expected);
    assert_eq!(page["rooms"][1]["children_state"], json!([]));
    assert_eq!(page["rooms"][1]["name"], "1");
    let suggested = tree(&alice, &root, "suggested_only=true").ok().await;
    assert_eq!(rooms(&suggested), [&root, &one, &below].map(|it| &**it), "{suggested}");
    assert_eq!(suggested["rooms"][2]["children_state"], json!([]));
    let shallow = tree(&alice, &root, "max_depth=1").ok().await;
    assert_eq!(rooms(&shallow), [&root, &one, &below, &three, &two].map(|it| &**it), "{shallow}");
    assert_eq!(rooms(&tree(&alice, &root, "max_depth=0").ok().await), [&*root]);
    // A child that was taken out is none.
    alice.set_state(&root, "m.space.child", &below, &json!({})).await;
    let page = tree(&alice, &root, "").ok().await;
    assert_eq!(rooms(&page), [&root, &one, &three, &two].map(|it| &**it), "{page}");
}

async fn a_tree_comes_in_pages(server: &Server) {
    let alice = User::register(server, "alice").await;
    let root = space(&alice, "public_chat").await;
    let below = space(&alice, "public_chat").await;
    add(&alice, &root, &below, json!({ "order": "b" })).await;
    for (order, parent) in [("a", &root), ("c", &root), ("a", &below), ("b", &below)] {
        let room = open_room(&alice, order).await;
        add(&alice, parent, &room, json!({ "order": order })).await;
    }
    let whole = tree(&alice, &root, "").ok().await;
    let whole = rooms(&whole);
    assert_eq!(whole.len(), 6);
    for limit in 1..7 {
        let (mut found, mut from) = (Vec::<String>::new(), String::new());
        loop {
            let page = tree(&alice, &root, &format!("limit={limit}{from}")).ok().await;
            assert!(rooms(&page).len() <= limit, "{page}");
            found.extend(rooms(&page).into_iter().map(str::to_owned));
            match page["next_batch"].as_str() {
                Some(token) => from = format!("&from={}", encode(token)),
                None => break,
            }
        }
        assert_eq!(found, whole, "{limit} at a time");
    }
    let first = tree(&alice, &root, "limit=2").ok().await;
    let token = encode(first["next_batch"].as_str().expect("a token"));
    for query in [
        format!("from={token}&suggested_only=true"),
        format!("from={token}&max_depth=1"),
        "from=invented".to_owned(),
    ] {
        tree(&alice, &root, &query).refused(400, "M_INVALID_PARAM").await;
    }
    tree(&alice, &below, &format!("from={token}")).refused(400, "M_INVALID_PARAM").await;
    // A token opens nothing to somebody else.
    let mallory = User::register(server, "mallory").await;
    let rule = json!({ "join_rule": "invite" });
    alice.set_state(&root, "m.room.join_rules", "", &rule).await;
    tree(&mallory, &root, &format!("from={token}")).refused(403, "M_FORBIDDEN").await;
}

async fn a_tree_in_a_circle_has_an_end(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (one, two) = (space(&alice, "public_chat").await, space(&alice, "public_chat").await);
    for (parent, child) in [(&one, &two), (&two, &one), (&one, &one), (&two, &two)] {
        add(&alice, parent, child, json!({})).await;
    }
    let page = tree(&alice, &one, "").ok().await;
    assert_eq!(rooms(&page), [&*one, &*two], "{page}");
    // Also where each room is on a page of its own.
    let (mut pages, mut from) = (0, String::new());
    loop {
        let page = tree(&alice, &one, &format!("limit=1{from}")).ok().await;
        pages += 1;
        assert!(pages < 20, "it has no end");
        match page["next_batch"].as_str() {
            Some(token) => from = format!("&from={}", encode(token)),
            None => break,
        }
    }
}

async fn who_may_not_know_of_a_room_is_not_shown_it(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let root = space(&alice, "public_chat").await;
    let club = alice.private_room(&[&bob]).await;
    let private = alice.private_room(&[]).await;
    let rule = |rule: &str, allowed: &[&str]| {
        let allow: Vec<_> = allowed
            .iter()
            .map(|it| json!({ "type": "m.room_membership", "room_id": it }))
            .collect();
        let content = json!({ "join_rule": rule, "allow": allow });
        json!({ "initial_state": [{ "type": "m.room.join_rules", "content": content }] })
    };
    let knocked = alice.create_room(&rule("knock", &[])).await;
    let admitting = alice.create_room(&rule("restricted", &[&club])).await;
    let closed = alice.create_room(&rule("restricted", &[&private])).await;
    let invited = alice.private_room(&[]).await;
    alice.invite(&invited, &bob).await;
    let readable = json!({ "initial_state": [{ "type": "m.room.history_visibility",
        "content": { "history_visibility": "world_readable" } }] });
    let readable = alice.create_room(&readable).await;
    let banned = open_room(&alice, "banned").await;
    alice.on_member(&banned, "ban", &bob).ok().await;
    let all = [&club, &private, &knocked, &admitting, &closed, &invited, &readable, &banned];
    for (index, room) in all.iter().enumerate() {
        add(&alice, &root, room, json!({ "order": format!("{index}") })).await;
    }
    let page = tree(&bob, &root, "").ok().await;
    let expected = [&root, &club, &knocked, &admitting, &invited, &readable].map(|it| &**it);
    assert_eq!(rooms(&page), expected, "{page}");
    assert_eq!(rooms(&tree(&alice, &root, "").ok().await).len(), 9);
    let refused = tree(&bob, &private, "").refused(403, "M_FORBIDDEN").await;
    let unknown = tree(&bob, "!nowhere:localhost", "").refused(403, "M_FORBIDDEN").await;
    assert_eq!(refused, unknown);
}

async fn t15a_a_tree_is_shown_to_other_servers(server: &Server) {
    let (remote, denied) = (Remote::start(), Remote::start_at_address());
    let alice = User::register(server, "alice").await;
    let root = space(&alice, "public_chat").await;
    let acl = json!({ "allow": ["*"], "deny": ["127.0.0.1"] });
    alice.set_state(&root, "m.room.server_acl", "", &acl).await;
    let (open, private) = (open_room(&alice, "open").await, alice.private_room(&[]).await);
    let club = open_room(&alice, "club").await;
    let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
    let rule = json!({ "type": "m.room.join_rules",
        "content": { "join_rule": "restricted", "allow": allow } });
    let admitting = alice.create_room(&json!({ "initial_state": [rule] })).await;
    let children = [&open, &private, &admitting, &"!elsewhere:elsewhere.example".to_owned()];
    for (index, room) in children.iter().enumerate() {
        add(&alice, &root, room, json!({ "order": format!("{index}") })).await;
    }
    let ids = |rooms: &Value| -> Vec<String> {
        let rooms = rooms.as_array().expect("rooms").iter();
        rooms.map(|it| it["room_id"].as_str().expect("an ID").to_owned()).collect()
    };
    let answer = tree_for(&remote, server, &root).ok().await;
    assert_eq!(answer["room"]["room_id"], root.as_str());
    assert_eq!(answer["room"]["children_state"].as_array().map(Vec::len), Some(4));
    assert_eq!(ids(&answer["children"]), std::slice::from_ref(&open), "{answer}");
    assert_eq!(answer["inaccessible_children"], json!([private, admitting]));
    // Who is in a room that another one admits from is shown that one.
    let mut known = PeerRoom::of(&remote.peer, &alice, &club).await;
    let join = known.add(Draft::join(&remote.peer.user("carol")));
    known.accept(server, &[&join]).await;
    let answer = tree_for(&remote, server, &root).ok().await;
    assert_eq!(ids(&answer["children"]), [open, admitting.clone()], "{answer}");
    assert_eq!(answer["children"][1]["allowed_room_ids"], json!([club]));
    let shown = tree_for(&remote, server, &admitting).ok().await;
    assert_eq!(shown["room"]["join_rule"], "restricted");
    // Whoever may not know of a room is answered as if there were none.
    let refused = tree_for(&remote, server, &private).refused(404, "M_NOT_FOUND").await;
    let kept_out = tree_for(&denied, server, &root).refused(404, "M_NOT_FOUND").await;
    let unknown = tree_for(&remote, server, "!nowhere:localhost");
    let unknown = unknown.refused(404, "M_NOT_FOUND").await;
    assert_eq!((&refused, &kept_out), (&unknown, &unknown));
}

/// A room as another server shows it.
fn shown(id: &str, more: Value) -> Value {
    let mut room = json!({ "room_id": id, "num_joined_members": 3, "world_readable": false,
        "guest_can_join": false, "join_rule": "public" });
    let Value::Object(more) = more else { panic!("no object: {more}") };
    for (key, value) in more {
        room[key] = value;
    }
    room
}

fn child(id: &str, via: &str) -> Value {
    json!({ "type": "m.space.child", "state_key": id, "sender": "@carol:elsewhere.example",
        "origin_server_ts": 1, "content": { "via": [via] } })
}

/// The room in the path of a question.
fn room_in(asked: &Asked) -> String {
    let path = asked.path.split('?').next().unwrap_or_default();
    let room = path.rsplit('/').next().unwrap_or_default();
    room.replace("%21", "!").replace("%3A", ":")
}

/// Has a server show rooms, by their IDs.
fn show(remote: &Remote, answers: Vec<(String, Value)>) {
    remote.answer(HIERARCHY, move |asked| {
        let room = room_in(asked);
        let found = answers.iter().find(|(id, _)| *id == room);
        found.map_or((404, json!({ "errcode": "M_NOT_FOUND", "error": "x" })), |(_, it)| {
            (200, it.clone())
        })
    });
}

async fn rooms_of_other_servers_are_in_a_tree(server: &Server) {
    let (remote, silent) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let root = space(&alice, "public_chat").await;
    let there = |name: &str| format!("!{}:{}", unique(name), remote.peer.name);
    let [below, open, invite, admitting, deeper, unknown, deepest] =
        ["below", "a-open", "b-invite", "c-admitting", "d-deeper", "e-unknown", "deepest"]
            .map(there);
    let name = remote.peer.name.clone();
    let children: Vec<_> =
        [&open, &invite, &admitting, &deeper, &unknown].map(|it| child(it, &name)).into();
    let allowed = json!({ "join_rule": "restricted", "allowed_room_ids": [root] });
    let space_of = |children: &[Value]| {
        json!({ "room_type": "m.space",
        "children_state": children })
    };
    let answers = vec![
        (
            below.clone(),
            json!({ "room": shown(&below, space_of(&children)), "inaccessible_children": [],
                "children": [shown(&open, json!({ "name": "open" })),
                    shown(&invite, json!({ "join_rule": "invite" })), shown(&admitting, allowed),
                    shown(&deeper, json!({ "room_type": "m.space" })),
                    // Of this one no server says more.
                    shown(&unknown, json!({ "room_type": "m.space" }))] }),
        ),
        (
            deeper.clone(),
            json!({ "room": shown(&deeper, space_of(&[child(&deepest, &name)])),
                "inaccessible_children": [], "children": [shown(&deepest, json!({}))] }),
        ),
    ];
    show(&remote, answers);
    let via = json!({ "via": [silent.peer.name, remote.peer.name] });
    add(&alice, &root, &below, via).await;
    let page = tree(&alice, &root, "").ok().await;
    let expected = [&root, &below, &open, &admitting, &deeper, &deepest, &unknown].map(|it| &**it);
    assert_eq!(rooms(&page), expected, "{page}");
    assert_eq!(page["rooms"][2]["name"], "open");
    assert_eq!(page["rooms"][1]["children_state"].as_array().map(Vec::len), Some(5));
    assert_eq!(remote.asked(HIERARCHY).len(), 3, "rooms that it has shown are not asked for");
    let (mut found, mut from) = (Vec::<String>::new(), String::new());
    loop {
        let page = tree(&alice, &root, &format!("limit=1{from}")).ok().await;
        found.extend(rooms(&page).into_iter().map(str::to_owned));
        match page["next_batch"].as_str() {
            Some(token) => from = format!("&from={}", encode(token)),
            None => break,
        }
    }
    assert_eq!(found, expected);
}

/// S-I3
async fn s_i3_what_another_server_makes_up_is_in_no_tree(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let (root, secret) = (space(&alice, "public_chat").await, alice.private_room(&[]).await);
    let bob = User::register(server, "bob").await;
    let below = format!("!{}:{}", unique("below"), remote.peer.name);
    let name = remote.peer.name.clone();
    add(&alice, &root, &below, json!({ "via": [name] })).await;
    let other = format!("!{}:{}", unique("other"), remote.peer.name);
    let space_of = |children: &[Value]| {
        json!({ "room_type": "m.space",
        "children_state": children })
    };
    let answer = |room: Value, children: Value| {
        json!({ "room": room, "children": children,
        "inaccessible_children": [] })
    };
    let huge = "x".repeat(2 << 20);
    let useless = [
        answer(shown(&other, space_of(&[])), json!([])),
        answer(shown(&below, json!({ "room_type": "m.space" })), json!([])),
        answer(shown(&below, json!({ "children_state": [], "num_joined_members": -1 })), json!([])),
        answer(shown(&below, json!({ "children_state": [], "topic": huge })), json!([])),
        json!({}),
        json!([]),
    ];
    for useless in useless {
        show(&remote, vec![(below.clone(), useless)]);
        assert_eq!(rooms(&tree(&bob, &root, "").ok().await), [&*root]);
    }
    // Of a room that is here nobody else says what it is, nor of rooms that are no children.
    let children = [child(&secret, &name), child(&root, &name), child(&below, &name)];
    let summaries = json!([
        shown(&secret, json!({ "name": "stolen" })),
        shown(&other, json!({})),
        shown(&root, json!({ "name": "stolen" }))
    ]);
    show(&remote, vec![(below.clone(), answer(shown(&below, space_of(&children)), summaries))]);
    let page = tree(&bob, &root, "").ok().await;
    assert_eq!(rooms(&page), [&*root, &*below], "{page}");
    // One that has children without end ends as well.
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let host = name.clone();
    remote.answer(HIERARCHY, move |asking| {
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let children: Vec<_> =
            (0..20).map(|it| child(&format!("!made-up-{number}-{it}:{host}"), &host)).collect();
        let more = json!({ "room_type": "m.space", "children_state": children });
        let room = shown(&room_in(asking), more);
        (200, json!({ "room": room, "children": [], "inaccessible_children": [] }))
    });
    let page = tree(&bob, &root, "").ok().await;
    assert!(rooms(&page).len() < 50, "{page}");
}

async fn a_room_of_another_server_is_summed_up(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let there = |name: &str| format!("!{}:{}", unique(name), remote.peer.name);
    let [open, invite, admitting] = ["open", "invite", "admitting"].map(there);
    let own = alice.private_room(&[]).await;
    let answer = |room: Value| {
        json!({ "room": room, "children": [],
        "inaccessible_children": [] })
    };
    let with = |mut more: Value| {
        more["children_state"] = json!([]);
        more
    };
    let allowed = json!({ "join_rule": "restricted", "allowed_room_ids": [own] });
    let answers = vec![
        (open.clone(), answer(shown(&open, with(json!({ "name": "Harbor" }))))),
        (invite.clone(), answer(shown(&invite, with(json!({ "join_rule": "invite" }))))),
        (admitting.clone(), answer(shown(&admitting, with(allowed)))),
    ];
    show(&remote, answers);
    // By its ID, which names a server; by the servers that are named; by an alias.
    let found = summary(&alice, &open, &[]).ok().await;
    let expected = json!({ "room_id": open, "name": "Harbor", "num_joined_members": 3,
        "world_readable": false, "guest_can_join": false, "join_rule": "public",
        "membership": "leave" });
    assert_eq!(found, expected);
    let directory = json!({ "room_id": open, "servers": [remote.peer.name] });
    remote.answer("/_matrix/federation/v1/query/directory", move |_| (200, directory.clone()));
    let alias = format!("#harbor:{}", remote.peer.name);
    assert_eq!(summary(&alice, &alias, &[]).ok().await, expected);
    let found = summary(&alice, &admitting, &[&remote]).ok().await;
    assert_eq!(found["allowed_room_ids"], json!([own]), "{found}");
    summary(&alice, &invite, &[&remote]).refused(404, "M_NOT_FOUND").await;
    let unknown = there("unknown");
    summary(&alice, &unknown, &[&remote]).refused(404, "M_NOT_FOUND").await;
    let bob = User::register(server, "bob").await;
    summary(&bob, &admitting, &[&remote]).refused(404, "M_NOT_FOUND").await;
}

/// S-I3
async fn s_i3_a_summary_of_another_room_is_none(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let room = format!("!{}:{}", unique("room"), remote.peer.name);
    let other = format!("!{}:{}", unique("other"), remote.peer.name);
    let whole = |room: Value| {
        json!({ "room": room, "children": [],
        "inaccessible_children": [] })
    };
    let answers = [
        whole(shown(&other, json!({ "children_state": [] }))),
        whole(shown(&room, json!({ "children_state": 7 }))),
        whole(json!({ "room_id": room })),
        json!({ "room": null }),
        json!([]),
    ];
    for answer in answers {
        show(&remote, vec![(room.clone(), answer)]);
        summary(&alice, &room, &[&remote]).refused(404, "M_NOT_FOUND").await;
    }
}
