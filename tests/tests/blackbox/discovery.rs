//! What a client learns before it logs in: versions, well-known files, capabilities; and how the
//! server says that it does not know a request.

use skerry_tests::{Client, Host, Options, Server, User};

both_hosts![
    versions_are_told_to_anyone,
    an_unknown_address_is_not_told,
    capabilities_need_a_token,
    capabilities_tell_the_room_versions,
    an_unknown_endpoint_is_not_found,
    a_wrong_method_is_told_apart_from_an_unknown_endpoint,
    a_token_in_the_query_is_no_token,
    the_older_path_versions_of_the_specification_work,
];

private_server![
    native_private: Native => [the_well_known_files_name_this_server],
    worker_private: Worker => [the_well_known_files_name_this_server],
];

async fn versions_are_told_to_anyone(server: &Server) {
    let body = Client::new(server.url()).get("/_matrix/client/versions").ok().await;
    let versions = body["versions"].as_array().expect("a list of versions");
    assert!(versions.iter().any(|it| it == "v1.11"), "current clients ask for v1.11: {body}");
    for version in versions {
        let text = version.as_str().expect("a version");
        assert!(text.starts_with("v1.") || text.starts_with("r0."), "{text} is no version");
    }
    assert!(versions.iter().any(|it| it == "v1.17"), "{body}");
}

/// A server that knows its address tells it; one that does not must not invent one.
async fn the_well_known_files_name_this_server(host: Host) {
    let public_base_url = Some("https://matrix.example.org".to_owned());
    let known = Server::start(host, Options { public_base_url, ..Options::default() });
    let anyone = Client::new(known.url());
    let client = anyone.get("/.well-known/matrix/client").ok().await;
    let base_url = client["m.homeserver"]["base_url"].as_str().expect("a base URL");
    assert_eq!(base_url.trim_end_matches('/'), "https://matrix.example.org");
    let federation = anyone.get("/.well-known/matrix/server").ok().await;
    assert_eq!(federation["m.server"], "matrix.example.org:443", "{federation}");
}

async fn an_unknown_address_is_not_told(server: &Server) {
    let anyone = Client::new(server.url());
    for path in ["/.well-known/matrix/client", "/.well-known/matrix/server"] {
        let reply = anyone.get(path).send().await;
        if reply.status == 200 {
            assert!(
                reply.text.contains("localhost") || reply.text.contains("127.0.0.1"),
                "{reply}"
            );
        } else {
            reply.refused(404, "M_NOT_FOUND");
        }
    }
}

async fn capabilities_need_a_token(server: &Server) {
    let anyone = Client::new(server.url());
    anyone.get("/capabilities").refused(401, "M_MISSING_TOKEN").await;
    let stranger = anyone.with_token("not-a-token");
    let refusal = stranger.get("/capabilities").refused(401, "M_UNKNOWN_TOKEN").await;
    assert_ne!(refusal["soft_logout"], true, "there is no session to come back to: {refusal}");
}

async fn capabilities_tell_the_room_versions(server: &Server) {
    let alice = User::register(server, "alice").await;
    let capabilities = alice.get("/capabilities").ok().await["capabilities"].clone();
    let versions = &capabilities["m.room_versions"];
    assert_eq!(versions["default"], "12", "{versions}");
    for version in ["6", "7", "8", "9", "10", "11", "12"] {
        assert_eq!(versions["available"][version], "stable", "version {version}: {versions}");
    }
    assert_eq!(capabilities["m.change_password"]["enabled"], true, "{capabilities}");
}

async fn an_unknown_endpoint_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    for path in ["/no/such/endpoint", "/_matrix/client/v9999/sync", "/_matrix/nonsense", "/_x"] {
        for request in [alice.get(path), alice.post(path), alice.put(path), alice.delete(path)] {
            request.refused(404, "M_UNRECOGNIZED").await;
        }
    }
}

async fn a_wrong_method_is_told_apart_from_an_unknown_endpoint(server: &Server) {
    let alice = User::register(server, "alice").await;
    for request in [
        alice.delete("/_matrix/client/versions"),
        alice.post("/sync"),
        alice.put("/login"),
        alice.get("/createRoom"),
        alice.post("/profile/@alice:localhost/displayname"),
        alice.delete("/account/whoami"),
    ] {
        request.refused(405, "M_UNRECOGNIZED").await;
    }
}

/// T14: a token in a URL ends in logs and histories; the specification took it out.
async fn a_token_in_the_query_is_no_token(server: &Server) {
    let alice = User::register(server, "alice").await;
    let request = Client::new(server.url()).get("/account/whoami");
    request.query("access_token", &alice.token).refused(401, "M_MISSING_TOKEN").await;
}

async fn the_older_path_versions_of_the_specification_work(server: &Server) {
    let alice = User::register(server, "alice").await;
    let whoami = alice.get("/_matrix/client/r0/account/whoami").ok().await;
    assert_eq!(whoami["user_id"], alice.id.as_str());
}
