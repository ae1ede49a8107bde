//! Rules are written and read as text of their own wherever they stand: so there is one piece of
//! code that writes them and one that reads them, and not one for each form that they travel in.
//! At the edge code is counted in bytes.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::Error as _,
};
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};

/// Writes a value.
///
/// # Errors
///
/// What cannot be written as JSON.
pub fn serialize<T: Serialize, S: Serializer>(it: &T, serializer: S) -> Result<S::Ok, S::Error> {
    to_raw_value(it).map_err(S::Error::custom)?.serialize(serializer)
}

/// Reads a value.
///
/// # Errors
///
/// What is not JSON of it.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let text = Box::<RawJsonValue>::deserialize(deserializer)?;
    serde_json::from_str(text.get()).map_err(D::Error::custom)
}
