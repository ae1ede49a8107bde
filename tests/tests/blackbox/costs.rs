//! The Worker's host counts what the platform bills: `tests/edge-cost` relies on it.

use skerry_tests::{Client, Host, Options, Server, User, json, path};

private_server! { worker: Worker => [
    what_the_platform_bills_is_counted_from_zero_on,
    a_room_that_does_not_exist_is_asked_once_and_builds_nothing,
] }

const COSTS: &str = "/_skerry/test/costs";

async fn what_the_platform_bills_is_counted_from_zero_on(host: Host) {
    let server = Server::start(host, Options { is_counted: true, ..Options::default() });
    let client = Client::new(server.url());
    let user = User::register(&server, "counted").await;
    client.post(COSTS).ok().await;
    assert_eq!(client.get(COSTS).ok().await["worker_requests"], 0);
    user.create_room(&json!({ "name": "Harbour" })).await;
    let counts = client.get(COSTS).ok().await;
    assert_eq!(counts["worker_requests"], 1, "{counts}");
    for name in ["object_requests", "object_rows_read", "object_rows_written"] {
        assert!(counts[name].as_u64() > Some(0), "no {name}: {counts}");
    }
}

/// What strangers make up costs no object.
async fn a_room_that_does_not_exist_is_asked_once_and_builds_nothing(host: Host) {
    let server = Server::start(host, Options { is_counted: true, ..Options::default() });
    let client = Client::new(server.url());
    let user = User::register(&server, "counted").await;
    let missing = path(["directory", "list", "room", "!no-such-room:localhost"]);
    client.post(COSTS).ok().await;
    for _ in 0..5 {
        client.get(&missing).refused(404, "M_NOT_FOUND").await;
    }
    let counts = client.get(COSTS).ok().await;
    assert_eq!(counts["object_requests"], 1, "{counts}");
    assert_eq!(counts["object_rows_written"], 0, "{counts}");
    // One that exists is asked whenever somebody asks.
    let room = user.create_room(&json!({})).await;
    let entry = path(["directory", "list", "room", &room]);
    client.get(&entry).ok().await;
}
