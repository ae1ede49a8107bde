//! Cross-signing keys ([spec]), and signatures of what they sign.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#cross-signing

use ruma::UserId;
use serde::{Deserialize, Serialize};

use super::{Fault, InvalidKeys, MAX_KEYS_BYTES, Signed, invalid, public_key, refused};
use crate::receipt::VerifyKey;

/// What a master key says that it is for.
pub const MASTER: &str = "master";
/// What a self-signing key says that it is for.
pub const SELF_SIGNING: &str = "self_signing";
/// What a user-signing key says that it is for.
pub const USER_SIGNING: &str = "user_signing";

/// The cross-signing keys of a user, as they are stored: JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossSigningKeys {
    /// Signs the others.
    pub master: Option<String>,
    /// Signs the user's devices.
    pub self_signing: Option<String>,
    /// Signs other users' master keys. Nobody else sees it.
    pub user_signing: Option<String>,
}

impl CrossSigningKeys {
    /// Each, by what it is for.
    pub fn each(&self) -> [(&'static str, Option<&str>); 3] {
        [
            (MASTER, self.master.as_deref()),
            (SELF_SIGNING, self.self_signing.as_deref()),
            (USER_SIGNING, self.user_signing.as_deref()),
        ]
    }

    /// Where the key for something is.
    pub fn slot(&mut self, usage: &str) -> Option<&mut Option<String>> {
        match usage {
            MASTER => Some(&mut self.master),
            SELF_SIGNING => Some(&mut self.self_signing),
            USER_SIGNING => Some(&mut self.user_signing),
            _ => None,
        }
    }
}

/// A cross-signing key that was read.
#[derive(Debug)]
pub struct CrossSigningKey {
    /// What it says and who has signed it.
    pub signed: Signed,
    /// Its ID: algorithm and public key.
    pub key_id: String,
    /// The public key.
    pub key: VerifyKey,
}

impl CrossSigningKey {
    /// The public key, by which it is named.
    pub fn public(&self) -> &str {
        self.key_id.split_once(':').map_or("", |(_, public)| public)
    }
}

/// Reads a cross-signing key of a user: for what it is to be for, and one ed25519 key named for
/// itself.
///
/// # Errors
///
/// Where it is not that.
pub fn read(json: &str, user_id: &UserId, usage: &str) -> Result<CrossSigningKey, InvalidKeys> {
    let signed = Signed::read(json, MAX_KEYS_BYTES)?;
    if signed.text("user_id") != Some(user_id.as_str()) {
        return invalid("the cross-signing key is another user's");
    }
    if !signed.list("usage").is_some_and(|it| it.iter().any(|it| it.as_str() == Some(usage))) {
        return invalid("the cross-signing key is not for what it is uploaded as");
    }
    let keys: Vec<_> = signed.keys().take(2).collect();
    let [(key_id, public)] = *keys else {
        return invalid("a cross-signing key is one key");
    };
    let public = public.as_str().unwrap_or_default();
    if key_id.split_once(':') != Some(("ed25519", public)) {
        return invalid("a cross-signing key is named for itself");
    }
    let Some(key) = public_key(public) else {
        return invalid("the cross-signing key is no ed25519 key");
    };
    let key_id = key_id.to_owned();
    Ok(CrossSigningKey { signed, key_id, key })
}

/// The names of the cross-signing keys of a user: their public keys.
pub fn names(keys: &CrossSigningKeys, user_id: &UserId) -> impl Iterator<Item = String> {
    let keys = keys.each().into_iter().filter_map(|(usage, json)| read(json?, user_id, usage).ok());
    keys.map(|it| it.public().to_owned())
}

/// What an upload of cross-signing keys does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The keys afterwards.
    pub after: CrossSigningKeys,
    /// It replaces or adds keys where there are some: the user has to authenticate ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
    pub needs_auth: bool,
}

