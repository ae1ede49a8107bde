//! The one error that leaves `shared`, and its JSON form ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response

use std::{borrow::Cow, error::Error as StdError};

use http::StatusCode;
use ruma::api::{
    client::uiaa::UiaaInfo,
    error::{ErrorKind, RetryAfter, UnknownTokenErrorData},
};
use serde_json::{Value as JsonValue, error::Category, json};

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything a request may fail with. A variant exists only if a client can tell it apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A refusal with a code of the specification and a message a person can act on.
    #[error("{message}")]
    Api {
        /// The `errcode`, and what belongs to it.
        kind: Box<ErrorKind>,
        /// The HTTP status.
        status: StatusCode,
        /// The `error` text.
        message: Cow<'static, str>,
    },
    /// The request needs (more) user-interactive authentication.
    #[error("user-interactive authentication is required")]
    Uiaa(Box<UiaaInfo>),
    /// The room does not exist here. To a client that is the same as a room they are not in.
    #[error("you are not in this room, or it does not exist here")]
    UnknownRoom,
    /// A unique or primary key exists already. A handler turns it into the code that fits.
    #[error("a row with this key exists already")]
    Conflict,
    /// Ours, not the client's: the source is logged at the boundary, once, and never sent.
    #[error("internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// A refusal with the status that usually goes with its code.
    pub fn api(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let status = default_status(&kind);
        Self::Api { kind: Box::new(kind), status, message: message.into() }
    }

    /// A refusal whose status is not the usual one of its code.
    pub fn with_status(
        status: StatusCode,
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Api { kind: Box::new(kind), status, message: message.into() }
    }

    /// `403 M_FORBIDDEN`.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::api(ErrorKind::Forbidden, message)
    }

    /// `404 M_NOT_FOUND`.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::api(ErrorKind::NotFound, message)
    }

    /// `400 M_INVALID_PARAM`.
    pub fn invalid_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::api(ErrorKind::InvalidParam, message)
    }

    /// `400 M_MISSING_PARAM`.
    pub fn missing_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::api(ErrorKind::MissingParam, message)
    }

    /// `400 M_BAD_JSON`.
    pub fn bad_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::api(ErrorKind::BadJson, message)
    }

    /// `401 M_UNKNOWN_TOKEN`; with `soft_logout` the client keeps its data and logs in again.
    pub fn unknown_token(soft_logout: bool, message: impl Into<Cow<'static, str>>) -> Self {
        let mut data = UnknownTokenErrorData::new();
        data.soft_logout = soft_logout;
        Self::api(ErrorKind::UnknownToken(data), message)
    }

    /// A fault of ours. What an error of JSON quotes is left out: users wrote it, or it is a token
    /// or a password, and this is logged.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        match source.into().downcast::<serde_json::Error>() {
            Ok(json) => Self::Internal(Box::new(JsonFault::from(&*json))),
            Err(other) => Self::Internal(other),
        }
    }

    /// Whether this refuses what was asked, for a reason that asking again does not change: an
    /// answer, not a failure. Who is only told to come later has no answer.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Api { kind, .. } => !matches!(**kind, ErrorKind::LimitExceeded(_)),
            Self::UnknownRoom => true,
            Self::Uiaa(_) | Self::Conflict | Self::Internal(_) => false,
        }
    }

    /// Whether a user may join, but by way of another server alone.
    pub fn is_unable_to_grant_join(&self) -> bool {
        matches!(self, Self::Api { kind, .. } if matches!(**kind, ErrorKind::UnableToGrantJoin))
    }

    /// After how many milliseconds what was refused by a rate limit may be asked again.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let Self::Api { kind, .. } = self else { return None };
        let ErrorKind::LimitExceeded(data) = &**kind else { return None };
        match data.retry_after {
            Some(RetryAfter::Delay(delay)) => u64::try_from(delay.as_millis()).ok(),
            _ => None,
        }
    }

    /// The HTTP status this error is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Api { status, .. } => *status,
            Self::Uiaa(_) => StatusCode::UNAUTHORIZED,
            Self::UnknownRoom => StatusCode::FORBIDDEN,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The body this error is answered with.
    pub fn to_json(&self) -> JsonValue {
        match self {
            Self::Api { kind, message, .. } => {
                let mut body = serde_json::to_value(kind).unwrap_or_else(|_| json!({}));
                if let Some(body) = body.as_object_mut() {
                    body.insert("errcode".to_owned(), json!(kind.errcode()));
                    body.insert("error".to_owned(), json!(message));
                }
                body
            }
            Self::Uiaa(info) => serde_json::to_value(info).unwrap_or_else(|_| json!({})),
            Self::UnknownRoom => json!({ "errcode": "M_FORBIDDEN", "error": self.to_string() }),
            Self::Conflict | Self::Internal(_) => {
                json!({ "errcode": "M_UNKNOWN", "error": self.to_string() })
            }
        }
    }
}

/// What was wrong with JSON, and where: all that may be said of it.
#[derive(Debug, thiserror::Error)]
#[error("JSON cannot be read or written ({category:?}), line {line} column {column}")]
struct JsonFault {
    category: Category,
    line: usize,
    column: usize,
}

impl From<&serde_json::Error> for JsonFault {
    fn from(error: &serde_json::Error) -> Self {
        Self { category: error.classify(), line: error.line(), column: error.column() }
    }
}

impl From<serde_json::Error> for Error {
    /// For JSON of our own making only; what a client sent is parsed by the `api` layer.
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

/// The status that usually goes with a code.
fn default_status(kind: &ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Forbidden
        | ErrorKind::GuestAccessForbidden
        | ErrorKind::Exclusive
        | ErrorKind::UserDeactivated
        | ErrorKind::UserSuspended
        | ErrorKind::InviteBlocked => StatusCode::FORBIDDEN,
        ErrorKind::MissingToken
        | ErrorKind::UnknownToken(_)
        | ErrorKind::Unauthorized
        | ErrorKind::UserLocked => StatusCode::UNAUTHORIZED,
        ErrorKind::NotFound | ErrorKind::Unrecognized => StatusCode::NOT_FOUND,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::LimitExceeded(_) => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T13
    #[test]
    fn what_could_not_be_read_is_not_quoted() {
        let number = |json| serde_json::from_str::<u64>(json).unwrap_err();
        let json = r#""swordfish""#;
        assert!(number(json).to_string().contains("swordfish"), "it is why this is needed");
        for error in [Error::internal(number(json)), number(json).into()] {
            let Error::Internal(source) = &error else { panic!("{error:?}") };
            let said = format!("{source} {source:?} {error} {error:?}");
            assert!(!said.contains("swordfish"), "{said}");
            assert!(said.contains("line 1 column 11"), "{said}");
        }
    }
}
