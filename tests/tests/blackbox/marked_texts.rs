//! Whatever a user can say, said with words that nobody says by chance, and said wrongly too: what
//! cannot be read is what errors quote. The last test of the run looks for these words in the logs.

use skerry_tests::{Client, Request, Server, User, Value, json, path, unique};

both_hosts![everything_that_can_be_said_is_said_with_a_mark];

/// A text that is nowhere else.
fn mark(what: &str) -> String {
    format!("Quixotic {}", unique(what))
}

/// What is sent to a field that should have something else.
fn in_place_of(field: &str) -> Value {
    json!({ field: mark("Misplaced") })
}

/// What a user writes about themselves and for themselves.
fn private(user: &User, room: &str) -> Vec<Request> {
    let own = |rest: &[&str]| {
        let rest: Vec<_> = rest.iter().map(|it| skerry_tests::encode(it)).collect();
        format!("/user/{}/{}", skerry_tests::encode(&user.id), rest.join("/"))
    };
    let name = path(["profile", &user.id, "displayname"]);
    let avatar = path(["profile", &user.id, "avatar_url"]);
    let filter = json!({ "room": { "timeline": { "senders": [mark("Filtered")] } } });
    vec![
        user.put(&name).json(&json!({ "displayname": mark("Name") })),
        user.put(&name).json(&json!({ "displayname": [mark("Name")] })),
        user.put(&avatar).json(&json!({ "avatar_url": mark("Picture") })),
        user.put(path(["devices", &user.device])).json(&json!({ "display_name": mark("Phone") })),
        user.put(own(&["account_data", "org.marked"])).json(&json!({ "notes": mark("Note") })),
        user.put(own(&["account_data", "org.marked"])).json(&json!(mark("Note"))),
        user.put(own(&["account_data", "m.ignored_user_list"])).json(&in_place_of("ignored_users")),
        user.put(own(&["account_data", "m.push_rules"])).json(&in_place_of("global")),
        user.put(own(&["rooms", room, "account_data", "org.marked"]))
            .json(&json!({ "notes": { "deep": [mark("Note")] } })),
        user.put(own(&["rooms", room, "tags", &mark("u.Tag")])).json(&in_place_of("order")),
        user.post(own(&["filter"])).json(&filter),
        user.post(own(&["filter"])).json(&in_place_of("room")),
        user.post(own(&["filter"])).json(&in_place_of("event_format")),
        user.sync().filter(&filter).request(),
        user.sync().filter(&in_place_of("room")).request(),
        user.sync().since(&mark("Token")).request(),
        user.get("/sync").query("timeout", mark("Timeout")),
        user.get(own(&["filter", &mark("Filter")])),
        user.post("/publicRooms").json(&json!({ "filter": in_place_of("generic_search_term") })),
        user.post("/publicRooms").json(&in_place_of("limit")),
        user.get("/publicRooms").query("since", mark("Token")),
    ]
}

/// What a member sends to a room.
fn in_room(user: &User, room: &str, other: &User, event: &str) -> Vec<Request> {
    let reason = |what| json!({ "user_id": other.id, "reason": mark(what) });
    let receipt = path(["rooms", room, "receipt", "m.read", event]);
    let redact = path(["rooms", room, "redact", event, &unique("txn")]);
    vec![
        user.sending(room, "m.room.message", &skerry_tests::message(&mark("Message"))),
        user.sending(room, "m.room.message", &json!(mark("Message"))),
        user.sending(room, "org.marked", &json!({ "deep": { "body": [mark("Message")] } })),
        user.setting(room, "m.room.topic", "", &json!({ "topic": mark("Topic") })),
        user.setting(room, "org.marked", &mark("Key"), &json!({ "value": mark("Value") })),
        user.setting(room, "m.room.power_levels", "", &in_place_of("ban")),
        user.setting(room, "m.room.join_rules", "", &in_place_of("join_rule")),
        user.setting(room, "m.room.member", &user.id, &in_place_of("membership")),
        user.setting(room, "m.room.canonical_alias", "", &in_place_of("alias")),
        user.put(redact).json(&json!({ "reason": mark("Reason") })),
        user.post(path(["rooms", room, "invite"])).json(&reason("Invitation")),
        user.post(path(["rooms", room, "kick"])).json(&reason("Kick")),
        user.post(path(["rooms", room, "ban"])).json(&reason("Ban")),
        user.post(path(["rooms", room, "unban"])).json(&in_place_of("user_id")),
        user.post(&receipt).json(&json!({ "thread_id": mark("Thread") })),
        user.put(path(["rooms", room, "typing", &user.id])).json(&in_place_of("timeout")),
        user.post(path(["rooms", room, "read_markers"])).json(&in_place_of("m.fully_read")),
        user.messages(room, "b").query("from", mark("Token")),
        user.messages(room, "b").query("filter", in_place_of("senders")),
        user.get(path(["rooms", room, "context", event])).query("limit", mark("Limit")),
        user.post("/createRoom").json(&json!({ "name": mark("Room"), "topic": mark("Topic") })),
        user.post("/createRoom").json(&in_place_of("power_level_content_override")),
        user.post("/createRoom").json(&json!({ "initial_state": [in_place_of("content")] })),
    ]
}

/// What somebody says who wants to come in.
fn at_the_door(anyone: &Client, user: &User) -> Vec<Request> {
    let login = json!({ "type": "m.login.password", "password": mark("Password"),
        "identifier": { "type": "m.id.user", "user": user.id } });
    let token = json!({ "type": "m.login.registration_token", "token": mark("Token") });
    let register = json!({ "username": unique("marked"), "password": mark("Password"),
        "auth": token });
    let password = json!({ "new_password": mark("Password"), "auth": login });
    vec![
        anyone.post("/login").json(&login),
        anyone.post("/login").json(&json!({ "type": "m.login.token", "token": mark("Token") })),
        anyone.post("/login").json(&in_place_of("identifier")),
        anyone.post("/refresh").json(&json!({ "refresh_token": mark("Token") })),
        anyone.post("/register").json(&register),
        anyone.with_token(&mark("Token").replace(' ', "-")).get("/account/whoami"),
        anyone.get("/account/whoami").query("access_token", mark("Token")),
        anyone
            .get("/_matrix/client/v1/register/m.login.registration_token/validity")
            .query("token", mark("Token")),
        user.post("/account/password").json(&password),
        user.post("/account/deactivate").json(&json!({ "auth": login })),
    ]
}

/// T13
async fn everything_that_can_be_said_is_said_with_a_mark(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({})).await;
    let event = alice.say(&room, &mark("Message")).await;
    let anyone = Client::new(server.url());
    let said = [
        private(&alice, &room),
        in_room(&alice, &room, &bob, &event),
        at_the_door(&anyone, &alice),
    ];
    for request in said.concat() {
        let broken = format!("{{\"body\": \"{}\", \"", mark("Broken"));
        for request in [request.clone(), request.text(&broken)] {
            let reply = request.send().await;
            assert!(reply.status < 500, "{reply}");
        }
    }
}
