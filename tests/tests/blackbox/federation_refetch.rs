//! A room's state that is asked anew of a server that an administrator names (T2, T3b).

use skerry_tests::{
    Client, Host, Options, PASSWORD, Server, User, Value, json, path,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
};

private_server![
    native_alone: Native => [
        t2_a_state_that_was_told_wrong_is_mended,
        t3b_a_named_server_is_believed_no_more_than_others,
        only_administrators_ask_for_a_state,
    ],
    worker_alone: Worker => [
        t2_a_state_that_was_told_wrong_is_mended,
        t3b_a_named_server_is_believed_no_more_than_others,
        only_administrators_ask_for_a_state,
    ],
];

const MISSING: &str = "/_matrix/federation/v1/get_missing_events/";
const STATE_IDS: &str = "/_matrix/federation/v1/state_ids/";
const TOKEN: &str = "correct horse battery";

/// A server, its administrator, and another user.
async fn started(host: Host) -> (Server, User, User) {
    let options = Options {
        registration: "token".to_owned(),
        registration_token: Some(TOKEN.to_owned()),
        ..Options::default()
    };
    let server = Server::start(host, options);
    let anyone = Client::new(server.url());
    let register = async |name: &str| {
        let body = json!({ "username": name, "password": PASSWORD });
        let auth = json!({ "type": "m.login.registration_token", "token": TOKEN });
        User::from_session(&anyone, &anyone.post("/register").uia(body, auth).await.ok())
    };
    let (admin, other) = (register("admin").await, register("other").await);
    (server, admin, other)
}

/// A room of the administrator's that goes on with Dave's join, and the last event, before which
/// this server was told of a state without Dave.
async fn without_dave(remote: &Remote, server: &Server, admin: &User) -> (PeerRoom, Event, Event) {
    let mut room = remote.in_room_of(admin, server).await;
    let stale = room.clone();
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&room.peer.user("dave")));
    let last = room.add(Draft::message(&carol, "at last"));
    remote.knows(&room);
    remote.answer(MISSING, |_| (200, json!({ "events": [] })));
    let told: Vec<String> = stale.current().into_values().collect();
    let told = json!({ "pdu_ids": told, "auth_chain_ids": [] });
    remote.answer(STATE_IDS, move |_| (200, told.clone()));
    remote.send(server, &[&last]).await;
    admin.sync().until_event(&room.id, &last.id).await;
    assert_eq!(admin.membership_in(&room.id, &room.peer.user("dave")).await, "");
    (room, join, last)
}

fn refetch(user: &User, room: &PeerRoom, from: &Remote) -> skerry_tests::Request {
    let path = format!("/_skerry/admin/v1{}", path(["rooms", &room.id, "refetch_state"]));
    user.post(path).json(&json!({ "from": from.peer.name }))
}

/// The state keys, and the events on either side, of a list of pieces of the state.
fn pieces(list: &Value, sides: [&str; 2]) -> Vec<(Value, Value, Value)> {
    let list = list.as_array().expect("a list").iter();
    list.map(|it| (it["state_key"].clone(), it[sides[0]].clone(), it[sides[1]].clone())).collect()
}

async fn t2_a_state_that_was_told_wrong_is_mended(host: Host) {
    let (server, admin, _) = started(host).await;
    let remote = Remote::start();
    let (mut room, join, last) = without_dave(&remote, &server, &admin).await;
    let dave = room.peer.user("dave");
    let before = admin.sync().get().await;
    remote.knows(&room);
    let found = refetch(&admin, &room, &remote).ok().await;
    let expected = [(json!(dave), Value::Null, json!(join.id))];
    assert_eq!(pieces(&found["differences"], ["here", "there"]), expected, "{found}");
    assert_eq!(pieces(&found["changes"], ["before", "after"]), expected, "{found}");
    let told = found["told"].as_array().expect("a list");
    assert!(told.contains(&json!(last.id)) && found["untold"] == json!([]), "{found}");
    assert_eq!((&found["differ"], &found["changed"]), (&json!(1), &json!(1)));
    assert_eq!(admin.membership_in(&room.id, &dave).await, "join");
    // Clients hear of it.
    let sync = admin.sync().since(before.next_batch()).get().await;
    let section = sync.joined(&room.id).expect("the room");
    let heard = section.state().iter().chain(section.timeline());
    let heard: Vec<_> = heard.filter(|it| it["state_key"] == dave.as_str()).collect();
    assert_eq!(heard.len(), 1, "{}", section.0);
    assert_eq!(heard[0]["content"]["membership"], "join");
    // The second time nothing differs from what the room has become.
    let again = refetch(&admin, &room, &remote).ok().await;
    assert_eq!(again["changed"], 0, "{again}");
    // What comes after it builds on it, also what comes of a fork that has never heard of Dave.
    let said = room.add(Draft::message(&dave, "here I am"));
    assert_eq!(remote.send(&server, &[&said]).await["pdus"][&said.id], json!({}));
    admin.sync().until_event(&room.id, &said.id).await;
    let carol = room.peer.user("carol");
    let fork = room.stray(Draft::message(&carol, "a fork").after(&[&join_before(&room, &join)]));
    remote.send(&server, &[&fork]).await;
    admin.sync().until_event(&room.id, &fork.id).await;
    assert_eq!(admin.membership_in(&room.id, &dave).await, "join");
    let own = admin.say(&room.id, "welcome").await;
    assert_eq!(room.read(&admin, &own).await.prev().len(), 2);
    assert_eq!(admin.membership_in(&room.id, &dave).await, "join");
}

