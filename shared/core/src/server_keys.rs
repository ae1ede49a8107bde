//! The keys that servers publish: whether to believe what another one answers ([spec]), and what
//! this one answers ([`published`]), which is of its own keys ([`own`]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#publishing-keys

pub mod own;
pub mod published;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerSigningKeyId, ServerName,
    api::federation::discovery::ServerSigningKeys,
};

use crate::receipt::VerifyKey;

/// Bytes of an answer.
pub const MAX_BYTES: u64 = 64 * 1024;
/// Keys of one server, current and old ones.
pub const MAX_KEYS: usize = 100;
/// The longest that a current key is believed in without asking again, in milliseconds: seven days,
/// as the specification has it.
pub const MAX_VALIDITY_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Keys of one server that are kept: those that were valid last.
pub const MAX_KEPT: usize = 2 * MAX_KEYS;
/// How soon a server is asked once more that has answered, in milliseconds: it may have a new key.
pub const MIN_AGE_MS: u64 = 60 * 1000;
/// The same of one that has not, after the first and after many failures.
const FIRST_RETRY_MS: u64 = 10 * 1000;
const MAX_RETRY_MS: u64 = 60 * 60 * 1000;

/// How long after so many failures in a row a server is not asked for its keys.
pub fn retry_after_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_RETRY_MS << doublings).min(MAX_RETRY_MS)
}

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not what the specification says.
    #[error("not a list of keys: {0}")]
    Format(String),
    /// Keys of somebody else.
    #[error("the keys are those of {0}")]
    Server(String),
    /// More than [`MAX_KEYS`].
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    /// No key can be used.
    #[error("there is no key to verify with")]
    NoKey,
    /// None of the current keys signed the answer, or one did wrongly.
    #[error("the answer is not signed by its own keys")]
    Signature,
    /// The notary has not signed the answer, or wrongly.
    #[error("the answer is not signed by the notary")]
    Notary,
    /// The answer says of itself that its time is over.
    #[error("the keys were valid until {0} only")]
    Expired(u64),
}

/// The keys of one server.
#[derive(Clone, Debug)]
pub struct ServerKeys {
    /// Current and old ones. Until when a current one is valid is bounded by [`MAX_VALIDITY_MS`].
    pub keys: Vec<(OwnedServerSigningKeyId, VerifyKey)>,
    /// When to ask again, in milliseconds since the Unix epoch.
    pub valid_until_ms: u64,
}

/// Reads what a server says of its own keys and verifies that the keys themselves say so.
///
/// Keys of other algorithms than ed25519 and keys under which anybody can sign are left out.
///
/// # Errors
///
/// See [`KeysError`].
pub fn read(json: &[u8], server: &ServerName, now_ms: u64) -> Result<ServerKeys, KeysError> {
    // One reading for the signature and for the keys: in JSON a name may stand twice.
    let object: CanonicalJsonObject = serde_json::from_slice(json).map_err(|it| format(&it))?;
    let keys = read_object(object, server, now_ms)?;
    match keys.valid_until_ms <= now_ms {
        true => Err(KeysError::Expired(keys.valid_until_ms)),
        false => Ok(keys),
    }
}

/// Reads what a notary says of the keys of a server, and verifies that the notary says so, and that
/// the keys themselves do. Their time may be over: the server may not be there any more.
///
/// # Errors
///
/// See [`KeysError`].
pub fn read_notarized(
    json: &[u8],
    server: &ServerName,
    notary: (&ServerName, &[(OwnedServerSigningKeyId, VerifyKey)]),
    now_ms: u64,
) -> Result<ServerKeys, KeysError> {
    let object: CanonicalJsonObject = serde_json::from_slice(json).map_err(|it| format(&it))?;
    let (message, signatures) = signed_part(object.clone())?;
    let (notary, keys) = notary;
    let keys: Vec<_> = keys.iter().filter(|(_, key)| key.is_valid_at(now_ms)).cloned().collect();
    verify(&message, signatures.as_ref(), notary, &keys).map_err(|_| KeysError::Notary)?;
    read_object(object, server, now_ms)
}

fn format(error: &serde_json::Error) -> KeysError {
    KeysError::Format(error.to_string())
}

/// Reads an answer, whose time may be over.
fn read_object(
    object: CanonicalJsonObject,
    server: &ServerName,
    now_ms: u64,
) -> Result<ServerKeys, KeysError> {
    let format = |error: serde_json::Error| format(&error);
    let answer: ServerSigningKeys =
        serde_json::to_value(&object).and_then(serde_json::from_value).map_err(format)?;
    if answer.server_name != server {
        return Err(KeysError::Server(answer.server_name.into()));
    }
    if answer.verify_keys.len() + answer.old_verify_keys.len() > MAX_KEYS {
        return Err(KeysError::TooMany);
    }
    let stated_ms = u64::from(answer.valid_until_ts.get());
    let valid_until_ms = stated_ms.min(now_ms.saturating_add(MAX_VALIDITY_MS));
    let current = || {
        let keys = answer.verify_keys.iter().filter(|(id, _)| is_ed25519(id));
        keys.filter_map(|(id, it)| {
            Some((id.clone(), VerifyKey::current(it.key.as_bytes(), valid_until_ms).ok()?))
        })
    };
    let mut keys: Vec<_> = current().collect();
    if keys.is_empty() {
        return Err(KeysError::NoKey);
    }
    let (message, signatures) = signed_part(object)?;
    verify(&message, signatures.as_ref(), server, &keys)?;
    for (id, old) in answer.old_verify_keys.iter().filter(|(id, _)| is_ed25519(id)) {
        let expired_ms = u64::from(old.expired_ts.get());
        // A key that is current is not taken back by an old one of the same ID.
        if let Ok(key) = VerifyKey::old(old.key.as_bytes(), expired_ms)
            && !answer.verify_keys.contains_key(id)
        {
            keys.push((id.clone(), key));
        }
    }
    Ok(ServerKeys { keys, valid_until_ms })
}

