//! What is taken of what identity servers say.

use ruma::{
    api::identity_service::invitation::store_invitation::v2::{PublicKey as StoredKey, PublicKeys},
    signatures::{Ed25519KeyPair, sign_json},
    third_party_invite::IdentityServerBase64PublicKey,
};
use serde_json::{Value as JsonValue, json};

use super::*;

const VALID: &str = "https://id.example/isvalid";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "0".to_owned()).unwrap()
}

fn public(pair: &Ed25519KeyPair) -> String {
    IdentityServerBase64PublicKey::new(&pair.public_key()).0
}

fn signed(pairs: &[&Ed25519KeyPair]) -> JsonValue {
    let mut object: CanonicalJsonObject =
        serde_json::from_value(json!({ "mxid": "@bob:x.y", "token": "abc" })).unwrap();
    for (index, pair) in pairs.iter().enumerate() {
        sign_json(&format!("id{index}.example"), *pair, &mut object).unwrap();
    }
    serde_json::to_value(object).unwrap()
}

#[test]
fn an_address_is_looked_up_as_the_specification_hashes_it() {
    let cases = [
        ("alice@example.com", "email", "4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc"),
        ("bob@example.com", "email", "LJwSazmv46n0hlMlsb_iYxI0_HXEqy_yj6Jm636cdT8"),
        ("18005552067", "msisdn", "nlo35_T5fzSGZzJApqu8lgIudJvmOQtDaHtr-I4rU7I"),
    ];
    for (address, medium, expected) in cases {
        assert_eq!(lookup_hash(address, medium, "matrixrocks"), expected);
    }
}

#[test]
fn what_an_identity_server_stores_is_what_a_room_may_have() {
    let key = public(&pair());
    let of = |token: &str, key: &str, url: &str, name: &str| {
        let stored = |key: &str| {
            StoredKey::new(IdentityServerBase64PublicKey(key.to_owned()), url.to_owned())
        };
        let keys = PublicKeys { server_key: stored(&public(&pair())), ephemeral_key: stored(key) };
        to_state(StoredInvite::new(token.to_owned(), keys, name.to_owned()))
    };
    let (long, very_long) = ("a".repeat(255), "a".repeat(256));
    let url_safe = "-_".repeat(21) + "8";
    let cases = [
        ("abc", key.as_str(), VALID, "b...", None),
        (&long, &key, VALID, "", None),
        ("a.B_0=-", &url_safe, VALID, "b...", None),
        ("", &key, VALID, "b...", Some(InviteError::Token)),
        (&very_long, &key, VALID, "b...", Some(InviteError::Token)),
        ("a/b", &key, VALID, "b...", Some(InviteError::Token)),
        ("ä", &key, VALID, "b...", Some(InviteError::Token)),
        ("abc", "AAAA", VALID, "b...", Some(InviteError::Key)),
        ("abc", "", VALID, "b...", Some(InviteError::Key)),
        ("abc", "*", VALID, "b...", Some(InviteError::Key)),
        ("abc", &key, "http://id.example/", "b...", Some(InviteError::ValidityUrl)),
        ("abc", &key, "https://a:b@id.example/", "b...", Some(InviteError::ValidityUrl)),
        ("abc", &key, "isvalid", "b...", Some(InviteError::ValidityUrl)),
        ("abc", &key, VALID, &very_long, Some(InviteError::DisplayName)),
    ];
    for (token, key, url, name, expected) in cases {
        let found = of(token, key, url, name);
        assert_eq!(found.as_ref().err(), expected.as_ref(), "{token} {key} {url} {name}");
        if let Ok((found, content)) = found {
            assert_eq!((found.as_str(), content.display_name.as_str()), (token, name));
            let keys = content.public_keys.unwrap();
            assert_eq!(keys[1].public_key.0, key);
            assert_eq!(content.public_key, keys[0].public_key);
            assert_eq!(content.key_validity_url, url);
        }
    }
}

#[test]
fn the_key_is_asked_for_behind_what_else_is_asked() {
    let cases = [
        (VALID, "https://id.example/isvalid?public_key=a%2Bb%2F"),
        ("https://id.example:1/x?y=z", "https://id.example:1/x?y=z&public_key=a%2Bb%2F"),
    ];
    for (url, expected) in cases {
        assert_eq!(validity_url(url, "a+b/").unwrap().as_str(), expected);
    }
}

#[test]
fn what_is_signed_names_a_user_and_a_token() {
    let read = read_signed(&signed(&[&pair()]).to_string()).unwrap();
    assert_eq!((read.mxid.as_str(), read.token.as_str()), ("@bob:x.y", "abc"));
    let others = [
        json!({ "mxid": "@bob:x.y" }),
        json!({ "token": "abc" }),
        json!({ "mxid": "bob", "token": "abc" }),
        json!({ "mxid": "@bob:x.y", "token": "" }),
        json!({ "mxid": "@bob:x.y", "token": "a".repeat(256) }),
        json!({ "mxid": "@bob:x.y", "token": 3 }),
        json!([]),
        json!(null),
    ];
    for other in others {
        assert_eq!(read_signed(&other.to_string()), Err(InviteError::Signed), "{other}");
    }
}

/// Who signs, and where it is asked whether that key is valid.
type Signer<'a> = (&'a Ed25519KeyPair, Option<&'a str>);

/// Which keys have signed is what the room's rules go by too (`tests/auth_rules`).
#[test]
fn a_key_of_the_room_must_have_signed() {
    let (server, ephemeral, other) = (pair(), pair(), pair());
    let key = |pair: &Ed25519KeyPair, url: Option<&str>| match url {
        Some(url) => json!({ "public_key": public(pair), "key_validity_url": url }),
        None => json!({ "public_key": public(pair) }),
    };
    let both = json!({ "display_name": "b...", "public_key": public(&server),
        "key_validity_url": VALID, "public_keys": [key(&server, Some(VALID)), key(&ephemeral, None)] });
    let first = json!({ "display_name": "b...", "public_key": public(&server),
        "key_validity_url": VALID });
    let revoked = json!({});
    let cases: [(&JsonValue, JsonValue, &[Signer<'_>]); 9] = [
        (&both, signed(&[&server]), &[(&server, Some(VALID))]),
        (&both, signed(&[&ephemeral]), &[(&ephemeral, None)]),
        (&both, signed(&[&other, &ephemeral]), &[(&ephemeral, None)]),
        (&first, signed(&[&server]), &[(&server, Some(VALID))]),
        (&first, signed(&[&ephemeral]), &[]),
        (&both, signed(&[&other]), &[]),
        (&both, signed(&[]), &[]),
        (&revoked, signed(&[&server]), &[]),
        (&json!(null), signed(&[&server]), &[]),
    ];
    for (content, signed, expected) in cases {
        let read = read_signed(&signed.to_string()).unwrap();
        let found = signed_by(&read, &content.to_string()).unwrap_or_default();
        let found: Vec<_> =
            found.into_iter().map(|it| (it.public_key.0, it.key_validity_url)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(pair, url)| (public(pair), url.map(str::to_owned))).collect();
        assert_eq!(found, expected, "{content} {signed}");
    }
    // For another user, by the same signature.
    let mut forged = signed(&[&server]);
    forged["mxid"] = json!("@mallory:x.y");
    let read = read_signed(&forged.to_string()).unwrap();
    assert_eq!(signed_by(&read, &both.to_string()).err(), Some(InviteError::Signature));
}
