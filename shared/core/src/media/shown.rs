//! As what a file is served ([spec]): its type and its name as whoever uploaded it says, made safe
//! for a header, and whether a browser may display it in place.
//!
//! A file may be displayed when its declared type is one of the specification's list, and when it
//! begins as files of that type do where that is known. All else is to be saved. Since nothing is
//! served without `nosniff`, no browser makes another type of it.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content

use ruma::api::client::media::is_safe_inline_content_type;

/// The type of what has no other.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// Bytes of the longest type that is kept.
const MAX_TYPE_BYTES: usize = 255;
/// Bytes of the longest file name that is kept.
const MAX_NAME_BYTES: usize = 1_024;
/// So many bytes of a file tell whether it begins as files of its type do.
pub const BEGINNING_BYTES: usize = 16;

/// The type that a file is served with: as it was declared, if that is one that a header can say.
pub fn content_type(declared: Option<&str>) -> &str {
    let declared = declared.map(str::trim).unwrap_or_default();
    let is_visible = declared.bytes().all(|it| matches!(it, b' '..=b'~'));
    let is_token = |it: &str| {
        let is_allowed = |it: u8| it.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&it);
        !it.is_empty() && it.bytes().all(is_allowed)
    };
    let names = essence(declared).split_once('/');
    let is_type = names.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    match is_visible && is_type && declared.len() <= MAX_TYPE_BYTES {
        true => declared,
        false => OCTET_STREAM,
    }
}

/// The name that a file is kept under, if it has one that is not too long. What stands in headers
/// is escaped where it is written.
pub fn file_name(declared: Option<&str>) -> Option<&str> {
    declared.filter(|it| !it.is_empty() && it.len() <= MAX_NAME_BYTES)
}

/// Whether a browser may display a file of this declared type which begins so.
pub fn may_be_shown(content_type: &str, beginning: &[u8]) -> bool {
    let essence = essence(content_type).to_ascii_lowercase();
    is_safe_inline_content_type(&essence) && begins_as(&essence, beginning)
}

/// A type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a file begins as those of a type do. What is not known of a type is not asked.
fn begins_as(essence: &str, bytes: &[u8]) -> bool {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let has_at = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|it| it.starts_with(magic));
    match essence {
        "image/jpeg" => starts(b"\xff\xd8\xff"),
        "image/png" | "image/apng" => starts(b"\x89PNG\r\n\x1a\n"),
        "image/gif" => starts(b"GIF87a") || starts(b"GIF89a"),
        "image/webp" => starts(b"RIFF") && has_at(8, b"WEBP"),
        "image/avif" | "video/mp4" | "audio/mp4" => has_at(4, b"ftyp"),
        "video/webm" | "audio/webm" => starts(b"\x1a\x45\xdf\xa3"),
        "video/ogg" | "audio/ogg" => starts(b"OggS"),
        "audio/flac" | "audio/x-flac" => starts(b"fLaC"),
        "audio/wave" | "audio/wav" | "audio/x-wav" | "audio/x-pn-wav" => starts(b"RIFF"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_one_that_a_header_can_say() {
        let long = format!("text/{}", "x".repeat(MAX_TYPE_BYTES));
        let cases = [
            (Some("image/png"), "image/png"),
            (Some(" text/plain; charset=utf-8 "), "text/plain; charset=utf-8"),
            (
                Some("application/vnd.oasis.opendocument.text"),
                "application/vnd.oasis.opendocument.text",
            ),
            (Some("image/svg+xml"), "image/svg+xml"),
            (Some("image"), OCTET_STREAM),
            (Some("image/"), OCTET_STREAM),
            (Some("/png"), OCTET_STREAM),
            (Some("im age/png"), OCTET_STREAM),
            (Some("image/png\r\nX: 1"), OCTET_STREAM),
            (Some("image/png; name=\u{e9}"), OCTET_STREAM),
            (Some(&*long), OCTET_STREAM),
            (Some(""), OCTET_STREAM),
            (None, OCTET_STREAM),
        ];
        for (declared, expected) in cases {
            assert_eq!(content_type(declared), expected, "{declared:?}");
        }
    }

    #[test]
    fn a_name_is_not_too_long() {
        assert_eq!(file_name(Some("a.png")), Some("a.png"));
        assert_eq!(file_name(Some("")), None);
        assert_eq!(file_name(None), None);
        assert_eq!(file_name(Some(&"x".repeat(MAX_NAME_BYTES + 1))), None);
    }

    /// S-I2, S-E11
    #[test]
    fn what_may_be_shown_in_place() {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        const HTML: &[u8] = b"<!doctype html><script>alert(1)</script>";
        let cases = [
            ("image/png", PNG, true),
            ("IMAGE/PNG; x=y", PNG, true),
            ("image/png", HTML, false),
            ("image/png", b"".as_slice(), false),
            ("image/gif", b"GIF89a....", true),
            ("image/webp", b"RIFF\0\0\0\0WEBPVP8 ", true),
            ("image/webp", b"RIFF\0\0\0\0WAVEfmt ", false),
            ("video/mp4", b"\0\0\0\x20ftypisom", true),
            ("audio/mpeg", b"ID3\x04", true),
            ("text/plain", HTML, true),
            ("image/svg+xml", b"<svg xmlns=", false),
            ("text/html", HTML, false),
            ("text/html", PNG, false),
            ("application/xhtml+xml", HTML, false),
            ("application/pdf", b"%PDF-1.7", false),
            (OCTET_STREAM, PNG, false),
        ];
        for (content_type, beginning, expected) in cases {
            assert_eq!(may_be_shown(content_type, beginning), expected, "{content_type}");
        }
    }
}