fn is_ed25519(id: &OwnedServerSigningKeyId) -> bool {
    id.as_str().starts_with("ed25519:")
}

/// What is signed of an answer, and the signatures.
fn signed_part(
    mut object: CanonicalJsonObject,
) -> Result<(Vec<u8>, Option<CanonicalJsonValue>), KeysError> {
    let signatures = object.remove("signatures");
    object.remove("unsigned");
    let message = serde_json::to_vec(&object).map_err(|it| format(&it))?;
    Ok((message, signatures))
}

/// At least one of the keys signed the message, and none wrongly.
fn verify(
    message: &[u8],
    signatures: Option<&CanonicalJsonValue>,
    server: &ServerName,
    keys: &[(OwnedServerSigningKeyId, VerifyKey)],
) -> Result<(), KeysError> {
    let signatures = signatures.and_then(|it| it.as_object()?.get(server.as_str())?.as_object());
    let signatures = signatures.ok_or(KeysError::Signature)?;
    let mut signed = false;
    for (id, key) in keys {
        let Some(signature) = signatures.get(id.as_str()) else { continue };
        let valid = signature.as_str().is_some_and(|it| key.verifies(message, it));
        if !valid {
            return Err(KeysError::Signature);
        }
        signed = true;
    }
    if signed { Ok(()) } else { Err(KeysError::Signature) }
}

#[cfg(test)]
mod tests {
    use ruma::signatures::sign_json;
    use serde_json::{Value, json};

    use super::*;
    use crate::SigningKey;

    const NOW_MS: u64 = 1_000_000_000_000;
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn key(seed: u8, version: &str) -> SigningKey {
        SigningKey::from_seed([seed; 32], version).unwrap()
    }