/// The event before Dave's join.
fn join_before(room: &PeerRoom, join: &Event) -> Event {
    room.event(&join.prev()[0]).clone()
}

async fn t3b_a_named_server_is_believed_no_more_than_others(host: Host) {
    let (server, admin, _) = started(host).await;
    let remote = Remote::start();
    let mut room = remote.in_room_of(&admin, &server).await;
    let dave = room.peer.user("dave");
    let join = room.add(Draft::join(&dave));
    remote.send(&server, &[&join]).await;
    let ban = admin.post(path(["rooms", &room.id, "ban"]));
    ban.json(&json!({ "user_id": dave })).ok().await;
    let last = admin.say(&room.id, "he is gone").await;
    room.read(&admin, &last).await;
    // The server tells of power that nobody gave to Carol, and of a room that Dave was not banned
    // from, where nobody has made rules.
    let carol = room.peer.user("carol");
    let levels = json!({ "users": { carol.clone(): 100 } });
    let levels = room.stray(Draft::state(&carol, "m.room.power_levels", "", levels));
    let mut told = room.current();
    told.insert(("m.room.power_levels".to_owned(), String::new()), levels.id.clone());
    told.insert(("m.room.member".to_owned(), dave.clone()), join.id.clone());
    told.remove(&("m.room.join_rules".to_owned(), String::new()));
    let before = admin.state_ids(&room.id).await;
    remote.knows(&room);
    let told: Vec<String> = told.into_values().collect();
    let told = json!({ "pdu_ids": told, "auth_chain_ids": [] });
    remote.answer(STATE_IDS, move |_| (200, told.clone()));
    let found = refetch(&admin, &room, &remote).ok().await;
    assert_eq!(found["rejected"], 1, "nobody may give themselves power: {found}");
    assert_eq!(found["changed"], 0, "{found}");
    assert!(found["differ"].as_u64() > Some(0), "{found}");
    assert_eq!(admin.state_ids(&room.id).await, before);
    assert_eq!(admin.membership_in(&room.id, &dave).await, "ban");
    // A state without the create event is of no room.
    let nothing = json!({ "pdu_ids": [join.id], "auth_chain_ids": [] });
    remote.answer(STATE_IDS, move |_| (200, nothing.clone()));
    refetch(&admin, &room, &remote).refused(502, "M_UNKNOWN").await;
    assert_eq!(admin.state_ids(&room.id).await, before);
}

async fn only_administrators_ask_for_a_state(host: Host) {
    let (server, admin, other) = started(host).await;
    let remote = Remote::start();
    let room = remote.in_room_of(&other, &server).await;
    remote.knows(&room);
    refetch(&other, &room, &remote).refused(403, "M_FORBIDDEN").await;
    assert!(remote.asked(STATE_IDS).is_empty());
    // The administrator need not be in the room.
    refetch(&admin, &room, &remote).ok().await;
    let silent = Remote::start();
    refetch(&admin, &room, &silent).refused(502, "M_UNKNOWN").await;
    let path = format!("/_skerry/admin/v1{}", path(["rooms", &room.id, "refetch_state"]));
    let itself = json!({ "from": server.name() });
    admin.post(path.clone()).json(&itself).refused(400, "M_INVALID_PARAM").await;
    admin.post(path.clone()).json(&json!({})).refused(400, "M_MISSING_PARAM").await;
    let nowhere = format!("/_skerry/admin/v1{}", self::path(["rooms", "!nowhere:localhost"]));
    let nowhere = format!("{nowhere}/refetch_state");
    let from = json!({ "from": remote.peer.name });
    admin.post(nowhere).json(&from).refused(403, "M_FORBIDDEN").await;
    // The command says the same in words.
    let command = ["refetch-state", &room.id, "--from", &remote.peer.name, "--url", server.url()];
    let (is_done, printed) =
        server.command_with(&command, &[("SKERRY_ACCESS_TOKEN", &admin.token)]);
    assert!(is_done, "{printed}");
    assert!(printed.contains("0 pieces of the state differed"), "{printed}");
    let (is_done, printed) =
        server.command_with(&command, &[("SKERRY_ACCESS_TOKEN", &other.token)]);
    assert!(!is_done && printed.contains("only who administers"), "{printed}");
}
