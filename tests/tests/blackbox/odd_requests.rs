//! Requests that are no ordinary ones: what they ask for is not what it seems, their bodies come in
//! crumbs or break off. Nothing is done that was not asked for, and every answer is one that a
//! Matrix client can read.

use skerry_tests::{Host, Options, Reply, Server, User, encode, json, path, raw};
use tokio::io::AsyncWriteExt as _;

private_server! {
    native: Native => [
        a_path_that_a_parser_would_resolve_does_nothing,
        whatever_is_asked_the_answer_is_json_for_any_page,
        a_body_in_crumbs_is_a_body,
        a_body_that_breaks_off_is_no_fault_of_the_server,
        a_body_that_nobody_wants_cuts_no_answer,
    ],
    worker: Worker => [
        a_path_that_a_parser_would_resolve_does_nothing,
        whatever_is_asked_the_answer_is_json_for_any_page,
        a_body_in_crumbs_is_a_body,
        a_body_that_breaks_off_is_no_fault_of_the_server,
    ],
}

/// Chunks of one byte.
const CRUMBS: usize = 150_000;

/// The last address is one at which the host is asked as the request was sent: before the first
/// isolate stands a server of the development tools, which parses URLs by itself.
fn start(host: Host) -> Server {
    Server::start(host, Options { isolates: 2, ..Options::default() })
}

fn direct(server: &Server) -> &str {
    server.urls().last().expect("an address")
}

fn assert_readable(reply: &Reply) {
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{reply}");
    let kind = reply.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "{kind}: {reply}");
}

async fn a_path_that_a_parser_would_resolve_does_nothing(host: Host) {
    let server = start(host);
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&json!({ "name": "before" })).await;
    let base = format!("/_matrix/client/v3/rooms/{}", encode(&room));
    let content = json!({ "name": "after" }).to_string();
    for tail in [
        "state/m.room.name/.",
        "state/m.room.name/%2e",
        "state/m.room.name/..",
        "state/m.room.name/%2E.",
        "state/m.room.name/x/..",
        "state/m.room.name/x/../",
        "state/x/../m.room.name",
        "state/./m.room.name",
        "state/m.room.name\\",
        "state\\m.room.name",
        "send/../state/m.room.name",
        "send/m.room.name/..",
        "send/m.room.name/.",
        "send/../1",
    ] {
        let head = raw::head(&format!("PUT {base}/{tail}"), Some(&alice.token));
        let request = format!("{head}Content-Length: {}\r\n\r\n{content}", content.len());
        let reply = raw::send(direct(&server), request.as_bytes()).await;
        assert_readable(&reply);
        reply.client_error();
    }
    let state = alice.get(path(["rooms", &room, "state"])).ok().await;
    let names = state.as_array().expect("state").iter().filter(|it| it["type"] == "m.room.name");
    let names: Vec<_> = names.map(|it| (&it["state_key"], &it["content"]["name"])).collect();
    assert_eq!(names, [(&json!(""), &json!("before"))]);
    let messages = alice.get(path(["rooms", &room, "messages"])).query("dir", "b").ok().await;
    assert!(!messages.to_string().contains("after"), "{messages}");
}

