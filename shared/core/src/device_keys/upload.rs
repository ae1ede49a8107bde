//! What a device uploads ([spec]): its own keys, one-time keys and fallback keys.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload

use ruma::{CanonicalJsonValue, DeviceId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    Fault, InvalidKeys, MAX_FALLBACK_KEYS, MAX_KEY_ID_BYTES, MAX_KEYS_BYTES,
    MAX_ONE_TIME_KEY_BYTES, MAX_UPLOADED, Signed, invalid, refused, say_the_same,
};

/// The algorithm of one-time keys that are signed ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#key-algorithms
pub const SIGNED_CURVE25519: &str = "signed_curve25519";

/// A one-time key, or a fallback key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKey {
    /// Its algorithm.
    pub algorithm: String,
    /// What its device calls it, without the algorithm.
    pub key_id: String,
    /// The key, as it is given out.
    pub json: String,
}

impl OneTimeKey {
    /// Algorithm and ID.
    pub fn name(&self) -> String {
        format!("{}:{}", self.algorithm, self.key_id)
    }

    /// Whether it is the same key as another of its name. It may be signed anew.
    pub fn is_same(&self, json: &str) -> bool {
        say_the_same(&self.json, json)
    }
}

/// What of an upload may be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The keys of the device, as they are stored.
    pub device_keys: Option<String>,
    /// One-time keys, in their order.
    pub one_time_keys: Vec<OneTimeKey>,
    /// Fallback keys, one for an algorithm.
    pub fallback_keys: Vec<OneTimeKey>,
}

