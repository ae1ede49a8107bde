//! What this server publishes: its own keys ([spec][own]), and as a notary those of others
//! ([spec][notary]).
//!
//! [own]: https://spec.matrix.org/v1.19/server-server-api/#publishing-keys
//! [notary]: https://spec.matrix.org/v1.19/server-server-api/#querying-keys-through-another-server

use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, ServerName, UInt,
    api::federation::discovery::{OldVerifyKey, ServerSigningKeys, VerifyKey},
    serde::Base64,
    signatures::sign_json,
};
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};

use super::own::OwnKeys;
use crate::{SigningKey, gather::Gather as _};

/// For how long other servers may go by an answer, in milliseconds. A key that is taken out of use
/// signs nothing from then on, but is believed in for so long.
pub const VALIDITY_MS: u64 = 24 * 60 * 60 * 1000;

/// Why an answer could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the keys cannot be published: {0}")]
pub struct NotPublished(String);

/// The keys of a server, signed with the one in use. One that is yet to be is among those that are
/// valid: whoever meets it knows it then.
///
/// # Errors
///
/// [`NotPublished`]: a fault of ours.
pub fn own(
    server: &ServerName,
    OwnKeys { current: key, next, old }: &OwnKeys,
    now_ms: u64,
) -> Result<Box<RawJsonValue>, NotPublished> {
    let mut answer = ServerSigningKeys::new(server.to_owned(), time(now_ms + VALIDITY_MS)?);
    let current = (key.id().to_owned(), VerifyKey::new(public(&key.public_base64())?));
    answer.verify_keys = [current].into_iter().gather();
    for next in next {
        let key = VerifyKey::new(public(&next.public_base64)?);
        answer.verify_keys.insert(next.id.clone(), key);
    }
    for old in old {
        let key = OldVerifyKey::new(time(old.expired_ms)?, public(&old.public_base64)?);
        answer.old_verify_keys.insert(old.id.clone(), key);
    }
    let answer = to_raw_value(&answer).map_err(|error| not_published(&error))?;
    notarize(&answer, server, key)
}

/// The answer of a server, signed by a notary too.
///
/// # Errors
///
/// [`NotPublished`], where the answer is none.
pub fn notarize(
    answer: &RawJsonValue,
    notary: &ServerName,
    key: &SigningKey,
) -> Result<Box<RawJsonValue>, NotPublished> {
    let mut object: CanonicalJsonObject =
        serde_json::from_str(answer.get()).map_err(|error| not_published(&error))?;
    sign_json(notary.as_str(), key.pair(), &mut object).map_err(|error| not_published(&error))?;
    to_raw_value(&object).map_err(|error| not_published(&error))
}

fn public(base64: &str) -> Result<Base64, NotPublished> {
    Base64::parse(base64).map_err(|error| not_published(&error))
}

fn time(at_ms: u64) -> Result<MilliSecondsSinceUnixEpoch, NotPublished> {
    UInt::new(at_ms)
        .map(MilliSecondsSinceUnixEpoch)
        .ok_or_else(|| NotPublished(format!("{at_ms} is no time")))
}

fn not_published(error: &dyn std::error::Error) -> NotPublished {
    NotPublished(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use crate::server_keys::own::{NextKey, OldKey};
    use crate::server_keys::{MAX_VALIDITY_MS, read};

    const NOW_MS: u64 = 1_000_000_000_000;

    #[test]
    fn others_believe_what_is_published() {
        let server = ServerName::parse("us.example").unwrap();
        let key = SigningKey::from_seed([1; 32], "new").unwrap();
        let old = SigningKey::from_seed([2; 32], "old").unwrap();
        let old_key = OldKey {
            id: old.id().to_owned(),
            public_base64: old.public_base64(),
            expired_ms: NOW_MS - 5,
        };
        let next = SigningKey::from_seed([3; 32], "next").unwrap();
        let next_key = NextKey { id: next.id().to_owned(), public_base64: next.public_base64() };
        let keys = OwnKeys { current: key, next: vec![next_key], old: vec![old_key] };
        let answer = own(&server, &keys, NOW_MS).unwrap();
        let key = keys.current;
        let found = read(answer.get().as_bytes(), &server, NOW_MS).unwrap();
        assert_eq!(found.valid_until_ms, NOW_MS + VALIDITY_MS);
        let of = |it: &SigningKey| {
            let found = found.keys.iter().find(|(id, _)| id == it.id());
            let (_, found) = found.unwrap();
            assert_eq!(
                Base64::<ruma::serde::base64::Standard>::new(found.as_bytes().to_vec()).encode(),
                it.public_base64()
            );
            found.expired_ms
        };
        assert_eq!((of(&key), of(&next), of(&old)), (None, None, Some(NOW_MS - 5)));
        const { assert!(VALIDITY_MS < MAX_VALIDITY_MS) };
    }
}