/// Plans an upload of cross-signing keys where others may be stored.
///
/// # Errors
///
/// Where one is none, is not signed by the master key, or takes a device's name.
pub fn plan_upload(
    user_id: &UserId,
    new: &CrossSigningKeys,
    stored: &CrossSigningKeys,
    is_device: impl Fn(&str) -> bool,
) -> Result<Plan, InvalidKeys> {
    let (mut after, mut has_new) = (stored.clone(), false);
    let is_same = |given: &CrossSigningKey, stored: Option<&str>| {
        stored
            .and_then(|it| Signed::read(it, MAX_KEYS_BYTES).ok())
            .is_some_and(|it| it.says_the_same(&given.signed))
    };
    let mut master: Option<CrossSigningKey> = None;
    for (usage, json) in new.each() {
        let Some(json) = json else { continue };
        let mut given = read(json, user_id, usage)?;
        if is_device(given.public()) {
            return refused(Fault::Forbidden, "a device has the name of this key");
        }
        given.signed.keep_signatures(user_id, |_| true);
        if usage != MASTER {
            if master.is_none() {
                let stored = after.master.as_deref();
                master = stored.map(|it| read(it, user_id, MASTER)).transpose()?;
            }
            let Some(master) = &master else {
                return refused(Fault::Missing, "there is no master key that could sign it");
            };
            if !given.signed.is_signed(user_id, &master.key_id, &master.key) {
                return refused(Fault::Signature, "the master key has not signed the other key");
            }
        }
        if !is_same(&given, stored.each().into_iter().find(|it| it.0 == usage).and_then(|it| it.1))
        {
            has_new = true;
            if usage == MASTER {
                // What the old one has signed counts for nothing.
                after = CrossSigningKeys::default();
            }
            if let Some(slot) = after.slot(usage) {
                *slot = Some(given.signed.to_json());
            }
        }
        if usage == MASTER {
            master = Some(given);
        }
    }
    Ok(Plan { after, needs_auth: has_new && stored.master.is_some() })
}

/// What signatures make of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The key with them.
    pub json: String,
    /// Those that are new: key IDs and signatures.
    pub signatures: Vec<(String, String)>,
}

