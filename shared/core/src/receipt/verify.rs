//! The second check: that the servers that have to sign an event did ([spec]).
//!
//! Signatures are valid as libsodium has it, which most servers verify with: the point of the
//! signature and the key are not of small order, the scalar is in its range, and the equation holds
//! without multiplying by the cofactor (dalek's `verify_strict`; the points of small order are
//! compared by their bytes, which spares decompressing each).
//!
//! Many signatures are verified as one sum, which only tells whether all are valid. It and the
//! single check agree on what anybody can make but the owner of a key who signs with a point that
//! is off the prime-order group on purpose. Such a signature, invalid for a single check, has one
//! chance in eight to pass in a sum. That gives its maker nothing that was not theirs already: who
//! gives a key to some servers only also makes events that only some can verify.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events

use ed25519_dalek::{Signature, Verifier as _, verify_batch};
use ruma::{OwnedServerName, OwnedServerSigningKeyId, room_version_rules::RoomVersionRules};

use super::{
    Dropped, Received,
    keyring::{Keyring, VerifyKey},
    signatures::Signer,
};
use crate::Pdu;

/// Signatures from which on a sum of them is cheaper than each.
pub const MIN_BATCH: usize = 16;

/// The points of small order but for their signs, which are the top bit of the last byte.
const SMALL_ORDER: [[u8; POINT_BYTES]; 5] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    with_ends(0xec, 0xff, 0x7f),
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
];

/// Bytes of a compressed point.
const POINT_BYTES: usize = 32;

/// An event that the servers that have to sign it did sign.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The event: its redacted form, if its content is not what its hashes say.
    pub pdu: Pdu,
    /// Whether that is its redacted form.
    pub redacted: bool,
}

/// Why an event is not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A server that has to sign it did so with none but keys that are not known, or not known to
    /// be valid for the time of the event. Other keys would not help.
    #[error("keys are missing")]
    NeedsKeys(Vec<(OwnedServerName, OwnedServerSigningKeyId)>),
    /// No keys would help.
    #[error(transparent)]
    Dropped(#[from] Dropped),
}

/// A signature to check.
pub(super) struct Check<'a> {
    message: &'a [u8],
    signer: &'a Signer,
    signature: Option<&'a Signature>,
    key: &'a VerifyKey,
}

/// Verifies an event: the second check.
///
/// # Errors
///
/// See [`Unverified`].
pub fn verify(
    received: Received,
    keys: &Keyring,
    rules: &RoomVersionRules,
) -> Result<Verified, Unverified> {
    each(&checks(&received, keys, rules)?)?;
    Ok(verified(received))
}

/// Verifies events, many signatures at a time. The outcomes are in the order of the events.
pub fn verify_all(
    received: Vec<Received>,
    keys: &Keyring,
    rules: &RoomVersionRules,
) -> Vec<Result<Verified, Unverified>> {
    let checks: Vec<_> = received.iter().map(|it| checks(it, keys, rules)).collect();
    let all_valid = all_valid(checks.iter().flatten().flatten());
    let outcomes: Vec<_> = checks
        .into_iter()
        .map(|checks| {
            let checks = checks?;
            if all_valid {
                let unbatched = checks.iter().filter(|it| !it.may_be_batched());
                return each(unbatched);
            }
            each(&checks)
        })
        .collect();
    received.into_iter().zip(outcomes).map(|(it, outcome)| outcome.map(|()| verified(it))).collect()
}

fn verified(Received { pdu, redacted, .. }: Received) -> Verified {
    Verified { pdu, redacted }
}

/// The signatures that have to be valid: of every server that has to sign, each by a key that is
/// known and was valid then, and at least one.
pub(super) fn checks<'a>(
    received: &'a Received,
    keys: &'a Keyring,
    rules: &RoomVersionRules,
) -> Result<Vec<Check<'a>>, Unverified> {
    let ts_ms = u64::from(received.pdu.origin_server_ts.get());
    let mut checks = Vec::with_capacity(received.signers.len());
    let mut missing = Vec::new();
    for signer in &received.signers {
        let (known, before) = (checks.len(), missing.len());
        for (key_id, signature) in &signer.signatures {
            let key = keys.find(&signer.server, key_id);
            match key.filter(|it| !rules.enforce_key_validity || it.is_valid_at(ts_ms)) {
                Some(key) => {
                    let (message, signature) = (received.signed.as_bytes(), signature.as_ref());
                    checks.push(Check { message, signer, signature, key });
                }
                None if key.is_some_and(VerifyKey::is_old) => {}
                None => missing.push((signer.server.clone(), key_id.clone())),
            }
        }
        match (checks.len() > known, missing.len() > before) {
            (true, _) => missing.truncate(before),
            (false, true) => {}
            (false, false) => {
                let server = &signer.server;
                let reason = format!("{server} has signed it with keys that had expired");
                return Err(Dropped::Signature(reason).into());
            }
        }
    }
    match missing.is_empty() {
        true => Ok(checks),
        false => Err(Unverified::NeedsKeys(missing)),
    }
}

/// Checks signatures one by one.
fn each<'a>(checks: impl IntoIterator<Item = &'a Check<'a>>) -> Result<(), Unverified> {
    match checks.into_iter().find(|it| !it.is_valid()) {
        None => Ok(()),
        Some(invalid) => {
            let server = &invalid.signer.server;
            Err(Dropped::Signature(format!("the signature of {server} is not valid")).into())
        }
    }
}

/// Whether there are many signatures, and all that may be checked together are valid. False says
/// nothing of any of them.
fn all_valid<'a>(checks: impl Iterator<Item = &'a Check<'a>> + Clone) -> bool {
    if checks.clone().count() < MIN_BATCH {
        return false;
    }
    let mut messages = Vec::new();
    let mut signatures = Vec::new();
    let mut keys = Vec::new();
    for check in checks.filter(|it| it.may_be_batched()) {
        messages.push(check.message);
        signatures.extend(check.signature);
        keys.push(check.key.key);
    }
    keys.len() >= MIN_BATCH && verify_batch(&messages, &signatures, &keys).is_ok()
}

impl Check<'_> {
    fn is_valid(&self) -> bool {
        self.signature.is_some_and(|it| {
            !is_small_order(it.r_bytes()) && self.key.key.verify(self.message, it).is_ok()
        })
    }

    /// Whether checking this together with others says the same as checking it alone.
    fn may_be_batched(&self) -> bool {
        self.key.may_be_batched() && self.signature.is_some_and(|it| !is_small_order(it.r_bytes()))
    }
}

/// Whether these bytes are a point of small order. Only canonical encodings are looked for:
/// every other is invalid for the single check anyway.
fn is_small_order(point: &[u8; POINT_BYTES]) -> bool {
    let mut unsigned = *point;
    if let Some(last) = unsigned.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&unsigned)
}

/// A point by its first byte, its last one, and all between.
const fn with_ends(first: u8, between: u8, last: u8) -> [u8; POINT_BYTES] {
    let mut point = [between; POINT_BYTES];
    let [start, .., end] = &mut point;
    (*start, *end) = (first, last);
    point
}
