//! User-interactive authentication: its sessions, and what is answered to its data.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::{House, PASSWORD};

#[tokio::test]
async fn a_session_for_authentication_ends_and_fits_one_operation() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    let token = alice["access_token"].as_str().unwrap();
    let ask =
        async |path: &'static str, body: Value| house.ask(Method::POST, path, token, &body).await;
    let auth = |session: &Value| {
        json!({ "type": "m.login.password", "password": PASSWORD, "session": session,
            "identifier": { "type": "m.id.user", "user": "alice" } })
    };
    let body = json!({ "new_password": "another long password", "logout_devices": false });
    let with = |auth: Value| {
        let mut body = body.clone();
        body["auth"] = auth;
        body
    };
    let (_, challenge) = ask("/account/password", body.clone()).await;
    let session = &challenge["session"];
    let (status, _) = ask("/account/deactivate", json!({ "auth": auth(session) })).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "another operation");
    house.pass(2 * 60 * 60 * 1000);
    let (status, reply) = ask("/account/password", with(auth(session))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "too late: {reply}");
    let (status, reply) = ask("/account/password", with(auth(&reply["session"]))).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
}

#[tokio::test]
async fn what_is_answered_to_authentication_data() {
    let house = House::open().await;
    let alice = house.register("alice").await;
    house.register("bob").await;
    let token = alice["access_token"].as_str().unwrap();
    let password = |user: &str, password: &str| {
        json!({ "type": "m.login.password", "password": password,
            "identifier": { "type": "m.id.user", "user": user } })
    };
    let by_mail = json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "a@b.c" } });
    let cases = [
        ("nothing", Value::Null, 401, None),
        ("an acknowledged fallback", json!({ "session": "x" }), 401, Some("M_FORBIDDEN")),
        ("another stage", json!({ "type": "m.login.dummy" }), 401, Some("M_UNRECOGNIZED")),
        ("an unknown stage", json!({ "type": "org.x" }), 401, Some("M_UNRECOGNIZED")),
        ("half the data", json!({ "type": "m.login.password" }), 400, Some("M_MISSING_PARAM")),
        ("no object", json!("m.login.password"), 400, Some("M_BAD_JSON")),
        ("a wrong password", password("alice", "wrong"), 401, Some("M_FORBIDDEN")),
        ("another user", password("bob", PASSWORD), 403, Some("M_FORBIDDEN")),
        ("another server's user", password("@alice:x", PASSWORD), 401, Some("M_FORBIDDEN")),
        ("an address", by_mail, 401, Some("M_FORBIDDEN")),
        ("the full ID", password("@alice:example.org", PASSWORD), 200, None),
        ("the localpart", password("alice", PASSWORD), 200, None),
    ];
    for (name, auth, expected, errcode) in cases {
        let body = json!({ "devices": ["OTHER"], "auth": auth });
        let (status, reply) = house.ask(Method::POST, "/delete_devices", token, &body).await;
        assert_eq!(status.as_u16(), expected, "{name}: {reply}");
        assert_eq!(reply["errcode"].as_str(), errcode, "{name}: {reply}");
        if expected == 401 {
            assert_eq!(reply["flows"], json!([{ "stages": ["m.login.password"] }]), "{name}");
            assert!(reply["session"].is_string(), "{name}");
        }
    }
}
