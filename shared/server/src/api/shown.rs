//! What another server shows of a room that is not here, with an invitation or a knock.

use ruma::{
    api::{error::ErrorKind, federation::membership::RawStrippedState},
    room_version_rules::RoomVersionRules,
};
use serde_json::value::to_raw_value;
use skerry_core::{
    Pdu, client_event,
    invite::shown::{self, Faults, ShownError},
};

use super::{
    Cx,
    signers::{find_keys, signers_of},
    verify::keyring,
};
use crate::{Error, Result, messages::RawJson};

/// The events as they came.
pub(super) fn events(shown: &[RawStrippedState]) -> Result<Vec<RawJson>> {
    shown.iter().map(|it| to_raw_value(it).map_err(Error::from)).collect()
}

/// What clients get of the room with this membership.
///
/// # Errors
///
/// `M_TOO_LARGE` or `M_INVALID_PARAM`, where it is not to be taken.
pub(super) async fn stripped(
    cx: &Cx,
    events: &[RawJson],
    membership: &Pdu,
    rules: &RoomVersionRules,
    faults: Faults,
) -> Result<Vec<RawJson>> {
    let shown = shown::read(events, membership, rules, faults).map_err(|it| refused(&it))?;
    // Only what says by itself of which room it is has to be signed.
    let keys = match shown.is_to_be_verified() {
        true => find_keys(cx, signers_of(events)).await,
        false => Vec::new(),
    };
    shown.believed(&keyring(&keys), rules).map_err(|it| refused(&it))
}

/// What clients get where nothing is known of the room but the membership itself.
pub(super) fn stripped_alone(membership: &Pdu) -> Result<Vec<RawJson>> {
    Ok(vec![client_event::strip(&membership.json)?])
}

fn refused(error: &ShownError) -> Error {
    let kind = match error {
        ShownError::TooMuch => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidParam,
    };
    Error::api(kind, error.to_string())
}
