//! What answers without an access token, or the signature of another server.

use skerry_tests::{Client, Server};
use std::collections::BTreeSet;

both_hosts![every_endpoint_but_these_needs_a_token];

/// Every endpoint that anyone may ask, in each of its versions. Whoever adds a line has thought of
/// what strangers learn or change there, and how often they may.
const OPEN: [&str; 34] = [
    // Where the server is, and what it speaks.
    "GET /.well-known/matrix/client",
    "GET /.well-known/matrix/server",
    "GET /_matrix/client/versions",
    // Accounts and sessions: a password, or a token of another kind, is asked for.
    "GET /_matrix/client/r0/login",
    "GET /_matrix/client/v3/login",
    "POST /_matrix/client/r0/login",
    "POST /_matrix/client/v3/login",
    "POST /_matrix/client/unstable/org.matrix.msc2918/refresh",
    "POST /_matrix/client/v3/refresh",
    "POST /_matrix/client/r0/register",
    "POST /_matrix/client/v3/register",
    "GET /_matrix/client/r0/register/available",
    "GET /_matrix/client/v3/register/available",
    "GET /_matrix/client/unstable/org.matrix.msc3231/register/\
     org.matrix.msc3231.login.registration_token/validity",
    "GET /_matrix/client/v1/register/m.login.registration_token/validity",
    // What this server is, its keys, and as a notary those of others.
    "GET /_matrix/federation/v1/version",
    "GET /_matrix/key/v2/server",
    "GET /_matrix/key/v2/query/{}",
    "POST /_matrix/key/v2/query",
    // Whose token it is that others have been given to prove who they are.
    "GET /_matrix/federation/v1/openid/userinfo",
    // Identity servers, which sign what they say of whom. Few invitations at a time, and each is
    // asked about where it is said to come from: as often as `open` lets an address.
    "PUT /_matrix/federation/v1/3pid/onbind",
    // Profiles, public rooms and their addresses.
    "GET /_matrix/client/r0/profile/{}",
    "GET /_matrix/client/v3/profile/{}",
    "GET /_matrix/client/r0/profile/{}/{}",
    "GET /_matrix/client/v3/profile/{}/{}",
    "GET /_matrix/client/unstable/uk.tcpip.msc4133/profile/{}/{}",
    "GET /_matrix/client/r0/directory/room/{}",
    "GET /_matrix/client/v3/directory/room/{}",
    "GET /_matrix/client/r0/directory/list/room/{}",
    "GET /_matrix/client/v3/directory/list/room/{}",
    "GET /_matrix/client/r0/publicRooms",
    "GET /_matrix/client/v3/publicRooms",
    "GET /_matrix/client/unstable/im.nheko.summary/rooms/{}/summary",
    "GET /_matrix/client/v1/room_summary/{}",
];

/// The routes come from the server itself, so that none is forgotten.
async fn every_endpoint_but_these_needs_a_token(server: &Server) {
    let anyone = Client::new(server.url());
    let routes = anyone.get("/_skerry/test/routes").ok().await;
    let routes = routes.as_array().expect("a list of routes");
    let mut open = BTreeSet::new();
    for route in routes {
        let text = |key: &str| route[key].as_str().expect("a route");
        let (method, segments) = (text("method"), text("path").split('/'));
        let path = segments.map(|it| if it.starts_with('{') { "{}" } else { it });
        let path = path.collect::<Vec<_>>().join("/");
        let request = anyone.request(method, &path.replace("{}", "x"));
        let request = if matches!(method, "PUT" | "POST") { request.text("{}") } else { request };
        let reply = request.send().await;
        // Other servers sign.
        let closed = ["M_MISSING_TOKEN", "M_UNAUTHORIZED"];
        if reply.status != 401 || !closed.contains(&reply.errcode()) {
            open.insert(format!("{method} {path}"));
        }
    }
    assert!(routes.len() > 2 * OPEN.len(), "these are not all: {routes:#?}");
    assert_eq!(open, OPEN.map(str::to_owned).into());
}
