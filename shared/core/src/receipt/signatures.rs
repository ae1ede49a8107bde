//! Which servers have to sign an event ([spec]), and what they signed it with.
//!
//! Not ruma's: it has other events than `m.room.member` need the signature of
//! `join_authorised_via_users_server` too.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events

use std::collections::BTreeSet;

use ed25519_dalek::{SIGNATURE_LENGTH, Signature};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, OwnedServerSigningKeyId,
    ServerSigningKeyId, SigningKeyAlgorithm, UserId, room_version_rules::RoomVersionRules,
    serde::Base64,
};

use super::{Dropped, format::Fields, malformed};

/// Signatures of one server on one event. Servers sign with one key; one that changes keys might
/// with two.
const MAX_SIGNATURES: usize = 16;

/// A server that has to sign an event.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    /// Its name.
    pub(super) server: OwnedServerName,
    /// Its signatures, at least one. None in the place of what is not a signature at all.
    pub(super) signatures: Vec<(OwnedServerSigningKeyId, Option<Signature>)>,
}

/// Who has to sign an event: its sender's server, but for invites that another server may send in
/// the sender's name; the server that its ID names, in room versions 1 and 2; and the server of who
/// lets the sender join, in room versions that know restricted joins.
///
/// `object` is the event as it will be used. One that is redacted because its content was changed
/// is no third-party invite where redaction takes `third_party_invite` away: else anybody could
/// make an invite of anybody by adding this field.
pub(super) fn required(
    object: &CanonicalJsonObject,
    fields: &Fields<'_>,
    rules: &RoomVersionRules,
) -> Result<Vec<Signer>, Dropped> {
    let mut servers = BTreeSet::new();
    let content = match fields.event_type {
        "m.room.member" => Some(fields.content),
        _ => None,
    };
    if !content.is_some_and(is_third_party_invite) {
        servers.insert(fields.sender.server_name());
    }
    if rules.signatures.check_event_id_server {
        servers.extend(fields.event_id.server_name());
    }
    if rules.signatures.check_join_authorised_via_users_server {
        let user = content.and_then(|it| it.get("join_authorised_via_users_server"));
        if let Some(user) = user {
            let user = user.as_str().unwrap_or_default();
            let user = <&UserId>::try_from(user).map_err(malformed)?;
            servers.insert(user.server_name());
        }
    }
    servers.into_iter().map(|it| signer(object, it.to_owned())).collect()
}

/// Whether the content of a membership event is an invite that came about by a third party.
fn is_third_party_invite(content: &CanonicalJsonObject) -> bool {
    let membership = content.get("membership").and_then(CanonicalJsonValue::as_str);
    membership == Some("invite")
        && content.get("third_party_invite").and_then(CanonicalJsonValue::as_object).is_some()
}

/// A server's signatures, of those kinds that can be checked.
pub(super) fn signer(
    object: &CanonicalJsonObject,
    server: OwnedServerName,
) -> Result<Signer, Dropped> {
    let all = object.get("signatures").and_then(CanonicalJsonValue::as_object);
    let given = all.and_then(|it| it.get(server.as_str())).and_then(CanonicalJsonValue::as_object);
    let signatures: Vec<_> = given
        .into_iter()
        .flatten()
        .filter_map(|(key_id, signature)| {
            let key_id = ServerSigningKeyId::parse(key_id.as_str()).ok()?;
            let is_known = key_id.algorithm() == SigningKeyAlgorithm::Ed25519;
            is_known.then(|| (key_id, decode(signature)))
        })
        .take(MAX_SIGNATURES + 1)
        .collect();
    match signatures.len() {
        0 => Err(Dropped::Signature(format!("{server} has not signed it"))),
        1..=MAX_SIGNATURES => Ok(Signer { server, signatures }),
        _ => Err(Dropped::Signature(format!("{server} has signed it too often"))),
    }
}

fn decode(signature: &CanonicalJsonValue) -> Option<Signature> {
    let bytes = Base64::<ruma::serde::base64::Standard>::parse(signature.as_str()?).ok()?;
    let bytes: &[u8; SIGNATURE_LENGTH] = bytes.as_bytes().try_into().ok()?;
    Some(Signature::from_bytes(bytes))
}
