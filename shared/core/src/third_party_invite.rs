//! Invitations of users of whom a third-party identifier alone is known ([spec]): an identity
//! server gives a token, and signs it for whoever shows that the identifier is theirs.
//!
//! Whether the signature is one by the keys that the room has is an authorization rule, which is
//! checked of every such membership. Here is what else must be known of it.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#third-party-invites

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, SigningKeyAlgorithm, UserId,
    api::identity_service::invitation::store_invitation::v2::Response as StoredInvite,
    events::room::third_party_invite::{PublicKey, RoomThirdPartyInviteEventContent},
    serde::{Base64, base64::Standard},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use sha2::{Digest as _, Sha256};
use url::Url;

/// Characters of a token.
pub const MAX_TOKEN_BYTES: usize = 255;

/// Bytes of the name by which an identity server shows whom it invites.
pub const MAX_DISPLAY_NAME_BYTES: usize = 255;

/// Bytes of the address of a page that says whether a key is valid.
pub const MAX_URL_BYTES: usize = 1_024;

/// Bytes of a third-party identifier: what an email address may have.
pub const MAX_ADDRESS_BYTES: usize = 254;

/// Keys of an invitation that are looked at, and signatures.
pub const MAX_KEYS: usize = 10;

/// Bytes of a public key.
const KEY_BYTES: usize = 32;

/// Why what an identity server says is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Its token is none.
    #[error("the token has other characters than a token has, or too many")]
    Token,
    /// The name is too long.
    #[error("the name of whom is invited is too long")]
    DisplayName,
    /// One of its keys is none.
    #[error("a public key is none")]
    Key,
    /// Nobody can be asked whether a key is valid.
    #[error("the address where the validity of a key is to be asked for is none")]
    ValidityUrl,
    /// What is signed does not say for whom, or by which token.
    #[error("what is signed names no user or no token")]
    Signed,
    /// No key that the room has for the invitation has signed it.
    #[error("no key of the invitation has signed this")]
    Signature,
}

/// How an identifier is looked up ([spec]): nobody learns it from that.
///
/// [spec]: https://spec.matrix.org/v1.19/identity-service-api/#sha256
pub fn lookup_hash(address: &str, medium: &str, pepper: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{address} {medium} {pepper}")))
}

/// What the room is to have of an invitation that an identity server keeps, and the token.
///
/// # Errors
///
/// [`InviteError`], where the identity server says what no room should have.
pub fn to_state(
    stored: StoredInvite,
) -> Result<(String, RoomThirdPartyInviteEventContent), InviteError> {
    let is_part = |it: char| it.is_ascii_alphanumeric() || ".=_-".contains(it);
    let token = stored.token.clone();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.chars().all(is_part) {
        return Err(InviteError::Token);
    }
    if stored.display_name.len() > MAX_DISPLAY_NAME_BYTES {
        return Err(InviteError::DisplayName);
    }
    let keys = &stored.public_keys;
    for key in [&keys.server_key, &keys.ephemeral_key] {
        if !key.public_key.decode().is_ok_and(|it| it.len() == KEY_BYTES) {
            return Err(InviteError::Key);
        }
        validity_url(&key.key_validity_url, &key.public_key.0)?;
    }
    Ok((token, stored.into()))
}

/// Where it is asked whether a key is valid ([spec]).
///
/// # Errors
///
/// [`InviteError::ValidityUrl`]
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#mroomthird_party_invite
pub fn validity_url(url: &str, public_key: &str) -> Result<Url, InviteError> {
    if url.len() > MAX_URL_BYTES {
        return Err(InviteError::ValidityUrl);
    }
    let mut url = Url::parse(url).map_err(|_| InviteError::ValidityUrl)?;
    let is_named = url.username().is_empty() && url.password().is_none();
    if url.scheme() != "https" || !is_named {
        return Err(InviteError::ValidityUrl);
    }
    url.query_pairs_mut().append_pair("public_key", public_key);
    Ok(url)
}

/// What an identity server has signed: that a user may use an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The user.
    pub mxid: OwnedUserId,
    /// The token.
    pub token: String,
    object: CanonicalJsonObject,
}

/// Reads what an identity server has signed. Whether it has is not known by that.
///
/// # Errors
///
/// [`InviteError::Signed`]
pub fn read_signed(json: &str) -> Result<Signed, InviteError> {
    let object: CanonicalJsonObject =
        serde_json::from_str(json).map_err(|_| InviteError::Signed)?;
    let text = |name: &str| match object.get(name) {
        Some(CanonicalJsonValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let mxid = text("mxid").and_then(|it| UserId::parse(it).ok());
    let token = text("token").filter(|it| !it.is_empty() && it.len() <= MAX_TOKEN_BYTES);
    match (mxid, token) {
        (Some(mxid), Some(token)) => Ok(Signed { mxid, token, object }),
        _ => Err(InviteError::Signed),
    }
}

/// Of the keys that the room has for an invitation, those that have signed: the content of
/// `m.room.third_party_invite` says which there are.
///
/// # Errors
///
/// [`InviteError::Signature`], where none has.
pub fn signed_by(signed: &Signed, content: &str) -> Result<Vec<PublicKey>, InviteError> {
    let text =
        to_canonical_json_string_for_signing(&signed.object).map_err(|_| InviteError::Signature)?;
    let signatures = signatures(&signed.object);
    let mut keys = keys(content);
    keys.retain(|key| {
        let Ok(bytes) = key.public_key.decode() else { return false };
        signatures.iter().any(|it| {
            let algorithm = SigningKeyAlgorithm::Ed25519;
            verify_canonical_json_bytes(&algorithm, &bytes, it, text.as_bytes()).is_ok()
        })
    });
    if keys.is_empty() { Err(InviteError::Signature) } else { Ok(keys) }
}

/// The keys of an invitation, each once.
fn keys(content: &str) -> Vec<PublicKey> {
    let Ok(content) = serde_json::from_str::<RoomThirdPartyInviteEventContent>(content) else {
        return Vec::new();
    };
    let mut keys = content.public_keys.unwrap_or_default();
    keys.truncate(MAX_KEYS);
    if keys.iter().all(|it| it.public_key != content.public_key) {
        let mut key = PublicKey::new(content.public_key);
        key.key_validity_url = Some(content.key_validity_url).filter(|it| !it.is_empty());
        keys.push(key);
    }
    keys
}

/// The signatures that there are, whoever they are by.
fn signatures(object: &CanonicalJsonObject) -> Vec<Vec<u8>> {
    type Signatures = BTreeMap<String, BTreeMap<String, String>>;
    let signatures = object.get("signatures").and_then(|it| serde_json::to_value(it).ok());
    let signatures = signatures.and_then(|it| serde_json::from_value::<Signatures>(it).ok());
    let all = signatures.into_iter().flat_map(BTreeMap::into_values).flatten();
    let ed25519 = all.filter(|(key_id, _)| key_id.starts_with("ed25519:")).take(MAX_KEYS);
    ed25519
        .filter_map(|(_, it)| Base64::<Standard>::parse(it).ok())
        .map(Base64::into_inner)
        .collect()
}