/// Adds the signatures of a user that somebody gives with a key, which must be the one that is
/// stored. `signers`: the keys of the user that may sign it.
///
/// # Errors
///
/// Where it is another key, or a signature is by no such key or not valid.
pub fn add_signatures(
    stored: &str,
    given: &str,
    user_id: &UserId,
    signers: &[(String, VerifyKey)],
) -> Result<Added, InvalidKeys> {
    let mut key = Signed::read(stored, MAX_KEYS_BYTES)?;
    let given = Signed::read(given, MAX_KEYS_BYTES)?;
    if !key.says_the_same(&given) {
        return invalid("this is not the key that is known");
    }
    let (mut signatures, mut is_signed) = (Vec::new(), false);
    for key_id in given.signers(user_id) {
        is_signed = true;
        let Some(signature) = given.signature(user_id, key_id) else { continue };
        if key.signature(user_id, key_id) == Some(signature) {
            continue;
        }
        let signer = signers.iter().find(|(id, _)| id == key_id);
        if !signer.is_some_and(|(_, signer)| given.is_signed(user_id, key_id, signer)) {
            return refused(Fault::Signature, "the signature is not valid");
        }
        key.sign(user_id, key_id, signature);
        signatures.push((key_id.to_owned(), signature.to_owned()));
    }
    if !is_signed {
        return refused(Fault::Signature, "there is no signature by the user");
    }
    let json = key.to_json();
    match json.len() > MAX_KEYS_BYTES {
        true => refused(Fault::TooLarge, "the key has too many signatures"),
        false => Ok(Added { json, signatures }),
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::{Value, json};

    use super::*;
    use crate::device_keys::testing::{cross_signing, device, public, signed};

    fn keys(master: Option<&Value>, own: Option<&Value>, user: Option<&Value>) -> CrossSigningKeys {
        let text = |it: Option<&Value>| it.map(Value::to_string);
        CrossSigningKeys { master: text(master), self_signing: text(own), user_signing: text(user) }
    }

    fn plan(new: &CrossSigningKeys, stored: &CrossSigningKeys) -> Result<Plan, Fault> {
        plan_upload(user_id!("@ann:a"), new, stored, |it| it == "PHONE").map_err(|it| it.fault)
    }

    #[test]
    fn the_first_keys_need_no_password_and_neither_do_the_same_again() {
        let ann = user_id!("@ann:a");
        let master = cross_signing(MASTER, ann, 1, None);
        let own = cross_signing(SELF_SIGNING, ann, 2, Some(1));
        let of_users = cross_signing(USER_SIGNING, ann, 3, Some(1));
        let all = keys(Some(&master), Some(&own), Some(&of_users));
        let first = plan(&all, &CrossSigningKeys::default()).unwrap();
        assert!(!first.needs_auth);
        assert_eq!(plan(&first.after, &CrossSigningKeys::default()).unwrap(), first);
        let stored = first.after;
        let again = plan(&all, &stored).unwrap();
        assert_eq!((again.needs_auth, &again.after), (false, &stored));
        let part = plan(&keys(None, Some(&own), None), &stored).unwrap();
        assert_eq!((part.needs_auth, &part.after), (false, &stored));
        // Other keys do.
        let other = cross_signing(SELF_SIGNING, ann, 4, Some(1));
        let replaced = plan(&keys(None, Some(&other), None), &stored).unwrap();
        assert!(replaced.needs_auth && replaced.after.master == stored.master);
        assert!(replaced.after.user_signing == stored.user_signing);
        let new_master = cross_signing(MASTER, ann, 9, None);
        let replaced = plan(&keys(Some(&new_master), None, None), &stored).unwrap();
        assert!(replaced.needs_auth && replaced.after.self_signing.is_none(), "nothing signs it");
        let only_master = plan(&keys(Some(&master), None, None), &CrossSigningKeys::default());
        let added = plan(&keys(None, Some(&own), None), &only_master.unwrap().after).unwrap();
        assert!(added.needs_auth);
    }

    #[test]
    fn keys_are_signed_by_the_master_key() {
        let ann = user_id!("@ann:a");
        let master = cross_signing(MASTER, ann, 1, None);
        let none = CrossSigningKeys::default();
        let stored = plan(&keys(Some(&master), None, None), &none).unwrap().after;
        let own = |seed, by| cross_signing(SELF_SIGNING, ann, seed, by);
        let mut of_another = master.clone();
        of_another["user_id"] = json!("@bob:a");
        let mut two = master.clone();
        two["keys"]["ed25519:x"] = json!("x");
        let mut misnamed = master.clone();
        misnamed["keys"] = json!({ "ed25519:x": public(1) });
        let cases = [
            ("unsigned", keys(None, Some(&own(2, None)), None), &stored, Fault::Signature),
            ("by another", keys(None, Some(&own(2, Some(3))), None), &stored, Fault::Signature),
            ("no master", keys(None, Some(&own(2, Some(1))), None), &none, Fault::Missing),
            ("another usage", keys(Some(&own(2, None)), None, None), &none, Fault::Param),
            ("another user", keys(Some(&of_another), None, None), &none, Fault::Param),
            ("two keys", keys(Some(&two), None, None), &none, Fault::Param),
            ("misnamed", keys(Some(&misnamed), None, None), &none, Fault::Param),
        ];
        for (name, new, stored, fault) in cases {
            assert_eq!(plan(&new, stored).unwrap_err(), fault, "{name}");
        }
        let is_device = |it: &str| it == public(1);
        let new = keys(Some(&master), None, None);
        let found = plan_upload(ann, &new, &none, is_device).unwrap_err();
        assert_eq!(found.fault, Fault::Forbidden);
    }

    #[test]
    fn signatures_are_added_that_a_key_has_made() {
        let ann = user_id!("@ann:a");
        let stored = device(1, ann, "PHONE");
        let key_id = format!("ed25519:{}", public(2));
        let signers = [(key_id.clone(), public_key(&public(2)).unwrap())];
        let add = |given: &Value| {
            add_signatures(&stored.to_string(), &given.to_string(), ann, &signers)
                .map_err(|it| it.fault)
        };
        let given = signed(stored.clone(), ann, 2, &key_id);
        let added = add(&given).unwrap();
        assert_eq!(added.signatures.len(), 1);
        assert_eq!(serde_json::from_str::<Value>(&added.json).unwrap(), given);
        assert_eq!(add(&stored).unwrap().signatures, [], "nothing new");
        let mut bare = given.clone();
        bare["signatures"] = json!({});
        let mut other = given.clone();
        other["more"] = json!(1);
        let cases = [
            ("no signature", bare, Fault::Signature),
            ("another key", other, Fault::Param),
            ("forged", signed(stored.clone(), ann, 3, &key_id), Fault::Signature),
            ("no signer", signed(stored.clone(), ann, 3, "ed25519:x"), Fault::Signature),
        ];
        for (name, given, fault) in cases {
            assert_eq!(add(&given).unwrap_err(), fault, "{name}");
        }
    }
}
