//! Which rate limits a request meets, before anything of its body is read: by its endpoint, and by
//! who sends it ([spec]).
//!
//! Here is counted what is known of a request before it is looked at. What only the room or the
//! account can know (whether somebody may speak in the room, whether a password was wrong) they
//! count themselves.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#rate-limiting

use http::Method;
use skerry_core::rate_limits::Bucket;

use super::access::Access;

/// Messages count for the device, so that one that runs wild leaves something to the others.
const MESSAGES: &[Bucket] = &[Bucket::MessagesDevice, Bucket::Messages];

/// Endpoints whose requests are counted in buckets of their own, by the stable form of their paths.
/// A `{}` is any one segment.
const ENDPOINTS: &[(&str, &str, &[Bucket])] = &[
    ("POST", "login", &[Bucket::LoginAddress]),
    ("POST", "refresh", &[Bucket::Refresh]),
    ("POST", "register", &[Bucket::UserNames]),
    ("GET", "register/available", &[Bucket::UserNames]),
    ("GET", "register/m.login.registration_token/validity", &[Bucket::RegistrationToken]),
    ("PUT", "rooms/{}/send/{}/{}", MESSAGES),
    ("PUT", "rooms/{}/state/{}/{}", MESSAGES),
    ("PUT", "rooms/{}/redact/{}/{}", MESSAGES),
    ("POST", "rooms/{}/join", &[Bucket::Joins]),
    ("POST", "join/{}", &[Bucket::Joins]),
    ("POST", "knock/{}", &[Bucket::Joins]),
    ("POST", "rooms/{}/invite", &[Bucket::Invites]),
    ("POST", "rooms/{}/leave", &[Bucket::Memberships]),
    ("POST", "rooms/{}/kick", &[Bucket::Memberships]),
    ("POST", "rooms/{}/ban", &[Bucket::Memberships]),
    ("POST", "rooms/{}/unban", &[Bucket::Memberships]),
    ("POST", "rooms/{}/forget", &[Bucket::Memberships]),
    ("POST", "createRoom", &[Bucket::CreateRoom]),
    ("PUT", "profile/{}/{}", &[Bucket::Profile]),
    ("DELETE", "profile/{}/{}", &[Bucket::Profile]),
    ("PUT", "user/{}/account_data/{}", &[Bucket::AccountData]),
    ("PUT", "user/{}/rooms/{}/account_data/{}", &[Bucket::AccountData]),
    ("PUT", "user/{}/rooms/{}/tags/{}", &[Bucket::AccountData]),
    ("DELETE", "user/{}/rooms/{}/tags/{}", &[Bucket::AccountData]),
    ("POST", "user/{}/filter", &[Bucket::Filters]),
    ("GET", "publicRooms", &[Bucket::Directory]),
    ("POST", "publicRooms", &[Bucket::Directory]),
    ("GET", "room_summary/{}", &[Bucket::Directory]),
    ("GET", "rooms/{}/hierarchy", &[Bucket::Directory]),
    ("GET", "directory/room/{}", &[Bucket::Directory]),
    ("GET", "directory/list/room/{}", &[Bucket::Directory]),
    ("PUT", "directory/room/{}", &[Bucket::Aliases]),
    ("DELETE", "directory/room/{}", &[Bucket::Aliases]),
    ("PUT", "directory/list/room/{}", &[Bucket::Aliases]),
    ("POST", "rooms/{}/receipt/{}/{}", &[Bucket::Receipts]),
    ("POST", "rooms/{}/read_markers", &[Bucket::Receipts]),
    ("PUT", "rooms/{}/typing/{}", &[Bucket::Typing]),
    ("PUT", "presence/{}/status", &[Bucket::Presence]),
    ("PUT", "devices/{}", &[Bucket::Account]),
    ("DELETE", "devices/{}", &[Bucket::Account]),
    ("POST", "delete_devices", &[Bucket::Account]),
    ("POST", "user/{}/openid/request_token", &[Bucket::Account]),
    ("POST", "account/password", &[Bucket::Account]),
    ("POST", "account/deactivate", &[Bucket::Account]),
    ("GET", "sync", &[Bucket::Syncs]),
];

/// The buckets of an endpoint. Each has one.
pub(super) fn buckets(method: &Method, paths: &[String], access: Access) -> &'static [Bucket] {
    let is_named = |(name, path, _): &&(&str, &str, _)| {
        method == *name && paths.iter().any(|it| is_of(it, path))
    };
    match (ENDPOINTS.iter().find(is_named), access, method) {
        (Some((_, _, buckets)), _, _) => buckets,
        (None, Access::Server, _) => &[Bucket::FederationAddress],
        (None, Access::Anyone | Access::Optional, _) => &[Bucket::Open],
        (None, _, &Method::GET) => &[Bucket::Reads],
        (None, _, _) => &[Bucket::Writes],
    }
}

/// Whether a path is that of an endpoint in any version.
fn is_of(path: &str, endpoint: &str) -> bool {
    let Some(path) = path.strip_prefix("/_matrix/client/") else { return false };
    let path = path.split_once('/').map_or("", |(_, rest)| rest);
    let (segments, expected) = (path.split('/'), endpoint.split('/'));
    segments.clone().count() == expected.clone().count()
        && segments.zip(expected).all(|(it, expected)| match expected {
            "{}" => it.starts_with('{'),
            literal => it == literal,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, path: &str, access: Access) -> &'static [Bucket] {
        buckets(method, &[path.to_owned()], access)
    }

    #[test]
    fn every_endpoint_has_a_bucket() {
        let (get, put) = (&Method::GET, &Method::PUT);
        let cases = [
            (get, "/_matrix/client/v3/sync", Access::Unchecked, &[Bucket::Syncs][..]),
            (get, "/_matrix/client/v3/rooms/{5}/state/{7}/{8}", Access::Required, &[Bucket::Reads]),
            (put, "/_matrix/client/r0/rooms/{5}/state/{7}/{8}", Access::Required, MESSAGES),
            (
                put,
                "/_matrix/client/v3/pushrules/global/{6}/{7}",
                Access::Required,
                &[Bucket::Writes],
            ),
            (get, "/_matrix/client/versions", Access::Anyone, &[Bucket::Open]),
            (get, "/.well-known/matrix/client", Access::Anyone, &[Bucket::Open]),
            (get, "/_matrix/client/v3/profile/{5}", Access::Anyone, &[Bucket::Open]),
            (
                get,
                "/_matrix/client/v3/rooms/{5}/joined_members",
                Access::Required,
                &[Bucket::Reads],
            ),
        ];
        for (method, path, access, expected) in cases {
            assert_eq!(of(method, path, access), expected, "{method} {path}");
        }
    }

    /// A name that fits nothing would leave its endpoint to another bucket.
    #[test]
    fn every_name_in_the_table_is_that_of_an_endpoint() {
        let routes = super::super::client::routes(super::super::mount::Routes::default());
        for (method, endpoint, _) in ENDPOINTS {
            let found = routes.mounted.iter().any(|it| it.is(method, |path| is_of(path, endpoint)));
            assert!(found, "{method} {endpoint}");
        }
    }
}