async fn whatever_is_asked_the_answer_is_json_for_any_page(host: Host) {
    let server = start(host);
    let known = "/_matrix/client/versions";
    let two_hosts = format!("GET {known} HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n");
    for (head, status, errcode) in [
        (raw::head(&format!("PROPFIND {known}"), None), 405, "M_UNRECOGNIZED"),
        (raw::head(&format!("TRACE {known}"), None), 405, "M_UNRECOGNIZED"),
        (raw::head("PROPFIND /nowhere", None), 404, "M_UNRECOGNIZED"),
        (raw::head("GET /%ff/%00", None), 404, "M_UNRECOGNIZED"),
        (raw::head("GET //_matrix/client/versions", None), 404, "M_UNRECOGNIZED"),
        (format!("{two_hosts}Connection: close\r\n"), 400, "M_UNKNOWN"),
    ] {
        let reply = raw::send(direct(&server), format!("{head}\r\n").as_bytes()).await;
        assert_readable(&reply);
        reply.refused(status, errcode);
    }
    let reply =
        raw::send(direct(&server), (raw::head("OPTIONS *", None) + "\r\n").as_bytes()).await;
    assert!([200, 204].contains(&reply.status), "{reply}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{reply}");
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

async fn a_body_in_crumbs_is_a_body(host: Host) {
    let server = start(host);
    let alice = User::register(&server, "alice").await;
    let target = format!("PUT {}", account_data(&alice));
    let head = raw::head(&target, Some(&alice.token)) + "Transfer-Encoding: chunked\r\n\r\n";
    let filler = "x".repeat(CRUMBS);
    for (body, status) in
        [(json!({ "value": "crumbs" }).to_string(), 200), (format!("{{\"value\": \"{filler}"), 400)]
    {
        let mut request = head.clone().into_bytes();
        for byte in body.bytes() {
            request.extend([b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        }
        request.extend(b"0\r\n\r\n");
        let reply = raw::send(direct(&server), &request).await;
        assert_eq!(reply.status, status, "{reply}");
    }
    let stored = alice.get(path(["user", &alice.id, "account_data", "org.example.crumbs"]));
    assert_eq!(stored.ok().await, json!({ "value": "crumbs" }));
}

fn account_data(user: &User) -> String {
    let tail = path(["user", &user.id, "account_data", "org.example.crumbs"]);
    format!("/_matrix/client/v3{tail}")
}

async fn a_body_that_breaks_off_is_no_fault_of_the_server(host: Host) {
    let server = start(host);
    let alice = User::register(&server, "alice").await;
    let target = format!("PUT {}", account_data(&alice));
    for framing in
        ["Content-Length: 1000\r\n\r\n{\"a\":", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":"]
    {
        for url in server.urls() {
            let mut connection = raw::connect(url).await;
            let request = raw::head(&target, Some(&alice.token)) + framing;
            connection.write_all(request.as_bytes()).await.expect("the server reads");
            // It is there before the connection ends.
            alice.get("/account/whoami").ok().await;
            drop(connection);
        }
    }
    let nothing = alice.get(path(["user", &alice.id, "account_data", "org.example.crumbs"]));
    nothing.refused(404, "M_NOT_FOUND").await;
    alice.get("/account/whoami").ok().await;
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

/// Bytes of a body that is not looked at: about as much as a body may have.
const UNWANTED: usize = 1_000_000;

/// Who sends all of a request before they read the answer gets the answer, whole. At the edge the
/// connection is the platform's.
async fn a_body_that_nobody_wants_cuts_no_answer(host: Host) {
    let server = start(host);
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for number in 0..10 {
        let content = json!({ "filler": "x".repeat(50_000) });
        alice.set_state(&room, "org.example.large", &number.to_string(), &content).await;
    }
    let state = format!("GET /_matrix/client/v3{}", path(["rooms", &room, "state"]));
    let account_data = format!("PUT {}", account_data(&alice));
    let body = "x".repeat(UNWANTED);
    let length = format!("Content-Length: {UNWANTED}\r\n\r\n");
    for _ in 0..5 {
        let request = raw::head(&state, Some(&alice.token)) + &length + &body;
        let found = raw::send(direct(&server), request.as_bytes()).await.ok();
        let large = found.as_array().expect("state").iter();
        assert_eq!(large.filter(|it| it["type"] == "org.example.large").count(), 10);
        for (token, errcode) in [(None, "M_MISSING_TOKEN"), (Some("none"), "M_UNKNOWN_TOKEN")] {
            let request = raw::head(&account_data, token) + &length + &body;
            raw::send(direct(&server), request.as_bytes()).await.refused(401, errcode);
        }
    }
}
