//! Backups of room keys ([spec]): what is a key, which of two keys of a session is kept, and how
//! much may be kept.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

use ruma::UInt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue as RawJsonValue;

use crate::identifier::MAX_ID_BYTES;

/// Backups of a user that are not deleted. Where there is one more, the oldest goes.
pub const MAX_VERSIONS: usize = 20;

/// Backups that it is known of that they were deleted.
pub const MAX_DELETED: u64 = 1_000;

/// Bytes of all keys of a user: some five hundred thousand of them.
pub const MAX_BYTES: u64 = 512 << 20;

/// Bytes of what a backup says of itself.
pub const MAX_AUTH_DATA_BYTES: usize = 64 * 1024;

/// Bytes of the data of one key.
pub const MAX_KEY_BYTES: usize = 64 * 1024;

/// Keys that are read at a time.
pub const PAGE_KEYS: usize = 500;

/// Bytes of the keys that are read at a time, about.
pub const PAGE_BYTES: usize = 512 * 1024;

/// What a row has beside its texts, in bytes, about.
const ROW_BYTES: usize = 40;

/// A key of a session. Of its data ruma knows one algorithm's alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The index of the first message that it decrypts.
    pub first_message_index: UInt,
    /// How often it has been forwarded.
    pub forwarded_count: UInt,
    /// Whether the device that backs it up has verified the device that it is from.
    pub is_verified: bool,
    /// What only clients understand.
    pub session_data: Box<RawJsonValue>,
}

/// Why a key is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A field is not there, or of another type.
    #[error("the key of a session is malformed: {0}")]
    Malformed(String),
    /// Its data, or the ID of its session or room, is too large.
    #[error("the key of a session is too large")]
    TooLarge,
}

impl Key {
    /// Reads the key of a session.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn read(room_id: &str, session_id: &str, json: &str) -> Result<Self, KeyError> {
        let malformed = |it: &str| KeyError::Malformed(it.to_owned());
        if !json.starts_with('{') {
            return Err(malformed("it is no object"));
        }
        let key: Self = serde_json::from_str(json).map_err(|it| malformed(&it.to_string()))?;
        let data = key.session_data.get();
        if !data.starts_with('{') {
            return Err(malformed("its data is no object"));
        }
        let is_long = room_id.len() > MAX_ID_BYTES || session_id.len() > MAX_ID_BYTES;
        match is_long || data.len() > MAX_KEY_BYTES {
            true => Err(KeyError::TooLarge),
            false => Ok(key),
        }
    }

    /// What decides whether it is kept.
    pub fn rank(&self) -> Rank {
        Rank {
            is_verified: self.is_verified,
            first_message_index: self.first_message_index.into(),
            forwarded_count: self.forwarded_count.into(),
        }
    }

    /// The bytes that are kept of a key of this room and session beside its data.
    pub fn row_bytes(room_id: &str, session_id: &str) -> u64 {
        (room_id.len() + session_id.len() + ROW_BYTES) as u64
    }
}

/// What decides which of two keys of a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// [`Key::is_verified`]
    pub is_verified: bool,
    /// [`Key::first_message_index`]
    pub first_message_index: u64,
    /// [`Key::forwarded_count`]
    pub forwarded_count: u64,
}

impl Rank {
    /// Whether a key takes the place of the one that is there ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups
    pub fn replaces(self, known: Self) -> bool {
        let order = |it: Self| (!it.is_verified, it.first_message_index, it.forwarded_count);
        order(self) < order(known)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as JsonValue, json};

    use super::*;

    #[test]
    fn which_key_is_kept() {
        let rank = |(is_verified, first_message_index, forwarded_count)| Rank {
            is_verified,
            first_message_index,
            forwarded_count,
        };
        let cases = [
            ("the same", (true, 1, 1), (true, 1, 1), false),
            ("it is verified", (true, 9, 9), (false, 1, 1), true),
            ("the other one is", (false, 1, 1), (true, 9, 9), false),
            ("an earlier index", (true, 1, 9), (true, 2, 1), true),
            ("a later index", (true, 2, 1), (true, 1, 9), false),
            ("forwarded less often", (false, 1, 1), (false, 1, 2), true),
            ("forwarded more often", (false, 1, 2), (false, 1, 1), false),
        ];
        for (name, new, known, expected) in cases {
            assert_eq!(rank(new).replaces(rank(known)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_a_key() {
        let good = || {
            json!({ "first_message_index": 1, "forwarded_count": 0, "is_verified": false,
                "session_data": { "ciphertext": "x" } })
        };
        let with = |field: &str, value: JsonValue| {
            let mut key = good();
            key[field] = value;
            key
        };
        let without = |field: &str| {
            let mut key = good();
            key.as_object_mut().unwrap().remove(field);
            key
        };
        let large = json!({ "x": "x".repeat(MAX_KEY_BYTES) });
        let cases = [
            ("one", good(), "!r:a", true),
            ("another field", with("x", json!([])), "!r:a", true),
            ("other data", with("session_data", json!({})), "!r:a", true),
            ("a negative index", with("first_message_index", json!(-1)), "!r:a", false),
            ("half an index", with("first_message_index", json!(1.5)), "!r:a", false),
            ("an index beyond all", with("first_message_index", json!(1_u64 << 53)), "!r:a", false),
            ("a text", with("forwarded_count", json!("0")), "!r:a", false),
            ("not said whether", with("is_verified", json!(0)), "!r:a", false),
            ("data that is a text", with("session_data", json!("{}")), "!r:a", false),
            ("no data", without("session_data"), "!r:a", false),
            ("no count", without("forwarded_count"), "!r:a", false),
            ("large data", with("session_data", large), "!r:a", false),
            ("a long room ID", good(), &"x".repeat(256), false),
            ("a list", json!([1, 0, false, {}]), "!r:a", false),
        ];
        for (name, key, room_id, expected) in cases {
            let read = Key::read(room_id, "session", &key.to_string());
            assert_eq!(read.is_ok(), expected, "{name}");
        }
    }
}
