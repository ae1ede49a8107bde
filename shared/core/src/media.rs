//! Media ([spec]): what may be an identifier, how much of it there may be, how it is shown, and
//! what other servers send of theirs.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

mod limits;
mod multipart;
mod range;
mod shown;

pub use self::{
    limits::{MediaLimits, MediaLimitsError},
    multipart::{Multipart, MultipartError, PartHead, Piece},
    range::{Wanted, wanted},
    shown::{BEGINNING_BYTES, OCTET_STREAM, content_type, file_name, may_be_shown},
};

use ruma::{OwnedMxcUri, OwnedServerName};

/// Bytes of the longest media ID. The specification has no limit; nobody makes ones so long.
pub const MAX_MEDIA_ID_BYTES: usize = 255;

/// Whether this is a media ID: letters, digits, `_` and `-` alone, so that nothing that is done
/// with it leads anywhere else.
pub fn is_media_id(text: &str) -> bool {
    let is_allowed = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-');
    (1..=MAX_MEDIA_ID_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// What an `mxc` URI names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mxc {
    /// The server that has it.
    pub server_name: OwnedServerName,
    /// What it is called there.
    pub media_id: String,
}

impl Mxc {
    /// What these two name; none: the second is no media ID.
    pub fn new(server_name: OwnedServerName, media_id: String) -> Option<Self> {
        is_media_id(&media_id).then_some(Self { server_name, media_id })
    }

    /// The URI.
    pub fn uri(&self) -> OwnedMxcUri {
        format!("mxc://{}/{}", self.server_name, self.media_id).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_media_id() {
        let longest = "x".repeat(MAX_MEDIA_ID_BYTES);
        let cases = [
            ("a", true),
            ("AQwafuaFswefuhsfAFAgsw", true),
            ("-_09", true),
            (longest.as_str(), true),
            ("", false),
            ("..", false),
            ("a.png", false),
            ("a/b", false),
            ("a%2Fb", false),
            ("ä", false),
            ("a b", false),
            ("a\0", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_media_id(text), expected, "{text:?}");
        }
        assert!(!is_media_id(&format!("{longest}x")));
    }
}
