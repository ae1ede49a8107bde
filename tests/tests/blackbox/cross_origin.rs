//! Browsers: every answer, refusals included, may be read by a page of any origin.

use skerry_tests::{Client, Reply, Server, User, json};

both_hosts![
    a_preflight_needs_no_token,
    a_preflight_does_nothing,
    a_success_may_be_read_by_any_page,
    a_refusal_may_be_read_by_any_page,
];

/// S-E2
async fn a_preflight_needs_no_token(server: &Server) {
    let browser = Client::new(server.url());
    for path in [
        "/_matrix/client/versions",
        "/.well-known/matrix/client",
        "/login",
        "/sync",
        "/createRoom",
        "/rooms/!room:localhost/send/m.room.message/1",
        "/user/@alice:localhost/account_data/m.direct",
        "/_matrix/client/r0/sync",
    ] {
        let request = browser.request("OPTIONS", path).header("origin", "https://page.example");
        let request = request.header("access-control-request-method", "PUT");
        let request = request.header("access-control-request-headers", "authorization");
        let reply = request.send().await;
        assert!([200, 204].contains(&reply.status), "{reply}");
        assert_readable(&reply);
        assert_lists(&reply, "access-control-allow-methods", &METHODS);
        assert_lists(&reply, "access-control-allow-headers", &HEADERS);
    }
}

/// S-E2
async fn a_preflight_does_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let reply = alice.request("OPTIONS", "/logout").send().await;
    assert!([200, 204].contains(&reply.status), "{reply}");
    alice.get("/account/whoami").ok().await;
}

/// S-E2
async fn a_success_may_be_read_by_any_page(server: &Server) {
    let alice = User::register(server, "alice").await;
    for path in ["/_matrix/client/versions", "/login", "/sync"] {
        let reply = alice.get(path).header("origin", "https://page.example").send().await;
        assert_readable(&reply);
        let kind = reply.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{kind}: {reply}");
        reply.ok();
    }
}

/// S-E2
async fn a_refusal_may_be_read_by_any_page(server: &Server) {
    let alice = User::register(server, "alice").await;
    let anyone = Client::new(server.url());
    let refusals = [
        (anyone.get("/sync"), 401),
        (anyone.get("/.well-known/matrix/nonsense"), 404),
        (alice.get("/no/such/endpoint"), 404),
        (alice.post("/sync"), 405),
        (alice.post("/createRoom").text("{"), 400),
        (alice.post("/login").json(&json!({ "type": "m.login.nonsense" })), 400),
        (alice.post("/register").json(&json!({})), 401),
        (alice.put("/profile/@someone:localhost/displayname").json(&json!({})), 403),
    ];
    for (request, status) in refusals {
        let reply = request.header("origin", "https://page.example").send().await;
        assert_readable(&reply);
        let kind = reply.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{kind}: {reply}");
        // The profile refusal may complain about the missing value before the foreign user.
        let allowed = [status, if status == 403 { 400 } else { status }];
        assert!(allowed.contains(&reply.status), "expected {allowed:?}: {reply}");
    }
}

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "options"];
const HEADERS: [&str; 3] = ["x-requested-with", "content-type", "authorization"];

fn assert_readable(reply: &Reply) {
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{reply}");
}

fn assert_lists(reply: &Reply, header: &str, expected: &[&str]) {
    let listed = reply.header(header).unwrap_or_default().to_lowercase();
    let listed: Vec<&str> = listed.split(',').map(str::trim).collect();
    for name in expected {
        assert!(listed.contains(name), "{header} lacks {name}: {listed:?} in {reply}");
    }
}
