//! What may be asked of a user's account: sessions, devices, password, profile.
//!
//! Tokens are known by their hashes ([`skerry_core::token::hash`]): whoever asks makes them, so
//! that a question that is carried out twice gives the same session.

use std::collections::BTreeMap;

use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;
use skerry_core::sessions;

use crate::messages::{Caller, secret::Secret};

/// Make the account. Refused with `M_USER_IN_USE` when the name is or was somebody's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// The password, not yet hashed.
    pub password: Secret,
    /// Whether the user may administer the server.
    pub is_admin: bool,
    /// The use of a registration token that was reserved for it, if any.
    pub reservation: Option<Reservation>,
    /// The first session, unless none is wished for.
    pub session: Option<NewSession>,
    /// Where it is asked from, if that is known: who waits for a password to be hashed waits behind
    /// others of the same address.
    #[serde(default)]
    pub address: Option<String>,
}

/// A use of a registration token that is reserved for an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reservation {
    /// The token, by its hash.
    pub token_hash: String,
    /// Until when the account may be registered with it, in milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// Whether the account exists, and what it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetAccount {}

/// Whether the account is a use of this registration token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WasRegisteredWith {
    /// The token, by its hash.
    pub token_hash: String,
}

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whether its user may administer the server.
    pub is_admin: bool,
    /// Whether it is gone for good.
    pub is_deactivated: bool,
}

/// The tokens of a session, by their hashes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewTokens {
    /// The access token.
    pub access_hash: String,
    /// The refresh token, if the client can use one.
    pub refresh_hash: Option<String>,
    /// When the access token expires, in milliseconds since the Unix epoch; none: never.
    pub expires_at_ms: Option<u64>,
}

impl From<NewTokens> for sessions::NewTokens {
    fn from(it: NewTokens) -> Self {
        let NewTokens { access_hash, refresh_hash, expires_at_ms } = it;
        Self { access_hash, refresh_hash, expires_at_ms }
    }
}

/// A session that is to begin, in place of the one that its device may have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSession {
    /// The device. A known one keeps the name it has.
    pub device: Device,
    /// The tokens.
    pub tokens: NewTokens,
}

/// Begin a session by password. One refusal for a wrong password and for nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// What the client says the password is.
    pub password: Secret,
    /// The session.
    pub session: NewSession,
    /// How long strangers to the account have to wait, in milliseconds, because there were too many
    /// logins; none: they need not. Who logs in from where the account is in use is no stranger.
    #[serde(default)]
    pub limited_for_ms: Option<u64>,
}

/// Check an access token. Its first use after a refresh ends what it replaces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authenticate {
    /// The token, by its hash.
    pub access_hash: String,
}

/// Whose token it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authenticated {
    /// The user on the device.
    pub caller: Caller,
    /// When the token expires, in milliseconds since the Unix epoch; none: never.
    pub expires_at_ms: Option<u64>,
    /// Whether the user ignores anybody.
    #[serde(default)]
    pub ignores_users: bool,
    /// Whether the user administers the server.
    #[serde(default)]
    pub is_admin: bool,
}

/// Exchange a refresh token for a new pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refresh {
    /// The refresh token, by its hash.
    pub refresh_hash: String,
    /// The new pair.
    pub tokens: NewTokens,
}

/// End the sessions of devices, and with them the devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndSessions {
    /// The devices.
    pub device_ids: Vec<OwnedDeviceId>,
}

/// End all sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndAllSessions {}

/// Whether this is the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckPassword {
    /// What the client says it is.
    pub password: Secret,
}

/// Change the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangePassword {
    /// The new one.
    pub password: Secret,
    /// The device whose session stays while all others end; none: all stay.
    pub only_device: Option<OwnedDeviceId>,
}

/// End the account for good: everything private goes, all rooms are left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deactivate {
    /// The user on the device that asks for it.
    pub caller: Caller,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Device {
    /// ID.
    pub device_id: OwnedDeviceId,
    /// Name for people.
    pub display_name: Option<String>,
    /// Last use, milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
    /// Address of the last use.
    pub last_seen_ip: Option<String>,
}

/// All devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListDevices {}

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetDevice {
    /// Which.
    pub device_id: OwnedDeviceId,
}

/// Give a device another name. The answer says whether there is such a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetDeviceName {
    /// Which.
    pub device_id: OwnedDeviceId,
    /// Its new name.
    pub display_name: String,
}

/// The profile. None: there is no such user, or no longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetProfile {}

/// A profile, by the names of its fields.
pub type Profile = BTreeMap<String, JsonValue>;

/// Set or remove a field of the profile. What membership events repeat of it is carried into the
/// user's rooms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetProfileField {
    /// Its name.
    pub field: String,
    /// Its value; none: it is removed.
    pub value: Option<JsonValue>,
}

/// Keep a token by which others are told who the user is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MakeOpenIdToken {
    /// The token, by its hash.
    pub token_hash: String,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

/// Whether such a token is one of the user's, and has not ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HasOpenIdToken {
    /// The token, by its hash.
    pub token_hash: String,
}
