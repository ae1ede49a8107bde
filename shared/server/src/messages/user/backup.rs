//! Backups of room keys.

use serde::{Deserialize, Serialize};
use skerry_core::key_backup::Key;

use super::RawJson;

/// Begin a backup; the answer is its version. What was written last can be added to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateBackup {
    /// How its keys are encrypted.
    pub algorithm: String,
    /// What that needs.
    pub auth_data: RawJson,
}

/// A backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBackup {
    /// Its version; none: the last.
    pub version: Option<u64>,
}

/// What is known of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// Its version.
    pub version: u64,
    /// How its keys are encrypted.
    pub algorithm: String,
    /// What that needs.
    pub auth_data: RawJson,
    /// What it holds.
    pub held: HeldKeys,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldKeys {
    /// How many keys.
    pub count: u64,
    /// Another one after every change.
    pub etag: u64,
}

/// Change what a backup says of itself. The algorithm stays what it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateBackup {
    /// Its version.
    pub version: u64,
    /// How its keys are encrypted.
    pub algorithm: String,
    /// What that needs.
    pub auth_data: RawJson,
}

/// Delete a backup, and its keys. Asked twice, it is deleted once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteBackup {
    /// Its version.
    pub version: u64,
}

/// A key of a session, and whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupKey {
    /// The room.
    pub room_id: String,
    /// The session.
    pub session_id: String,
    /// The key.
    pub key: Key,
}

/// Put keys into the last backup. Of two keys of a session the better one is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PutBackupKeys {
    /// The version of the backup.
    pub version: u64,
    /// The keys.
    pub keys: Vec<BackupKey>,
}

/// Which keys of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WhichKeys {
    /// Of a room; none: all.
    pub room_id: Option<String>,
    /// Of a session of it; none: all.
    pub session_id: Option<String>,
}

/// Keys of a backup, by the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBackupKeys {
    /// The version of the backup.
    pub version: u64,
    /// Which.
    pub which: WhichKeys,
    /// From those of this room and session on; none: from the first on.
    pub from: Option<(String, String)>,
}

/// The answer to [`GetBackupKeys`]: keys in the order of rooms and sessions.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackupPage {
    /// The keys.
    pub keys: Vec<BackupKey>,
    /// Where the next page begins; none: there is none.
    pub next: Option<(String, String)>,
}

/// Remove keys of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteBackupKeys {
    /// The version of the backup.
    pub version: u64,
    /// Which.
    pub which: WhichKeys,
}
