//! The first three of the checks performed on receipt of a PDU ([spec]): that it is an event of its
//! room version, that the servers that have to sign it did, and that it is what they signed.
//!
//! [`read`] is the first, [`verify`] the second and the third. What does not pass is dropped, each
//! with its reason; what was changed without breaking a signature is redacted. The checks after
//! these ask what a room knows, and are the engine's.
//!
//! **Invariant:** nothing that another server says of an event is believed: not its ID from room
//! version 3 on, not `origin`, not `unsigned`. An event that passed is stored as canonical JSON of
//! what was received, without `unsigned`; so what came with a key twice, or with white space, has
//! one reading only, and what came as canonical JSON without `unsigned` stays the same, byte for
//! byte.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu

mod format;
mod keyring;
mod signatures;
mod verify;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedRoomId, OwnedServerName,
    OwnedServerSigningKeyId, RoomId, ServerName, ServerSigningKeyId,
    room_version_rules::RoomVersionRules,
    serde::{Base64, base64::Standard},
};
use serde_json::value::RawValue as RawJsonValue;
use sha2::{Digest as _, Sha256};

use self::{format::Fields, signatures::Signer};
pub use self::{
    keyring::{Keyring, VerifyKey, WeakKey},
    verify::{MIN_BATCH, Unverified, Verified, verify, verify_all},
};
use crate::{Pdu, SigningKey, event_json::EventJson};

/// Bytes of a whole event as canonical JSON, with its signatures and its `unsigned` ([spec]). One
/// more than this server's own events have.
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#size-limits
pub const MAX_BYTES: usize = 65_536;

/// Why an event is dropped: as if it had not been received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Larger than [`MAX_BYTES`].
    #[error("the event is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not an event of its room version.
    #[error("not an event of its room version: {0}")]
    Format(String),
    /// An event of another room than it was sent for.
    #[error("an event of another room: {0}")]
    Room(OwnedRoomId),
    /// A server that has to sign it did not.
    #[error("{0}")]
    Signature(String),
}

/// A PDU as it came, known to have the format of its room version, and named by its own hash.
/// Nobody's word for it yet.
#[derive(Clone, Debug)]
pub struct Received {
    /// The event, as if all that it says were true: its redacted form, if its content is not what
    /// its hashes say.
    pub pdu: Pdu,
    /// Whether that is its redacted form.
    redacted: bool,
    /// What is signed.
    signed: String,
    /// Who has to sign it, and the signatures they gave.
    signers: Vec<Signer>,
}

impl Received {
    /// Whether it is the redacted form of what came, because the content is not what its hashes
    /// say.
    pub fn is_redacted(&self) -> bool {
        self.redacted
    }

    /// The servers that have to sign it.
    pub fn signers(&self) -> impl Iterator<Item = &ServerName> {
        self.signers.iter().map(|it| &*it.server)
    }

    /// The keys with which these servers say they signed it.
    pub fn key_ids(&self) -> impl Iterator<Item = (&ServerName, &ServerSigningKeyId)> {
        self.signers
            .iter()
            .flat_map(|it| it.signatures.iter().map(|(key_id, _)| (&*it.server, &**key_id)))
    }

    /// The keys without which it cannot be verified: to fetch them for many events at once, before
    /// [`verify_all`].
    pub fn missing_keys(
        &self,
        keys: &Keyring,
        rules: &RoomVersionRules,
    ) -> Vec<(OwnedServerName, OwnedServerSigningKeyId)> {
        match verify::checks(self, keys, rules) {
            Err(Unverified::NeedsKeys(missing)) => missing,
            Err(Unverified::Dropped(_)) | Ok(_) => Vec::new(),
        }
    }
}

/// Reads an event that another server sent for this room: the first check. Compares its content
/// with its hashes as well, because who has to sign it depends on what it is then.
///
/// # Errors
///
/// [`Dropped`], for every event that is not one of this room in the format of its version.
pub fn read(
    json: &RawJsonValue,
    room_id: &RoomId,
    rules: &RoomVersionRules,
) -> Result<Received, Dropped> {
    if json.get().len() > format::MAX_TEXT_BYTES {
        return Err(Dropped::TooLarge);
    }
    let is_strict = rules.authorization.strict_canonical_json;
    let mut event = EventJson::parse(json.get(), is_strict).map_err(malformed)?;
    let unsigned = event.take_unsigned().map_err(malformed)?;
    let mut text = event.text().map_err(malformed)?;
    if text.len() + unsigned > MAX_BYTES {
        return Err(Dropped::TooLarge);
    }
    let redacted = !is_unchanged(&event)?;
    if redacted {
        event.redact(&rules.redaction).map_err(malformed)?;
        text = event.text().map_err(malformed)?;
    }
    let signed = event.signed_text(&rules.redaction).map_err(malformed)?;
    let fields = Fields::of(&event, &Sha256::digest(&signed), rules)?;
    if fields.room_id != room_id {
        return Err(Dropped::Room(fields.room_id));
    }
    let signers = signatures::required(&event.object, &fields, rules)?;
    let content = event.content().map_err(malformed)?;
    let pdu = fields.into_pdu(content, text.into_boxed_str());
    Ok(Received { pdu, redacted, signed, signers })
}

