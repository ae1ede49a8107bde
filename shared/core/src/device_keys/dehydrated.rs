//! Dehydrated devices ([MSC3814]): a device whose private keys its client has left on the server,
//! encrypted, so that it gets messages while its user has no other one.
//!
//! [MSC3814]: https://github.com/matrix-org/matrix-spec-proposals/pull/3814

use ruma::UserId;
use serde::Deserialize;

use super::{
    Fault, InvalidKeys, MAX_KEYS_BYTES, Signed,
    cross_signing::{self, SELF_SIGNING},
    invalid, refused,
};

/// Bytes of what a client leaves to take its device up again. One with a hundred one-time keys has
/// a fifth of it.
pub const MAX_DATA_BYTES: usize = 64 * 1024;

/// Checks what a client leaves: an object that names its algorithm. The rest is for clients.
///
/// # Errors
///
/// Where it is not that, or too large.
pub fn check_data(json: &str) -> Result<(), InvalidKeys> {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        algorithm: std::borrow::Cow<'a, str>,
    }
    if json.len() > MAX_DATA_BYTES {
        return refused(Fault::TooLarge, "the data of the device are too large");
    }
    match serde_json::from_str::<Data<'_>>(json) {
        Ok(data) if json.starts_with('{') && !data.algorithm.is_empty() => Ok(()),
        _ => invalid("the data of the device do not name their algorithm"),
    }
}

/// Keys of a device, with the signature of their user's self-signing key where that was given with
/// them and is valid: a device that nobody is on cannot be signed later by itself.
pub fn with_owner_signature(
    keys: String,
    given: &str,
    user_id: &UserId,
    self_signing: Option<&str>,
) -> String {
    let signer = self_signing.and_then(|it| cross_signing::read(it, user_id, SELF_SIGNING).ok());
    let Some(signer) = signer else { return keys };
    let Ok(mut given) = Signed::read(given, MAX_KEYS_BYTES) else { return keys };
    given.keep_signatures(user_id, |it| it == signer.key_id);
    let signers = [(signer.key_id, signer.key)];
    let added = cross_signing::add_signatures(&keys, &given.to_json(), user_id, &signers);
    added.map_or(keys, |it| it.json)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;
    use crate::device_keys::testing::{cross_signing, device, public, signed};

    #[test]
    fn what_is_left_names_its_algorithm() {
        let long = |bytes: usize| {
            let json = json!({ "algorithm": "a", "x": "" }).to_string();
            json.replace(r#""x":"""#, &format!(r#""x":"{}""#, "x".repeat(bytes - json.len())))
        };
        let cases = [
            (r#"{"algorithm":"org.matrix.msc3814.v2","device_pickle":"x","n":[1.5]}"#, None),
            (r#"{"algorithm":"\u0061"}"#, None),
            (r#"{"algorithm":""}"#, Some(Fault::Param)),
            (r#"{"algorithm":7}"#, Some(Fault::Param)),
            (r#"{"device_pickle":"x"}"#, Some(Fault::Param)),
            (r#"["a"]"#, Some(Fault::Param)),
            (r#""a""#, Some(Fault::Param)),
            ("null", Some(Fault::Param)),
            (&long(MAX_DATA_BYTES), None),
            (&long(MAX_DATA_BYTES + 1), Some(Fault::TooLarge)),
        ];
        for (json, expected) in cases {
            let json_start: String = json.chars().take(60).collect();
            assert_eq!(check_data(json).err().map(|it| it.fault), expected, "{json_start}");
        }
    }

    #[test]
    fn only_a_valid_signature_of_the_owner_is_kept() {
        let ann = user_id!("@ann:a");
        let keys = device(1, ann, "OLM");
        let own = cross_signing(SELF_SIGNING, ann, 2, Some(3)).to_string();
        let by = |seed| signed(keys.clone(), ann, seed, &format!("ed25519:{}", public(2)));
        let other = signed(keys.clone(), user_id!("@eve:a"), 4, "ed25519:X");
        let with = |given: &serde_json::Value, own: Option<&str>| {
            let text = with_owner_signature(keys.to_string(), &given.to_string(), ann, own);
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        };
        assert_eq!(with(&by(2), Some(&own)), by(2), "the right one");
        assert_eq!(with(&by(4), Some(&own)), keys, "a forged one");
        assert_eq!(with(&by(2), None), keys, "there is no such key");
        assert_eq!(with(&by(2), Some("{}")), keys, "what is stored is none");
        assert_eq!(with(&keys, Some(&own)), keys, "there is none");
        assert_eq!(with(&other, Some(&own)), keys, "somebody else's");
        let changed = signed(json!({ "x": 1 }), ann, 2, &format!("ed25519:{}", public(2)));
        assert_eq!(with(&changed, Some(&own)), keys, "of something else");
    }
}
