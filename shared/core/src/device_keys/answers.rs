//! Keys as others are given them, and what to believe of what other servers answer.

use ruma::{CanonicalJsonValue, DeviceId, UserId};
use serde::Deserialize;

use super::{
    MAX_KEYS_BYTES, Signed, cross_signing,
    upload::{OneTimeKey, one_time_keys},
};

/// Characters of the name of a device of another server.
const MAX_NAME_CHARS: usize = 100;

/// Keys of a device with the name that people give it: for who may know it.
pub fn with_display_name(json: String, name: Option<&str>) -> String {
    match (name, json.strip_prefix('{')) {
        (Some(name), Some(rest)) if rest.len() > 1 => {
            let name = CanonicalJsonValue::String(name.to_owned());
            format!(r#"{{"unsigned":{{"device_display_name":{name}}},{rest}"#)
        }
        _ => json,
    }
}

/// A key with signatures of a user, which only that user is shown.
pub fn with_signatures(json: String, user_id: &UserId, by: &[(String, String)]) -> String {
    if by.is_empty() {
        return json;
    }
    let Ok(mut key) = Signed::read(&json, MAX_KEYS_BYTES) else { return json };
    for (key_id, signature) in by {
        key.sign(user_id, key_id, signature);
    }
    key.to_json()
}

/// The keys of a device as its server gives them, if they are that device's. What its name is is
/// passed on: `name`, or what stands with the keys.
pub fn remote_device(
    json: &str,
    (user_id, device_id): (&UserId, &DeviceId),
    name: Option<&str>,
) -> Option<String> {
    #[derive(Default, Deserialize)]
    struct Unsigned {
        device_display_name: Option<String>,
    }
    #[derive(Deserialize)]
    struct Device {
        #[serde(default)]
        unsigned: Unsigned,
    }
    let keys = Signed::read(json, MAX_KEYS_BYTES).ok()?;
    let is_own = keys.text("user_id") == Some(user_id.as_str())
        && keys.text("device_id") == Some(device_id.as_str());
    if !is_own {
        return None;
    }
    let device = serde_json::from_str::<Device>(json).ok();
    let in_keys = device.and_then(|it| it.unsigned.device_display_name);
    let name = name.or(in_keys.as_deref());
    let name = name.map(|it| it.chars().take(MAX_NAME_CHARS).collect::<String>());
    Some(with_display_name(keys.to_json(), name.as_deref()))
}

/// A cross-signing key as its user's server answers it, if it is one.
pub fn remote_cross_signing(json: &str, user_id: &UserId, usage: &str) -> Option<String> {
    let mut key = cross_signing::read(json, user_id, usage).ok()?;
    key.signed.keep_signatures(user_id, |_| true);
    Some(key.signed.to_json())
}

/// A one-time key as its device's server answers it, if it is of the algorithm that was asked for.
pub fn remote_one_time_key(
    name: &str,
    json: &str,
    (user_id, device_id): (&UserId, &DeviceId),
    algorithm: &str,
) -> Option<OneTimeKey> {
    let keys = one_time_keys([(name, json)].into_iter(), user_id, device_id).ok()?;
    keys.into_iter().next().filter(|it| it.algorithm == algorithm)
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};
    use serde_json::{Value, json};

    use super::*;
    use crate::device_keys::testing::{cross_signing as key, device, signed};

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_device_is_shown_by_its_name() {
        let keys = device(1, user_id!("@ann:a"), "PHONE");
        let shown = value(&with_display_name(keys.to_string(), Some(r#"Ann's "phone""#)));
        assert_eq!(shown["unsigned"]["device_display_name"], r#"Ann's "phone""#);
        assert_eq!(shown["keys"], keys["keys"]);
        assert_eq!(value(&with_display_name(keys.to_string(), None)), keys);
    }

    #[test]
    fn of_other_servers_answers_only_what_was_asked_for_is_believed() {
        let (bob, id) = (user_id!("@bob:b"), device_id!("PHONE"));
        let mut keys = device(1, bob, "PHONE");
        keys["unsigned"] = json!({ "device_display_name": "Bob's", "more": "x" });
        let believed = value(&remote_device(&keys.to_string(), (bob, id), None).unwrap());
        assert_eq!(believed["unsigned"], json!({ "device_display_name": "Bob's" }));
        assert_eq!(believed["signatures"], keys["signatures"]);
        let named = remote_device(&keys.to_string(), (bob, id), Some(&"x".repeat(500))).unwrap();
        let name = json!({ "device_display_name": "x".repeat(MAX_NAME_CHARS) });
        assert_eq!(value(&named)["unsigned"], name);
        let text = keys.to_string();
        assert_eq!(remote_device(&text, (user_id!("@eve:b"), id), None), None);
        assert_eq!(remote_device(&text, (bob, device_id!("TABLET")), None), None);
        assert_eq!(remote_device("[]", (bob, id), None), None);
        keys["more"] = json!("x".repeat(MAX_KEYS_BYTES));
        assert_eq!(remote_device(&keys.to_string(), (bob, id), None), None);

        let master = signed(key("master", bob, 2, None), user_id!("@eve:b"), 3, "ed25519:x");
        let believed = remote_cross_signing(&master.to_string(), bob, "master").unwrap();
        assert_eq!(value(&believed), key("master", bob, 2, None), "nobody else's signature");
        assert_eq!(remote_cross_signing(&master.to_string(), bob, "self_signing"), None);
        assert_eq!(remote_cross_signing(&master.to_string(), user_id!("@eve:b"), "master"), None);

        let claimed = |name: &str| {
            remote_one_time_key(name, r#""abc""#, (bob, id), "curve25519").map(|it| it.key_id)
        };
        assert_eq!(claimed("curve25519:A").as_deref(), Some("A"));
        assert_eq!(claimed("other:A"), None);
    }

    #[test]
    fn signatures_on_others_keys_are_added_for_their_maker() {
        let (ann, bob) = (user_id!("@ann:a"), user_id!("@bob:b"));
        let master = key("master", bob, 2, None).to_string();
        let by = [("ed25519:x".to_owned(), "sig".to_owned())];
        let shown = with_signatures(master, ann, &by);
        assert_eq!(value(&shown)["signatures"]["@ann:a"]["ed25519:x"], "sig");
    }
}