    fn server() -> &'static ServerName {
        "a.example".try_into().unwrap()
    }

    fn unsigned(keys: &[&SigningKey], valid_until_ms: u64) -> Value {
        let keys: serde_json::Map<_, _> = keys
            .iter()
            .map(|it| (it.id().to_string(), json!({ "key": it.public_base64() })))
            .collect();
        json!({
            "server_name": "a.example",
            "verify_keys": keys,
            "old_verify_keys": {},
            "valid_until_ts": valid_until_ms,
        })
    }

    fn signed(value: Value, keys: &[&SigningKey]) -> Vec<u8> {
        let mut object: CanonicalJsonObject = serde_json::from_value(value).unwrap();
        for key in keys {
            sign_json("a.example", key.pair(), &mut object).unwrap();
        }
        serde_json::to_vec(&object).unwrap()
    }

    #[test]
    fn keys_that_sign_for_themselves_are_believed_for_a_week_at_most() {
        let (one, two) = (key(1, "one"), key(2, "two"));
        let mut value = unsigned(&[&one, &two], NOW_MS + DAY_MS);
        value["old_verify_keys"] = json!({
            "ed25519:old": { "key": key(3, "old").public_base64(), "expired_ts": 7 },
            "ed25519:one": { "key": key(4, "one").public_base64(), "expired_ts": 7 },
        });
        let found = read(&signed(value, &[&one]), server(), NOW_MS).unwrap();
        assert_eq!(found.valid_until_ms, NOW_MS + DAY_MS);
        let ids: Vec<_> = found.keys.iter().map(|(id, key)| (id.as_str(), key.is_old())).collect();
        assert_eq!(ids, [("ed25519:one", false), ("ed25519:two", false), ("ed25519:old", true)]);
        assert!(found.keys[2].1.is_valid_at(7) && !found.keys[2].1.is_valid_at(8));

        let far = signed(unsigned(&[&one], NOW_MS + 365 * DAY_MS), &[&one]);
        let found = read(&far, server(), NOW_MS).unwrap();
        assert_eq!(found.valid_until_ms, NOW_MS + MAX_VALIDITY_MS);
        assert_eq!(found.keys[0].1.valid_until_ms, NOW_MS + MAX_VALIDITY_MS);
    }

    #[test]
    fn an_answer_that_nobody_vouches_for_is_not_believed() {
        let (one, other) = (key(1, "one"), key(2, "other"));
        let value = || unsigned(&[&one], NOW_MS + DAY_MS);
        let altered = |change: &dyn Fn(&mut Value)| {
            let bytes = signed(value(), &[&one]);
            let mut value: Value = serde_json::from_slice(&bytes).unwrap();
            change(&mut value);
            serde_json::to_vec(&value).unwrap()
        };
        let another = ServerName::parse("b.example").unwrap();
        let cases: Vec<(&str, Vec<u8>, KeysError)> = vec![
            ("nobody signed", signed(value(), &[]), KeysError::Format(String::new())),
            ("a stranger signed", signed(value(), &[&other]), KeysError::Signature),
            (
                "longer than signed",
                altered(&|it| it["valid_until_ts"] = json!(NOW_MS + 2 * DAY_MS)),
                KeysError::Signature,
            ),
            (
                "another key slipped in",
                altered(&|it| {
                    it["verify_keys"]["ed25519:x"] = json!({"key": other.public_base64()});
                }),
                KeysError::Signature,
            ),
            (
                "no signature at all",
                altered(&|it| it["signatures"]["a.example"]["ed25519:one"] = json!(3)),
                KeysError::Format(String::new()),
            ),
            ("no keys", signed(unsigned(&[], NOW_MS + DAY_MS), &[&one]), KeysError::NoKey),
            ("over", signed(unsigned(&[&one], NOW_MS), &[&one]), KeysError::Expired(NOW_MS)),
            ("no JSON", b"{".to_vec(), KeysError::Format(String::new())),
        ];
        for (name, bytes, expected) in cases {
            let found = read(&bytes, server(), NOW_MS).unwrap_err();
            let alike = std::mem::discriminant(&found) == std::mem::discriminant(&expected);
            assert!(alike, "{name}: {found:?}");
        }
        let found = read(&signed(value(), &[&one]), &another, NOW_MS).unwrap_err();
        assert_eq!(found, KeysError::Server("a.example".to_owned()));
    }

    #[test]
    fn a_wrong_signature_beside_a_right_one_is_not_believed() {
        let (one, two) = (key(1, "one"), key(2, "two"));
        let bytes = signed(unsigned(&[&one, &two], NOW_MS + DAY_MS), &[&one, &key(3, "two")]);
        assert_eq!(read(&bytes, server(), NOW_MS).unwrap_err(), KeysError::Signature);
    }

    #[test]
    fn a_notary_is_believed_of_what_both_have_signed() {
        let (one, notary) = (key(1, "one"), key(9, "notary"));
        let name = ServerName::parse("notary.example").unwrap();
        let bytes = VerifyKey::decode(&notary.public_base64()).unwrap();
        let keys = [(notary.id().to_owned(), VerifyKey::current(&bytes, NOW_MS).unwrap())];
        let read = |json: &[u8], now_ms| {
            read_notarized(json, server(), (&name, &keys), now_ms).map(|it| it.valid_until_ms)
        };
        let answer = |until_ms| signed(unsigned(&[&one], until_ms), &[&one]);
        let notarized = |json: &[u8]| {
            let json =
                serde_json::value::RawValue::from_string(String::from_utf8(json.to_vec()).unwrap());
            let raw = published::notarize(&json.unwrap(), &name, &notary).unwrap();
            raw.get().as_bytes().to_vec()
        };
        // Of a server that is gone, its keys are still those of its events.
        for until_ms in [NOW_MS + DAY_MS, NOW_MS - DAY_MS] {
            assert_eq!(read(&notarized(&answer(until_ms)), NOW_MS), Ok(until_ms));
        }
        assert_eq!(read(&answer(NOW_MS + DAY_MS), NOW_MS), Err(KeysError::Notary));
        let stale = read(&notarized(&answer(NOW_MS + DAY_MS)), NOW_MS + 1);
        assert_eq!(stale, Err(KeysError::Notary), "by a key that the notary has not any more");
        let forged = signed(unsigned(&[&one], NOW_MS + DAY_MS), &[&key(2, "one")]);
        assert_eq!(read(&notarized(&forged), NOW_MS), Err(KeysError::Signature));
    }

    #[test]
    fn who_does_not_answer_is_asked_ever_less_often() {
        let waits = [0, 1, 2, 3, 9, 10, u32::MAX].map(|it| retry_after_ms(it) / 1000);
        assert_eq!(waits, [10, 10, 20, 40, 2_560, 3_600, 3_600]);
    }

    #[test]
    fn keys_are_bounded_and_unusable_ones_left_out() {
        let one = key(1, "one");
        let mut value = unsigned(&[&one], NOW_MS + DAY_MS);
        // The neutral element: under it, everything is signed.
        let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        value["verify_keys"]["ed25519:weak"] = json!({ "key": weak });
        value["verify_keys"]["ed25519:short"] = json!({ "key": "AQAA" });
        let found = read(&signed(value.clone(), &[&one]), server(), NOW_MS).unwrap();
        assert_eq!(found.keys.len(), 1);
        for number in 0..MAX_KEYS {
            value["old_verify_keys"][format!("ed25519:{number}")] =
                json!({ "key": one.public_base64(), "expired_ts": 1 });
        }
        let found = read(&signed(value, &[&one]), server(), NOW_MS);
        assert_eq!(found.unwrap_err(), KeysError::TooMany);
    }
}
