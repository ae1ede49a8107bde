//! The keys of other servers, and when they are valid ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys

use std::{collections::BTreeMap, sync::OnceLock};

use ed25519_dalek::{Signature, VerifyingKey};
use ruma::{
    OwnedServerName, OwnedServerSigningKeyId, ServerName, ServerSigningKeyId, serde::Base64,
};

/// Bytes of an ed25519 public key.
const KEY_BYTES: usize = 32;

/// Why bytes are no key to verify with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ed25519 public key, or one for which anybody can sign")]
pub struct WeakKey;

/// A key that a server signs with, or signed with once.
#[derive(Clone, Debug)]
pub struct VerifyKey {
    /// Decompressed once, here, and not for every signature.
    pub(super) key: VerifyingKey,
    /// [`Self::may_be_batched`], once somebody has asked.
    may_be_batched: OnceLock<bool>,
    /// Until when a current key signs events: the lesser of what its server says and seven days
    /// from when it was fetched. Of no account for an old key.
    pub valid_until_ms: u64,
    /// When an old key stopped to be one.
    pub expired_ms: Option<u64>,
}

impl VerifyKey {
    /// A key of `verify_keys`, which is current.
    ///
    /// # Errors
    ///
    /// [`WeakKey`] when it is not a point of the curve in its canonical form, or one of small
    /// order, under which signatures are valid that nobody made.
    pub fn current(key: &[u8], valid_until_ms: u64) -> Result<Self, WeakKey> {
        let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| WeakKey)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| WeakKey)?;
        let point = key.to_edwards();
        if key.is_weak() || point.compress().as_bytes() != key.as_bytes() {
            return Err(WeakKey);
        }
        Ok(Self { key, may_be_batched: OnceLock::new(), valid_until_ms, expired_ms: None })
    }

    /// A key of `old_verify_keys`.
    ///
    /// # Errors
    ///
    /// See [`VerifyKey::current`].
    pub fn old(key: &[u8], expired_ms: u64) -> Result<Self, WeakKey> {
        Ok(Self { expired_ms: Some(expired_ms), ..Self::current(key, expired_ms)? })
    }

    /// The bytes of a key from its base64.
    ///
    /// # Errors
    ///
    /// [`WeakKey`] when it is not base64.
    pub fn decode(key: &str) -> Result<Vec<u8>, WeakKey> {
        Base64::<ruma::serde::base64::Standard>::parse(key)
            .map(Base64::into_inner)
            .map_err(|_| WeakKey)
    }

    /// Whether the key's owner signed the message; the signature is in base64.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let bytes = Base64::<ruma::serde::base64::Standard>::parse(signature);
        let signature = bytes.ok().and_then(|it| Signature::from_slice(it.as_bytes()).ok());
        signature.is_some_and(|it| self.key.verify_strict(message, &it).is_ok())
    }

    /// Whether signatures of this key may be verified together with others. A point outside the
    /// prime-order group makes the outcome for many signatures differ from that for each. To find
    /// out costs as much as to verify a signature: who verifies a few does without.
    pub(super) fn may_be_batched(&self) -> bool {
        *self.may_be_batched.get_or_init(|| self.key.to_edwards().is_torsion_free())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.key.as_bytes()
    }

    /// Whether an event of this time may be signed with it ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/rooms/v5/#signing-key-validity-period
    pub fn is_valid_at(&self, ts_ms: u64) -> bool {
        ts_ms <= self.expired_ms.unwrap_or(self.valid_until_ms)
    }

    /// Whether its server has replaced it, so that fetching it again can change nothing.
    pub fn is_old(&self) -> bool {
        self.expired_ms.is_some()
    }
}

/// Keys by server and key ID.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    servers: BTreeMap<OwnedServerName, BTreeMap<OwnedServerSigningKeyId, VerifyKey>>,
}

impl Keyring {
    /// Adds a key, in place of one with the same ID.
    pub fn insert(
        &mut self,
        server: OwnedServerName,
        key_id: OwnedServerSigningKeyId,
        key: VerifyKey,
    ) {
        self.servers.entry(server).or_default().insert(key_id, key);
    }

    /// A key.
    pub fn find(&self, server: &ServerName, key_id: &ServerSigningKeyId) -> Option<&VerifyKey> {
        self.servers.get(server)?.get(key_id)
    }
}
