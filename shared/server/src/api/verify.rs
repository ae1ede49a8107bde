//! Events of other servers that no room verifies, because the room is not here.

use ruma::room_version_rules::RoomVersionRules;
use skerry_core::receipt::{self, Keyring, Received, Unverified, Verified};

use super::{
    Cx,
    signers::{Signers, find_keys},
};
use crate::{known_keys, messages::ServerKey};

/// An event whose servers have signed it, and the keys with which they have.
pub(super) async fn verify(
    cx: &Cx,
    received: Received,
    rules: &RoomVersionRules,
) -> Result<(Verified, Vec<ServerKey>), Unverified> {
    let mut signers = Signers::new();
    for (server, key_id) in received.key_ids() {
        signers.entry(server.to_owned()).or_default().push(key_id.to_owned());
    }
    let keys = find_keys(cx, signers).await;
    let verified = receipt::verify(received, &keyring(&keys), rules)?;
    Ok((verified, keys))
}

/// Keys to verify with. One that is no key is as good as none.
pub(super) fn keyring(keys: &[ServerKey]) -> Keyring {
    let mut keyring = Keyring::default();
    for it in keys {
        if let Some(key) = known_keys::decode(it) {
            keyring.insert(it.server.clone(), it.key_id.clone(), key);
        }
    }
    keyring
}
