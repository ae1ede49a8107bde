//! Policy servers ([spec]): which one a room uses, and whether that has signed an event.
//!
//! An event without its signature is not recommended: this server's own is not sent, and one of
//! another server is soft-failed. There is no middle: where the policy server cannot be asked,
//! nothing is recommended either, as the specification has it, until who may do so takes
//! `m.room.policy` away, which needs no signature.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#policy-servers

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, ServerName,
    events::room::policy::POLICY_SERVER_ED25519_SIGNING_KEY_ID as KEY_ID,
    room_version_rules::RoomVersionRules,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue as RawJsonValue;

use crate::{event_json::EventJson, pdu::MAX_PDU_BYTES, receipt::VerifyKey};

/// The type of the state event that names a room's policy server.
pub const EVENT_TYPE: &str = "m.room.policy";

/// Why an event is soft-failed that lacks a valid signature.
pub const NOT_RECOMMENDED: &str = "the room's policy server has not signed it";

/// How long a policy server that did not answer is left alone first, in milliseconds.
pub const BACK_OFF_MS: u64 = 5_000;

/// How long it is left alone at most, in milliseconds.
pub const MAX_BACK_OFF_MS: u64 = 60_000;

/// Why an event has no valid signature of the policy server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It is not what the key signs that the room names, or the room names no key.
    #[error("the signature of the room's policy server is not valid by the key in the room")]
    Invalid,
    /// With the signature, it is larger than an event may be.
    #[error("with the signature of the room's policy server the event is too large")]
    TooLarge,
}

/// A policy server that a room names.
#[derive(Clone, Debug)]
pub struct PolicyServer {
    /// The server.
    pub via: OwnedServerName,
    /// The key by which it recommends events; none where what the room has is no key, by which
    /// nothing can be signed.
    key: Option<VerifyKey>,
}

impl PolicyServer {
    /// What the content of an `m.room.policy` state event with an empty state key names. None: it
    /// is not valid, and the room uses no policy server.
    ///
    /// All servers in a room have to agree on that, so nothing more is asked of the content than
    /// the specification does: ruma's type refuses keys of other algorithms that are no base64.
    pub fn named(content: &RawJsonValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            via: String,
            public_keys: BTreeMap<String, Key>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Key {
            Text(String),
            Other(IgnoredAny),
        }
        let content: Content = serde_json::from_str(content.get()).ok()?;
        let Key::Text(key) = content.public_keys.get("ed25519")? else { return None };
        // What is no server's name has no users.
        let via = ServerName::parse(&content.via).ok()?;
        let key = VerifyKey::decode(key).and_then(|it| VerifyKey::current(&it, u64::MAX)).ok();
        Some(Self { via, key })
    }

    /// Itself, if the room uses it: some user of it has to be joined, so that no server is made a
    /// policy server against its will.
    pub fn used(self, has_joined_user: bool) -> Option<Self> {
        has_joined_user.then_some(self)
    }

    /// Whether it has signed an event.
    pub fn has_signed(&self, json: &str, rules: &RoomVersionRules) -> bool {
        EventJson::stored(json).is_ok_and(|event| self.is_on(&event, rules))
    }

    /// The event with the signature that the policy server has answered, if that is valid. Of the
    /// others nothing is lost: the policy server may be the sender's server too.
    ///
    /// # Errors
    ///
    /// See [`Unsigned`].
    pub fn add(
        &self,
        json: &str,
        signature: &str,
        rules: &RoomVersionRules,
    ) -> Result<String, Unsigned> {
        let mut event = EventJson::stored(json).map_err(|_| Unsigned::Invalid)?;
        let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
        let all = event.object.entry("signatures".to_owned()).or_insert_with(empty);
        let all = all.as_object_mut().ok_or(Unsigned::Invalid)?;
        let own = all.entry(self.via.to_string()).or_insert_with(empty);
        let own = own.as_object_mut().ok_or(Unsigned::Invalid)?;
        own.insert(KEY_ID.to_owned(), CanonicalJsonValue::String(signature.to_owned()));
        if !self.is_on(&event, rules) {
            return Err(Unsigned::Invalid);
        }
        let text = event.text().map_err(|_| Unsigned::Invalid)?;
        match text.len() > MAX_PDU_BYTES {
            true => Err(Unsigned::TooLarge),
            false => Ok(text),
        }
    }

    /// Whether its signature stands on an event, and is valid.
    fn is_on(&self, event: &EventJson, rules: &RoomVersionRules) -> bool {
        let Some(key) = &self.key else { return false };
        let all = event.object.get("signatures").and_then(CanonicalJsonValue::as_object);
        let own = all.and_then(|it| it.get(self.via.as_str())?.as_object());
        let signature = own.and_then(|it| it.get(KEY_ID)?.as_str());
        let signed = event.signed_text(&rules.redaction);
        signature.zip(signed.ok()).is_some_and(|(it, text)| key.verifies(text.as_bytes(), it))
    }
}

/// Whether no policy server is asked about such an event: else nobody could do without one that
/// does not answer.
pub fn is_exempt(event_type: &str, state_key: Option<&str>) -> bool {
    event_type == EVENT_TYPE && state_key == Some("")
}

/// Since when a policy server does not answer, and until when it is left alone.
#[derive(Clone, Debug, Default)]
pub struct BackOff {
    /// Which it is: another one has not failed yet.
    via: Option<OwnedServerName>,
    /// How often it has failed, one time after the other.
    failures: u32,
    until_ms: u64,
}

impl BackOff {
    /// Whether it may be asked.
    pub fn may_ask(&self, via: &ServerName, now_ms: u64) -> bool {
        self.via.as_deref() != Some(via) || self.until_ms <= now_ms
    }

    /// It has answered, whatever it was.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// It has not answered. Whoever asked beside others that failed says nothing new.
    pub fn failed(&mut self, via: &ServerName, now_ms: u64) {
        if !self.may_ask(via, now_ms) {
            return;
        }
        if self.via.as_deref() != Some(via) {
            *self = Self { via: Some(via.to_owned()), ..Self::default() };
        }
        let wait_ms = BACK_OFF_MS.saturating_mul(1 << self.failures.min(31)).min(MAX_BACK_OFF_MS);
        self.failures = self.failures.saturating_add(1);
        self.until_ms = now_ms.saturating_add(wait_ms);
    }
}
