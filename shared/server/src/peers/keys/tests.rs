//! Keys that are believed, and those that are not. What makes the difference is tested in core.

use http::StatusCode;
use ruma::{CanonicalJsonObject, signatures::sign_json};
use serde_json::json;
use skerry_core::{SigningKey, server_keys::KeysError};

use super::*;
use crate::{
    peers::testing::{BEGIN_MS, World, name, now},
    ports::{http::Fault, scripted::Scripted},
};

const URL: &str = "https://b.example:1/_matrix/key/v2/server";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a server says of its keys.
fn published(server: &str, valid_until_ms: u64) -> String {
    let key = SigningKey::from_seed([9; 32], "theirs").unwrap();
    let mut object: CanonicalJsonObject = serde_json::from_value(json!({
        "server_name": server,
        "verify_keys": { "ed25519:theirs": { "key": key.public_base64() } },
        "old_verify_keys": {},
        "valid_until_ts": valid_until_ms,
    }))
    .unwrap();
    sign_json(server, key.pair(), &mut object).unwrap();
    serde_json::to_string(&object).unwrap()
}

fn ask(world: &World) -> Result<ServerKeys, PeerError> {
    now(world.peers().keys(&name("b.example:1"))).map(|it| it.keys)
}

#[test]
fn keys_that_sign_for_themselves_are_believed() {
    let world = World::new();
    world.http.on(URL, Scripted::ok(published("b.example:1", BEGIN_MS + DAY_MS)));
    let found = ask(&world).unwrap();
    assert_eq!(found.valid_until_ms, BEGIN_MS + DAY_MS);
    assert_eq!(found.keys.len(), 1);
    assert!(found.keys[0].1.is_valid_at(BEGIN_MS));
}

#[test]
fn keys_are_not_believed_for_other_reasons() {
    let world = World::new();
    world.http.on(URL, Scripted::ok(published("c.example", BEGIN_MS + DAY_MS)));
    world.http.on(URL, Scripted::ok(published("b.example:1", BEGIN_MS)));
    world.http.on(URL, Scripted::ok("[]"));
    world.http.on(URL, Scripted::ok("x".repeat(70_000)));
    world.http.on(URL, Scripted::new(StatusCode::NOT_FOUND, "{}"));
    let found = ask(&world).unwrap_err();
    assert!(matches!(found, PeerError::Keys(KeysError::Server(_))), "{found:?}");
    let found = ask(&world).unwrap_err();
    assert!(matches!(found, PeerError::Keys(KeysError::Expired(_))), "{found:?}");
    let found = ask(&world).unwrap_err();
    assert!(matches!(found, PeerError::Keys(KeysError::Format(_))), "{found:?}");
    let found = ask(&world).unwrap_err();
    assert!(matches!(&found, PeerError::Http(it) if it.fault == Fault::TooLarge), "{found:?}");
    let found = ask(&world).unwrap_err();
    assert!(matches!(found, PeerError::Refused(_)), "{found:?}");
}
