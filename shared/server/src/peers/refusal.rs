//! What another server says when it refuses something, as far as clients are told of it.

use ruma::api::error::{Error as Refusal, ErrorBody, ErrorKind, StandardErrorBody};

/// The code and the words of a refusal, of those at most so many bytes. Whoever passes them on says
/// of which codes: a client that is told that its token is not known logs out.
pub fn said(refusal: &Refusal, max_bytes: usize) -> Option<(&ErrorKind, String)> {
    let ErrorBody::Standard(StandardErrorBody { kind, message, .. }) = &refusal.body else {
        return None;
    };
    Some((kind, shortened(message.clone(), max_bytes)))
}

/// At most so many bytes of what another server says.
pub fn shortened(mut message: String, max_bytes: usize) -> String {
    message.truncate(message.floor_char_boundary(max_bytes));
    message
}
