//! Redaction: what stays of an event, by its room version ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#redactions

use ruma::room_version_rules::RedactionRules;

use crate::event_json::EventJson;

/// Why an event could not be redacted.
#[derive(Debug, thiserror::Error)]
#[error("the stored event cannot be redacted: {0}")]
pub struct RedactError(String);

impl RedactError {
    /// What went wrong.
    pub(crate) fn new(cause: &impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// What stays of a stored PDU when it is redacted. Its ID and signatures still hold.
///
/// # Errors
///
/// When what is stored is not a PDU.
pub fn redacted(json: &str, rules: &RedactionRules) -> Result<String, RedactError> {
    let mut event = EventJson::stored(json).map_err(|it| RedactError::new(&it))?;
    event.redact(rules).and_then(|()| event.text()).map_err(|it| RedactError::new(&it))
}
