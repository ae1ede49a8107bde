//! Integers that come from outside as text, in tokens and IDs that clients hand back.

/// The greatest integer that every store and every host holds exactly: at the edge numbers are
/// IEEE doubles.
pub const MAX_SAFE: u64 = (1 << 53) - 1;

/// Reads an integer as this server writes one: decimal digits and nothing else, without a leading
/// zero, up to [`MAX_SAFE`]. So each integer has one text, and none that a store would refuse
/// gets further than this.
pub fn parse(text: &str) -> Option<u64> {
    let is_written_so = match text.as_bytes() {
        [b'0', _, ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if !is_written_so {
        return None;
    }
    text.parse().ok().filter(|it| *it <= MAX_SAFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_integer() {
        let cases = [
            ("0", Some(0)),
            ("7", Some(7)),
            ("10", Some(10)),
            ("9007199254740991", Some(MAX_SAFE)),
            ("9007199254740992", None),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("", None),
            ("00", None),
            ("07", None),
            ("+7", None),
            ("-7", None),
            (" 7", None),
            ("7 ", None),
            ("7.0", None),
            ("7e1", None),
            ("0x7", None),
            ("\u{0667}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
