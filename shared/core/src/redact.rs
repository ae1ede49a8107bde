//! Redaction: what stays of an event, by its room version ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#redactions

use ruma::room_version_rules::RedactionRules;

use crate::event_json::EventJson;

/// An event could not be redacted. What exactly is wrong with it is not said: that would quote it,
/// and this is logged.
#[derive(Debug, thiserror::Error)]
#[error("an event cannot be redacted: what is stored is no PDU")]
pub struct RedactError;

/// What stays of a stored PDU when it is redacted. Its ID and signatures still hold.
///
/// # Errors
///
/// When what is stored is not a PDU.
pub fn redacted(json: &str, rules: &RedactionRules) -> Result<String, RedactError> {
    let mut event = EventJson::stored(json).map_err(|_| RedactError)?;
    event.redact(rules).and_then(|()| event.text()).map_err(|_| RedactError)
}
