//! The key that signs this server's events and requests.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    OwnedServerSigningKeyId, ServerSigningKeyId,
    serde::Base64,
    signatures::{Ed25519KeyPair, KeyPair as _, Signature},
};
use zeroize::Zeroizing;

/// Bytes of an ed25519 seed.
pub const SEED_BYTES: usize = 32;

/// Why a stored key could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Not unpadded base64 of 32 bytes.
    #[error("the signing key is not unpadded base64 of {SEED_BYTES} bytes")]
    Seed,
    /// The version has characters that a key ID may not have.
    #[error("the signing key's version is not made of [a-zA-Z0-9_]")]
    Version,
}

/// An ed25519 key pair with its key ID ([spec]). Never printed, wiped when dropped.
///
/// [spec]: https://spec.matrix.org/v1.19/appendices/#signing-details
pub struct SigningKey {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    pair: Ed25519KeyPair,
    id: OwnedServerSigningKeyId,
}

impl SigningKey {
    /// A key from its seed and its version (the part of the key ID after `ed25519:`).
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Version`] when the version does not fit a key ID.
    pub fn from_seed(seed: [u8; SEED_BYTES], version: &str) -> Result<Self, SigningKeyError> {
        let fits = |it: char| it.is_ascii_alphanumeric() || it == '_';
        if version.is_empty() || !version.chars().all(fits) {
            return Err(SigningKeyError::Version);
        }
        let seed = Zeroizing::new(seed);
        let oid = ed25519_dalek::pkcs8::ALGORITHM_OID;
        let pair = Ed25519KeyPair::new(oid, seed.as_slice(), None, version.to_owned())
            .map_err(|_| SigningKeyError::Seed)?;
        let id = ServerSigningKeyId::parse(format!("ed25519:{version}"))
            .map_err(|_| SigningKeyError::Version)?;
        Ok(Self { seed, pair, id })
    }

    /// A key from the unpadded base64 of its seed, the form it is stored in.
    ///
    /// # Errors
    ///
    /// See [`SigningKeyError`].
    pub fn from_base64(seed: &str, version: &str) -> Result<Self, SigningKeyError> {
        // ruma's decoder allows what the specification's own key has: loose trailing bits.
        let bytes: Base64 = Base64::parse(seed).map_err(|_| SigningKeyError::Seed)?;
        let bytes = Zeroizing::new(bytes.into_inner());
        let seed = bytes.as_slice().try_into().map_err(|_| SigningKeyError::Seed)?;
        Self::from_seed(seed, version)
    }

    /// The unpadded base64 of the seed: to store it, never to show it.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD_NO_PAD.encode(self.seed.as_slice()))
    }

    /// The version: the part of the key ID after `ed25519:`.
    pub fn version(&self) -> &str {
        self.pair.version()
    }

    /// The key ID, as in `ed25519:a_1`.
    pub fn id(&self) -> &ServerSigningKeyId {
        &self.id
    }

    /// The public key, unpadded base64.
    pub fn public_base64(&self) -> String {
        STANDARD_NO_PAD.encode(self.pair.public_key())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.pair.sign(message)
    }

    /// The pair, for functions that want one.
    pub fn pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the specification's signing test vectors.
    const SPEC_SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

    #[test]
    fn a_stored_key_comes_back_the_same() {
        let key = SigningKey::from_base64(SPEC_SEED, "1").unwrap();
        let again = SigningKey::from_base64(&key.to_base64(), "1").unwrap();
        assert_eq!(again.public_base64(), key.public_base64());
        assert_eq!(key.public_base64(), "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI");
        assert_eq!(key.id(), "ed25519:1");
    }

    #[test]
    fn a_bad_key_is_refused_and_debug_does_not_show_the_seed() {
        assert!(SigningKey::from_base64("short", "1").is_err());
        assert!(SigningKey::from_base64(SPEC_SEED, "a:b").is_err());
        let key = SigningKey::from_base64(SPEC_SEED, "1").unwrap();
        assert!(!format!("{key:?}").contains(SPEC_SEED));
    }
}
