//! Redaction: what stays of an event, by its room version ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#redactions

use ruma::{
    CanonicalJsonObject, canonical_json::redact_in_place, room_version_rules::RedactionRules,
};

/// Why an event could not be redacted.
#[derive(Debug, thiserror::Error)]
#[error("the stored event cannot be redacted: {0}")]
pub struct RedactError(String);

/// What stays of a stored PDU when it is redacted. Its ID and signatures still hold.
///
/// # Errors
///
/// When what is stored is not a PDU.
pub fn redacted(json: &str, rules: &RedactionRules) -> Result<String, RedactError> {
    let mut object: CanonicalJsonObject =
        serde_json::from_str(json).map_err(|it| RedactError(it.to_string()))?;
    redact_in_place(&mut object, rules, None).map_err(|it| RedactError(it.to_string()))?;
    serde_json::to_string(&object).map_err(|it| RedactError(it.to_string()))
}
