//! JSON objects with signatures ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#signing-json

use std::collections::BTreeMap;

use ruma::{CanonicalJsonObject, CanonicalJsonValue, UserId};

use super::{Fault, InvalidKeys, invalid, public_key, refused};
use crate::{gather::Gather as _, receipt::VerifyKey};

/// Signatures by user and key.
type Signatures = BTreeMap<String, BTreeMap<String, String>>;

/// A JSON object and what has signed it. What it says as `unsigned` is dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    object: CanonicalJsonObject,
    signatures: Signatures,
}

impl Signed {
    /// Reads an object of so many bytes at most.
    ///
    /// # Errors
    ///
    /// Where it is too large, cannot be signed, or has signatures that are none.
    pub fn read(json: &str, max_bytes: usize) -> Result<Self, InvalidKeys> {
        if json.len() > max_bytes {
            return refused(Fault::TooLarge, "the key is too large");
        }
        let Ok(mut object) = serde_json::from_str::<CanonicalJsonObject>(json) else {
            return invalid("the key is no object that can be signed");
        };
        object.remove("unsigned");
        let signatures = match object.remove("signatures") {
            None => Signatures::new(),
            Some(it) => match serde_json::from_value(it.into()) {
                Ok(signatures) => signatures,
                Err(_) => return invalid("`signatures` are not those of users by keys"),
            },
        };
        Ok(Self { object, signatures })
    }

    /// As it is stored and given to others.
    pub fn to_json(&self) -> String {
        let mut object = self.object.clone();
        if !self.signatures.is_empty() {
            let of_user = |keys: &BTreeMap<String, String>| {
                let keys = keys.iter().map(|(id, it)| (id.clone(), it.clone().into()));
                CanonicalJsonValue::Object(keys.gather())
            };
            let signatures = self.signatures.iter().map(|(user, it)| (user.clone(), of_user(it)));
            object.insert("signatures".to_owned(), CanonicalJsonValue::Object(signatures.gather()));
        }
        text_of(&object)
    }

    /// Whether it says the same as another, whoever has signed them.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.object == other.object
    }

    /// A text that it has.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.object.get(field)?.as_str()
    }

    /// A list that it has.
    pub fn list(&self, field: &str) -> Option<&[CanonicalJsonValue]> {
        self.object.get(field)?.as_array()
    }

    /// The keys that it has, by their IDs.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &CanonicalJsonValue)> {
        let keys = self.object.get("keys").and_then(CanonicalJsonValue::as_object);
        keys.into_iter().flatten().map(|(id, key)| (id.as_str(), key))
    }

    /// The ed25519 key that it has under an ID.
    pub fn ed25519(&self, key_id: &str) -> Option<VerifyKey> {
        let key = self.keys().find(|(id, _)| *id == key_id)?.1.as_str()?;
        public_key(key)
    }

    /// The signature by a user's key.
    pub fn signature(&self, user_id: &UserId, key_id: &str) -> Option<&str> {
        self.signatures.get(user_id.as_str())?.get(key_id).map(String::as_str)
    }

    /// The IDs of the keys of a user that have signed it.
    pub fn signers(&self, user_id: &UserId) -> impl Iterator<Item = &str> {
        self.signatures.get(user_id.as_str()).into_iter().flat_map(|it| it.keys().map(|it| &**it))
    }

    /// Whether a user has signed it with a key.
    pub fn is_signed(&self, user_id: &UserId, key_id: &str, key: &VerifyKey) -> bool {
        let message = text_of(&self.object);
        let signature = self.signature(user_id, key_id);
        signature.is_some_and(|it| key.verifies(message.as_bytes(), it))
    }

    /// Adds a signature.
    pub fn sign(&mut self, user_id: &UserId, key_id: &str, signature: &str) {
        let of_user = self.signatures.entry(user_id.to_string()).or_default();
        of_user.insert(key_id.to_owned(), signature.to_owned());
    }

    /// Leaves those signatures of a user that pass, and none of anybody else.
    pub fn keep_signatures(&mut self, user_id: &UserId, passes: impl Fn(&str) -> bool) {
        self.signatures.retain(|user, _| user == user_id.as_str());
        for of_user in self.signatures.values_mut() {
            of_user.retain(|key_id, _| passes(key_id));
        }
    }
}

/// In the form in which it is signed.
fn text_of(object: &CanonicalJsonObject) -> String {
    CanonicalJsonValue::Object(object.clone()).to_string()
}
