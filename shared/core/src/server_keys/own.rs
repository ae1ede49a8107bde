//! Which of this server's keys is in use, while one takes the place of another.
//!
//! Every process reads the keys again from time to time, and none of them knows when the others do.
//! So a new key is published before it signs, and an old one is good for a while after: whatever
//! any of them signs meanwhile can be verified, and by what any of them publishes.

use ruma::OwnedServerSigningKeyId;

use crate::SigningKey;

/// How often a process reads the keys again, in milliseconds.
pub const RELOAD_MS: u64 = 60_000;

/// How long after it was made a key begins to sign, in milliseconds. By then all processes publish
/// it.
pub const ACTIVATION_MS: u64 = 5 * RELOAD_MS;

/// How long a key is good for after another one began to sign, in milliseconds. By then all
/// processes sign with that.
pub const OVERLAP_MS: u64 = 5 * RELOAD_MS;

/// A key of this server that is not in use yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextKey {
    /// Its ID.
    pub id: OwnedServerSigningKeyId,
    /// The public key, unpadded base64.
    pub public_base64: String,
}

/// A key of this server that is not in use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldKey {
    /// Its ID.
    pub id: OwnedServerSigningKeyId,
    /// The public key, unpadded base64.
    pub public_base64: String,
    /// Since when it is not in use, in milliseconds since the Unix epoch.
    pub expired_ms: u64,
}

/// The keys of this server.
#[derive(Debug)]
pub struct OwnKeys {
    /// The one in use: it signs events and requests.
    pub current: SigningKey,
    /// Those that will be, the newest first.
    pub next: Vec<NextKey>,
    /// Those that were before, the newest first.
    pub old: Vec<OldKey>,
}

impl OwnKeys {
    /// What each key is now, of all that were made, each with the time at which it was, the newest
    /// first. `activation_ms`: usually [`ACTIVATION_MS`]. None: there are no keys.
    pub fn of(made: Vec<(SigningKey, u64)>, now_ms: u64, activation_ms: u64) -> Option<Self> {
        let begins_ms = |made_ms: &u64| made_ms.saturating_add(activation_ms);
        let active = made.iter().position(|(_, made_ms)| begins_ms(made_ms) <= now_ms);
        // The first key of all has nobody to wait for.
        let at = active.unwrap_or(made.len().checked_sub(1)?);
        let (mut current, mut next, mut old) = (None, Vec::new(), Vec::new());
        let mut followed_ms = u64::MAX;
        for (index, (key, made_ms)) in made.into_iter().enumerate() {
            let (id, public_base64) = (key.id().to_owned(), key.public_base64());
            match index.cmp(&at) {
                std::cmp::Ordering::Less => next.push(NextKey { id, public_base64 }),
                std::cmp::Ordering::Equal => current = Some(key),
                std::cmp::Ordering::Greater => {
                    let expired_ms = followed_ms.saturating_add(OVERLAP_MS);
                    old.push(OldKey { id, public_base64, expired_ms });
                }
            }
            followed_ms = begins_ms(&made_ms);
        }
        current.map(|current| Self { current, next, old })
    }

    /// Whether these are the same keys, each in the same place.
    pub fn are(&self, other: &Self) -> bool {
        self.current.id() == other.current.id() && self.next == other.next && self.old == other.old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: &str) -> SigningKey {
        let mut seed = [0; 32];
        seed[0] = version.bytes().next().unwrap();
        SigningKey::from_seed(seed, version).unwrap()
    }

    /// What each of these is: `+` will be, `=` is in use, `-` and the time at which it expired.
    fn told(made: &[(&str, u64)], now_ms: u64) -> Vec<String> {
        let made = made.iter().map(|(version, made_ms)| (key(version), *made_ms)).collect();
        let Some(keys) = OwnKeys::of(made, now_ms, ACTIVATION_MS) else { return Vec::new() };
        let version = |id: &ruma::ServerSigningKeyId| id.as_str().replace("ed25519:", "");
        let next = keys.next.iter().map(|it| format!("+{}", version(&it.id)));
        let current = format!("={}", version(keys.current.id()));
        let old = keys.old.iter().map(|it| format!("-{}@{}", version(&it.id), it.expired_ms));
        next.chain([current]).chain(old).collect()
    }

    type Made = &'static [(&'static str, u64)];

    #[test]
    fn which_key_is_in_use() {
        const A: u64 = ACTIVATION_MS;
        const O: u64 = OVERLAP_MS;
        const TWO: Made = &[("b", 1_000), ("a", 0)];
        let old = |of: &str, since_ms: u64| format!("-{of}@{}", since_ms + O);
        let cases: [(Made, u64, Vec<String>); 7] = [
            (&[], 0, vec![]),
            (&[("a", 1_000)], 1_000, vec!["=a".to_owned()]),
            (&[("a", 1_000)], 1_000 + A, vec!["=a".to_owned()]),
            (TWO, 1_000, vec!["+b".to_owned(), "=a".to_owned()]),
            (TWO, 999 + A, vec!["+b".to_owned(), "=a".to_owned()]),
            (TWO, 1_000 + A, vec!["=b".to_owned(), old("a", 1_000 + A)]),
            (
                &[("d", 5 * A), ("c", 3 * A), ("b", 2 * A), ("a", 0)],
                5 * A,
                vec!["+d".to_owned(), "=c".to_owned(), old("b", 4 * A), old("a", 3 * A)],
            ),
        ];
        for (made, now_ms, expected) in cases {
            assert_eq!(told(made, now_ms), expected, "{made:?} at {now_ms}");
        }
    }

    #[test]
    fn what_any_process_signs_can_be_verified_by_what_any_other_publishes() {
        // Both have read the keys within the time in which they do.
        for one in (0..3 * ACTIVATION_MS).step_by(15_000) {
            for other in (one.saturating_sub(RELOAD_MS)..=one + RELOAD_MS).step_by(15_000) {
                let made = || vec![(key("b"), 1_000), (key("a"), 0)];
                let [signs, publishes] = [one, other].map(|now_ms| {
                    let known = made().into_iter().filter(|(_, made_ms)| *made_ms <= now_ms);
                    OwnKeys::of(known.collect(), now_ms, ACTIVATION_MS).unwrap()
                });
                let id = signs.current.id();
                // What is signed just before the keys are read again.
                let signed_ms = one + RELOAD_MS;
                let is_verified = publishes.current.id() == id
                    || publishes.next.iter().any(|it| it.id == id)
                    || publishes.old.iter().any(|it| it.id == id && it.expired_ms >= signed_ms);
                assert!(is_verified, "{id} at {one}, {other}");
            }
        }
    }
}
