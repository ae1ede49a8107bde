//! What can go wrong between the generator and the server it measures.

use std::{io, time::Duration};

/// A result with this crate's [`Error`].
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Any of these ends the measurement it happens in; the next measurement still runs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line, or the machine as the command line describes it, is not usable.
    #[error("{0}")]
    Usage(String),
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("the answer is not usable HTTP/1.1: {0}")]
    Protocol(String),
    #[error("{method} {path} answered {status}: {body}")]
    Refused { method: &'static str, path: String, status: u16, body: String },
    #[error("{what} took longer than {} s", limit.as_secs())]
    Timeout { what: String, limit: Duration },
    #[error("the answer is not the JSON expected: {0}")]
    Json(#[from] serde_json::Error),
    /// The answer is well formed and wrong.
    #[error("{0}")]
    Wrong(String),
}