/// The keys of a device: what it says of itself, signed by the key that it has there.
///
/// # Errors
///
/// Where it is another device's, has no such key, or is not signed by it.
pub fn device_keys(
    json: &str,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<String, InvalidKeys> {
    let mut keys = Signed::read(json, MAX_KEYS_BYTES)?;
    let is_own = keys.text("user_id") == Some(user_id.as_str())
        && keys.text("device_id") == Some(device_id.as_str());
    if !is_own {
        return invalid("the keys are those of another user or device");
    }
    let is_text = |it: &CanonicalJsonValue| it.as_str().is_some();
    if !keys.list("algorithms").is_some_and(|it| it.iter().all(is_text)) {
        return invalid("`algorithms` is no list of algorithms");
    }
    let is_of_device = |id: &str| {
        id.split_once(':').is_some_and(|(algorithm, device)| {
            !algorithm.is_empty() && device == device_id.as_str()
        })
    };
    if !keys.keys().all(|(id, key)| is_of_device(id) && is_text(key)) {
        return invalid("a key is not named for its algorithm and the device");
    }
    let key_id = format!("ed25519:{device_id}");
    let Some(key) = keys.ed25519(&key_id) else {
        return invalid("there is no ed25519 key of the device");
    };
    if !keys.is_signed(user_id, &key_id, &key) {
        return refused(Fault::Signature, "the device has not signed its keys");
    }
    // Signatures by cross-signing keys come by an endpoint of their own.
    keys.keep_signatures(user_id, |it| it == key_id);
    Ok(keys.to_json())
}

/// One-time keys, by algorithm and ID.
///
/// # Errors
///
/// Where there are too many, or one is not what its algorithm has.
pub fn one_time_keys<'a>(
    keys: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<Vec<OneTimeKey>, InvalidKeys> {
    if keys.len() > MAX_UPLOADED {
        return refused(Fault::TooLarge, "there are too many keys in one request");
    }
    keys.map(|(name, json)| one_time_key(name, json, user_id, device_id)).collect()
}

/// Fallback keys, by algorithm and ID: one for an algorithm.
///
/// # Errors
///
/// As [`one_time_keys`], and where there are two for an algorithm.
pub fn fallback_keys<'a>(
    keys: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<Vec<OneTimeKey>, InvalidKeys> {
    let mut keys = one_time_keys(keys, user_id, device_id)?;
    keys.sort_by(|one, other| one.algorithm.cmp(&other.algorithm));
    if keys.len() as u64 > MAX_FALLBACK_KEYS {
        return refused(Fault::TooLarge, "there are too many fallback keys");
    }
    let is_twice = |it: &[OneTimeKey]| matches!(it, [a, b] if a.algorithm == b.algorithm);
    match keys.windows(2).any(is_twice) {
        true => invalid("there are two fallback keys for one algorithm"),
        false => Ok(keys),
    }
}

fn one_time_key(
    name: &str,
    json: &str,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<OneTimeKey, InvalidKeys> {
    let named = name.split_once(':').filter(|(algorithm, key_id)| {
        let is_name = |it: &str| !it.is_empty() && it.len() <= MAX_KEY_ID_BYTES;
        is_name(algorithm) && is_name(key_id)
    });
    let Some((algorithm, key_id)) = named else {
        return invalid("a key is not named for its algorithm and ID");
    };
    if json.len() > MAX_ONE_TIME_KEY_BYTES {
        return refused(Fault::TooLarge, "a one-time key is too large");
    }
    let json = match serde_json::from_str(json) {
        Ok(CanonicalJsonValue::String(key)) if algorithm != SIGNED_CURVE25519 => {
            CanonicalJsonValue::String(key).to_string()
        }
        Ok(CanonicalJsonValue::Object(_)) => {
            let key = Signed::read(json, MAX_ONE_TIME_KEY_BYTES)?;
            let is_signed = key.signature(user_id, &format!("ed25519:{device_id}")).is_some();
            if algorithm == SIGNED_CURVE25519 && (key.text("key").is_none() || !is_signed) {
                return invalid("a signed key has no `key`, or no signature by the device");
            }
            key.to_json()
        }
        _ => return invalid("a one-time key is not what its algorithm has"),
    };
    Ok(OneTimeKey { algorithm: algorithm.to_owned(), key_id: key_id.to_owned(), json })
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};
    use serde_json::{Value, json};

    use super::*;
    use crate::device_keys::testing::{device, signed};

    type Change = fn(&mut Value);

    #[test]
    fn a_device_speaks_for_itself_alone() {
        let (user, id) = (user_id!("@ann:a"), device_id!("PHONE"));
        let keys = device(1, user, "PHONE");
        let stored = device_keys(&keys.to_string(), user, id).unwrap();
        assert_eq!(stored, device_keys(&stored, user, id).unwrap(), "as it is stored");
        let resign: fn(Value) -> Value = |it| signed(it, user_id!("@ann:a"), 1, "ed25519:PHONE");
        let cases: [(&str, Change, Fault); 9] = [
            ("another user", |it| it["user_id"] = json!("@bob:a"), Fault::Param),
            ("another device", |it| it["device_id"] = json!("TABLET"), Fault::Param),
            ("no algorithms", |it| it["algorithms"] = json!("x"), Fault::Param),
            ("a number among them", |it| it["algorithms"] = json!([1]), Fault::Param),
            ("no key", |it| it["keys"] = json!({}), Fault::Param),
            ("a key that is none", |it| it["keys"]["ed25519:PHONE"] = json!("AQAA"), Fault::Param),
            ("a key of another device", |it| it["keys"]["x:TABLET"] = json!("x"), Fault::Param),
            ("a fraction", |it| it["x"] = json!(1.5), Fault::Param),
            ("too large", |it| it["x"] = json!("x".repeat(MAX_KEYS_BYTES)), Fault::TooLarge),
        ];
        for (name, change, fault) in cases {
            let mut keys = keys.clone();
            change(&mut keys);
            let keys = if name == "a fraction" { keys } else { resign(keys) };
            let refused = device_keys(&keys.to_string(), user, id).unwrap_err();
            assert_eq!(refused.fault, fault, "{name}");
        }
    }

    #[test]
    fn a_device_signs_its_keys() {
        let (user, id) = (user_id!("@ann:a"), device_id!("PHONE"));
        let check = |keys: &Value| device_keys(&keys.to_string(), user, id);
        let mut altered = device(1, user, "PHONE");
        altered["more"] = json!(1);
        assert_eq!(check(&altered).unwrap_err().fault, Fault::Signature);
        let mut unsigned = device(1, user, "PHONE");
        unsigned["signatures"] = json!({});
        assert_eq!(check(&unsigned).unwrap_err().fault, Fault::Signature);
        let mut other = device(1, user, "PHONE");
        other["unsigned"] = json!({ "device_display_name": "x" });
        other["signatures"]["@bob:a"] = json!({ "ed25519:x": "x" });
        other["signatures"]["@ann:a"]["ed25519:y"] = json!("y");
        let stored: Value = serde_json::from_str(&check(&other).unwrap()).unwrap();
        assert_eq!(stored, device(1, user, "PHONE"), "nothing else is stored");
    }

    #[test]
    fn one_time_keys_are_what_their_algorithm_has() {
        let (user, id) = (user_id!("@ann:a"), device_id!("PHONE"));
        let check = |name: &str, json: &Value| {
            let json = json.to_string();
            one_time_keys([(name, &*json)].into_iter(), user, id).map(|it| it[0].clone())
        };
        let signatures = json!({ "@ann:a": { "ed25519:PHONE": "x" } });
        let key = json!({ "key": "abc", "signatures": signatures });
        let found = check("signed_curve25519:AAAA", &key).unwrap();
        assert_eq!((&*found.algorithm, &*found.key_id), (SIGNED_CURVE25519, "AAAA"));
        assert_eq!(found.name(), "signed_curve25519:AAAA");
        check("curve25519:AAAA", &json!("abc")).unwrap();
        check("org.example:a:b", &json!({ "any": [1] })).unwrap();
        let cases = [
            ("AAAA", json!("abc"), Fault::Param),
            (":AAAA", json!("abc"), Fault::Param),
            ("curve25519:", json!("abc"), Fault::Param),
            ("signed_curve25519:AAAA", json!("abc"), Fault::Param),
            ("signed_curve25519:AAAA", json!({ "signatures": signatures }), Fault::Param),
            ("signed_curve25519:AAAA", json!({ "key": "abc" }), Fault::Param),
            ("curve25519:AAAA", json!(7), Fault::Param),
            ("curve25519:AAAA", json!([]), Fault::Param),
            ("curve25519:A", json!("x".repeat(MAX_ONE_TIME_KEY_BYTES)), Fault::TooLarge),
        ];
        for (name, json, fault) in cases {
            assert_eq!(check(name, &json).unwrap_err().fault, fault, "{name} {json}");
        }
        let long = format!("curve25519:{}", "x".repeat(MAX_KEY_ID_BYTES + 1));
        assert_eq!(check(&long, &json!("abc")).unwrap_err().fault, Fault::Param);
        let many: Vec<_> = (0..=MAX_UPLOADED).map(|it| format!("curve25519:{it}")).collect();
        let many = one_time_keys(many.iter().map(|it| (&**it, r#""abc""#)), user, id);
        assert_eq!(many.unwrap_err().fault, Fault::TooLarge);
    }

    #[test]
    fn there_is_one_fallback_key_for_an_algorithm() {
        let (user, id) = (user_id!("@ann:a"), device_id!("PHONE"));
        let check = |names: &[&str]| {
            fallback_keys(names.iter().map(|it| (*it, r#""abc""#)), user, id).map(|it| it.len())
        };
        assert_eq!(check(&["curve25519:A", "other:B"]), Ok(2));
        assert_eq!(check(&["a:A", "b:B", "a:C"]).unwrap_err().fault, Fault::Param);
        let names: Vec<_> = (0..=MAX_FALLBACK_KEYS).map(|it| format!("x{it}:A")).collect();
        let names: Vec<_> = names.iter().map(|it| &**it).collect();
        assert_eq!(check(&names).unwrap_err().fault, Fault::TooLarge);
    }

    #[test]
    fn a_key_that_is_signed_anew_is_the_same() {
        let key = |json: &Value| OneTimeKey {
            algorithm: SIGNED_CURVE25519.to_owned(),
            key_id: "A".to_owned(),
            json: json.to_string(),
        };
        let one = json!({ "key": "abc", "signatures": { "@ann:a": { "ed25519:D": "x" } } });
        let anew = json!({ "key": "abc", "signatures": { "@ann:a": { "ed25519:D": "y" } } });
        let other = json!({ "key": "def", "signatures": { "@ann:a": { "ed25519:D": "x" } } });
        assert!(key(&one).is_same(&anew.to_string()));
        assert!(!key(&one).is_same(&other.to_string()));
        assert!(key(&json!("abc")).is_same(r#""abc""#));
        assert!(!key(&json!("abc")).is_same(r#""def""#));
    }
}
