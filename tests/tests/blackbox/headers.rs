//! S-X3: headers that keep browsers and caches from making more of an answer than it is.

use skerry_tests::{Client, Reply, Server, User, json, path, unique};

both_hosts![an_answer_with_a_token_is_not_kept, no_answer_is_a_page,];

fn assert_not_kept(reply: &Reply) {
    let value = reply.header("cache-control").unwrap_or_default();
    assert!(value.split(',').any(|it| it.trim() == "no-store"), "{value}: {reply}");
}

async fn an_answer_with_a_token_is_not_kept(server: &Server) {
    let anyone = Client::new(server.url());
    let body = json!({ "username": unique("alice"), "password": "correct horse battery 42!" });
    let challenge = anyone.post("/register").json(&body).send().await;
    assert_not_kept(&challenge);
    let registered = anyone.post("/register").uia(body, json!({ "type": "m.login.dummy" })).await;
    assert_not_kept(&registered);
    let alice = User::from_session(&anyone, &registered.ok());
    let login = json!({ "type": "m.login.password", "refresh_token": true,
        "identifier": { "type": "m.id.user", "user": alice.id },
        "password": "correct horse battery 42!" });
    let login = anyone.post("/login").json(&login).send().await;
    assert_not_kept(&login);
    let refresh = json!({ "refresh_token": login.json["refresh_token"] });
    let refreshed = anyone.post("/refresh").json(&refresh).send().await;
    assert_not_kept(&refreshed);
    refreshed.ok();
}

async fn no_answer_is_a_page(server: &Server) {
    let alice = User::register(server, "alice").await;
    let anyone = Client::new(server.url());
    let room = alice.create_room(&json!({})).await;
    let requests = [
        anyone.get("/_matrix/client/versions"),
        anyone.get("/.well-known/matrix/client"),
        anyone.get("/.well-known/matrix/nonsense"),
        anyone.get("/login"),
        anyone.get("/sync"),
        alice.get("/sync"),
        alice.get("/no/such/endpoint"),
        alice.post("/sync"),
        alice.post("/createRoom").text("{"),
        alice.request("OPTIONS", "/sync"),
        alice.get(path(["rooms", &room, "state"])),
        alice.setting(&room, "m.room.name", "", &json!({ "name": "<script>alert(1)</script>" })),
    ];
    for request in requests {
        let reply = request.send().await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply}");
        let policy = reply.header("content-security-policy").unwrap_or_default();
        for closed in ["default-src 'none'", "frame-ancestors 'none'", "sandbox"] {
            assert!(policy.contains(closed), "{policy}: {reply}");
        }
    }
}