/// As [`read`], of an event that this server must have signed too, whoever else has to.
///
/// # Errors
///
/// As [`read`]; and where it has not.
pub fn read_signed_by(
    json: &RawJsonValue,
    room_id: &RoomId,
    rules: &RoomVersionRules,
    server: &ServerName,
) -> Result<Received, Dropped> {
    let mut received = read(json, room_id, rules)?;
    if received.signers().all(|it| it != server) {
        let is_strict = rules.authorization.strict_canonical_json;
        let event = EventJson::parse(json.get(), is_strict).map_err(malformed)?;
        received.signers.push(signatures::signer(&event.object, server.to_owned())?);
    }
    Ok(received)
}

/// Reads an event that another server sent for this room, signed by this server too, and gives it
/// as it is then. Whether this server stands by it is for the caller to find out before anybody
/// sees it.
///
/// # Errors
///
/// As [`read`]; and where the content is not what the hash says.
pub fn countersigned(
    json: &RawJsonValue,
    room_id: &RoomId,
    rules: &RoomVersionRules,
    (server, key): (&ServerName, &SigningKey),
) -> Result<(Received, Box<RawJsonValue>), Dropped> {
    let is_strict = rules.authorization.strict_canonical_json;
    let mut event = EventJson::parse(json.get(), is_strict).map_err(malformed)?;
    event.take_unsigned().map_err(malformed)?;
    let signed = event.signed_text(&rules.redaction).map_err(malformed)?;
    let signature = CanonicalJsonValue::String(key.sign(signed.as_bytes()).base64());
    signatures_of(&mut event, server)?.insert(key.id().to_string(), signature);
    let (received, event) = read_again(&event, room_id, rules)?;
    match received.redacted {
        true => Err(Dropped::Signature("its content is not what its hash says".to_owned())),
        false => Ok((received, event)),
    }
}

/// An event that another server was asked to sign, with the signatures that it has answered. Of
/// the answer nothing else is taken. What is to be verified of the result are these signatures.
///
/// # Errors
///
/// [`Dropped`], where the answer is no event, or another one, or is not signed by that server.
pub fn cosigned(
    json: &RawJsonValue,
    answer: &RawJsonValue,
    room_id: &RoomId,
    rules: &RoomVersionRules,
    server: &ServerName,
) -> Result<(Received, Box<RawJsonValue>), Dropped> {
    let is_strict = rules.authorization.strict_canonical_json;
    let mut event = EventJson::parse(json.get(), is_strict).map_err(malformed)?;
    let asked = event_id(json, rules);
    if asked.is_none() || event_id(answer, rules) != asked {
        return Err(Dropped::Format("another event was answered".to_owned()));
    }
    let mut answer = EventJson::parse(answer.get(), is_strict).map_err(malformed)?;
    let given = std::mem::take(signatures_of(&mut answer, server)?);
    *signatures_of(&mut event, server)? = given;
    let (mut received, event_json) = read_again(&event, room_id, rules)?;
    received.signers = vec![signatures::signer(&event.object, server.to_owned())?];
    Ok((received, event_json))
}

/// The signatures of a server on an event, to be changed.
fn signatures_of<'a>(
    event: &'a mut EventJson,
    server: &ServerName,
) -> Result<&'a mut CanonicalJsonObject, Dropped> {
    let no_object = || Dropped::Format("`signatures` is not an object of objects".to_owned());
    let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
    let signatures = event.object.entry("signatures".to_owned()).or_insert_with(empty);
    let signatures = signatures.as_object_mut().ok_or_else(no_object)?;
    let of_server = signatures.entry(server.to_string()).or_insert_with(empty);
    of_server.as_object_mut().ok_or_else(no_object)
}

/// An event that was changed, as it is then.
fn read_again(
    event: &EventJson,
    room_id: &RoomId,
    rules: &RoomVersionRules,
) -> Result<(Received, Box<RawJsonValue>), Dropped> {
    let text = event.text().map_err(malformed)?;
    let event = RawJsonValue::from_string(text).map_err(malformed)?;
    Ok((read(&event, room_id, rules)?, event))
}

/// The ID of an event, of which nothing else need be right.
pub fn event_id(json: &RawJsonValue, rules: &RoomVersionRules) -> Option<OwnedEventId> {
    if json.get().len() > format::MAX_TEXT_BYTES {
        return None;
    }
    let is_strict = rules.authorization.strict_canonical_json;
    let event = EventJson::parse(json.get(), is_strict).ok()?;
    let signed = event.signed_text(&rules.redaction).ok()?;
    Fields::of(&event, &Sha256::digest(&signed), rules).ok().map(|it| it.event_id)
}

/// Whether the content is what the event's hash says. A hash that cannot be decoded is none.
fn is_unchanged(event: &EventJson) -> Result<bool, Dropped> {
    let said = format::content_hash(event)?;
    let hash = Sha256::digest(event.hashed_text().map_err(malformed)?);
    Ok(Base64::<Standard>::parse(said).is_ok_and(|said| said.as_bytes() == hash.as_slice()))
}

/// An event that breaks the format.
fn malformed(error: impl std::fmt::Display) -> Dropped {
    Dropped::Format(error.to_string())
}
