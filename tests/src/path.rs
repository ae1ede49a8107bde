//! Request paths out of raw segments: identifiers hold `#`, `!`, `$`, `@`, `:` and whatever a test
//! puts in them.

/// Percent-encodes everything but unreserved characters: any text becomes one path segment or one
/// query value.
pub fn encode(raw: &str) -> String {
    let mut encoded = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(nibble), 16).expect("a nibble");
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// A path under the client-server API's v3, each segment encoded.
pub fn path<const N: usize>(segments: [&str; N]) -> String {
    let encoded = segments.map(encode);
    format!("/{}", encoded.join("/"))
}
