//! The JSON of an event, in the forms that are hashed, signed and stored.
//!
//! From room version 6 on events are canonical JSON ([strict]). Before, servers must not insist on
//! it ([lax]): an event may hold floats and integers of any size, and is hashed as the servers of
//! those rooms write them, which is what Python's `json` makes of them. ruma's canonical JSON
//! cannot hold such numbers. Here they travel through it as strings that no event may contain,
//! and are put back where text is made, so that there is one way to redact and to check an event.
//!
//! [strict]: https://spec.matrix.org/v1.19/rooms/v6/#canonical-json
//! [lax]: https://spec.matrix.org/v1.19/rooms/v1/#canonical-json

mod lax;
#[cfg(test)]
mod tests;

use ruma::{
    CanonicalJsonObject,
    canonical_json::{RedactingSerializer, redact_in_place},
    room_version_rules::RedactionRules,
};
use serde::ser::Error as _;
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};

/// What is not signed.
const NOT_SIGNED: &[&str] = &["signatures", "unsigned"];

/// What the content hash does not cover.
const NOT_HASHED: &[&str] = &["hashes", "signatures", "unsigned"];

/// Why text is not the JSON object of an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventJsonError {
    /// Not JSON, not an object, nested too deep, or not canonical where it has to be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It can be JSON, and cannot be read for another reason.
    #[error("{0}")]
    Lax(&'static str),
}

/// The JSON object of an event.
#[derive(Clone, Debug)]
pub(crate) struct EventJson {
    /// Its fields. Every number that canonical JSON cannot hold is a string here: see
    /// [`EventJson::number`].
    pub(crate) object: CanonicalJsonObject,
    /// Those numbers, as they are written.
    numbers: Vec<String>,
}

impl EventJson {
    /// Reads an event as its room version asks. Of a key that is there twice the last one counts.
    ///
    /// # Errors
    ///
    /// See [`EventJsonError`].
    pub(crate) fn parse(json: &str, is_strict: bool) -> Result<Self, EventJsonError> {
        match serde_json::from_str(json) {
            Ok(object) => Ok(Self { object, numbers: Vec::new() }),
            Err(error) if is_strict => Err(error.into()),
            Err(_) => {
                let (object, numbers) = lax::parse(json)?;
                Ok(Self { object, numbers })
            }
        }
    }

    /// Reads an event that was checked when it was stored.
    ///
    /// # Errors
    ///
    /// When it is not JSON.
    pub(crate) fn stored(json: &str) -> Result<Self, EventJsonError> {
        Self::parse(json, false)
    }

    /// What a string of [`EventJson::object`] stands for, if it stands for a number.
    pub(crate) fn number(&self, text: &str) -> Option<&str> {
        lax::number(text, &self.numbers)
    }

    /// Takes `unsigned` away, and says how many bytes of the whole it was.
    ///
    /// # Errors
    ///
    /// As [`EventJson::text`].
    pub(crate) fn take_unsigned(&mut self) -> Result<usize, serde_json::Error> {
        let Some((key, unsigned)) = self.object.remove_entry("unsigned") else {
            return Ok(0);
        };
        let text = self.restore(serde_json::to_string(&unsigned)?);
        Ok(key.len() + text.len() + r#""":,"#.len())
    }

    /// The whole event.
    ///
    /// # Errors
    ///
    /// None that can be provoked: strings cannot fail to be written.
    pub(crate) fn text(&self) -> Result<String, serde_json::Error> {
        Ok(self.restore(serde_json::to_string(&self.object)?))
    }

    /// What is signed, and what the reference hash is the hash of.
    ///
    /// # Errors
    ///
    /// When it has no `type`.
    pub(crate) fn signed_text(&self, rules: &RedactionRules) -> Result<String, serde_json::Error> {
        let writer = RedactingSerializer::new();
        let writer = writer.rules(rules).custom_redacted_root_fields(NOT_SIGNED);
        Ok(self.restore(writer.serialize(&self.object)?))
    }

    /// What the content hash is the hash of.
    ///
    /// # Errors
    ///
    /// As [`EventJson::text`].
    pub(crate) fn hashed_text(&self) -> Result<String, serde_json::Error> {
        let writer = RedactingSerializer::new().custom_redacted_root_fields(NOT_HASHED);
        Ok(self.restore(writer.serialize(&self.object)?))
    }

    /// The content, as it stands in [`EventJson::text`].
    ///
    /// # Errors
    ///
    /// As [`EventJson::text`].
    pub(crate) fn content(&self) -> Result<Box<RawJsonValue>, serde_json::Error> {
        let content = to_raw_value(&self.object.get("content"))?;
        match self.numbers.is_empty() {
            true => Ok(content),
            false => RawJsonValue::from_string(self.restore(content.get().to_owned())),
        }
    }

    /// Redacts it.
    ///
    /// # Errors
    ///
    /// When it has no `type`.
    pub(crate) fn redact(&mut self, rules: &RedactionRules) -> Result<(), serde_json::Error> {
        redact_in_place(&mut self.object, rules, None).map_err(serde_json::Error::custom)
    }

    /// Puts the numbers back.
    fn restore(&self, text: String) -> String {
        match self.numbers.is_empty() {
            true => text,
            false => lax::restore(&text, &self.numbers),
        }
    }
}
