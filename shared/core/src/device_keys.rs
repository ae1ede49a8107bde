//! The keys that devices and users publish for end-to-end encryption ([spec]): whether to take what
//! is uploaded, what becomes of what is there, and what of it others are given.
//!
//! The server encrypts nothing and can decrypt nothing. It checks what every reader would check, so
//! that nothing is handed on which all of them would refuse.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#key-management-for-end-to-end-encryption

pub mod answers;
pub mod changes;
pub mod cross_signing;
pub mod dehydrated;
pub mod lists;
mod signed;
pub mod updates;
pub mod upload;

pub use self::signed::Signed;
use crate::receipt::VerifyKey;

/// Bytes of the keys of a device, and of a cross-signing key, with all signatures. A usual one has
/// a tenth of it.
pub const MAX_KEYS_BYTES: usize = 16 * 1024;
/// Bytes of a one-time key or a fallback key.
pub const MAX_ONE_TIME_KEY_BYTES: usize = 4 * 1024;
/// Bytes of an algorithm, and of what names a key.
pub const MAX_KEY_ID_BYTES: usize = 255;
/// One-time keys of one request.
pub const MAX_UPLOADED: usize = 500;
/// One-time keys of a device that nobody has claimed. Clients keep a hundred or fewer.
pub const MAX_ONE_TIME_KEYS: u64 = 1_000;
/// One-time keys of a device that are remembered when they have been claimed, so that none comes
/// again when an upload is repeated: those claimed last.
pub const MAX_CLAIMED_KEYS: u64 = 500;
/// Algorithms of which a device has fallback keys.
pub const MAX_FALLBACK_KEYS: u64 = 10;

/// Why keys are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidKeys {
    /// What is wrong.
    pub fault: Fault,
    /// For people.
    pub message: &'static str,
}

/// What is wrong with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are not what the specification has.
    Param,
    /// They are too large, or too many.
    TooLarge,
    /// A signature is missing or not valid.
    Signature,
    /// They take a name that is in use.
    Forbidden,
    /// Another key is missing.
    Missing,
    /// There is no such key.
    NotFound,
}

fn invalid<T>(message: &'static str) -> Result<T, InvalidKeys> {
    Err(InvalidKeys { fault: Fault::Param, message })
}

fn refused<T>(fault: Fault, message: &'static str) -> Result<T, InvalidKeys> {
    Err(InvalidKeys { fault, message })
}

/// Whether two keys are the same, whoever has signed them.
pub fn say_the_same(one: &str, other: &str) -> bool {
    let read = |json| Signed::read(json, MAX_KEYS_BYTES);
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => one.says_the_same(&other),
        _ => one == other,
    }
}

/// An ed25519 public key, as devices and users publish theirs. None: it is none that signs.
fn public_key(base64: &str) -> Option<VerifyKey> {
    VerifyKey::current(&VerifyKey::decode(base64).ok()?, u64::MAX).ok()
}

#[cfg(test)]
mod testing;
