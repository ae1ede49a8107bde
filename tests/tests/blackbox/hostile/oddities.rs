//! Odd texts and numbers, as they stand in paths and queries, and in JSON.

use super::{one_of, rng::Rng};
use skerry_tests::encode;
use std::fmt::Write as _;

/// Brackets that no parser may follow by recursion.
const DEEP: usize = 100_000;
/// Longer than anything may be in an event.
const LONG: usize = 70_000;
/// Bytes of the longest text in the head of a request. Percent-encoded it has three times as many,
/// and hosts take 64 KiB.
const LONG_IN_HEAD: usize = 8_000;

const TEXTS: [&str; 62] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\u{1b}[31m",
    "\u{202e}abc",
    "\u{feff}",
    "\u{ffff}",
    "🦀",
    "e\u{301}",
    "İ",
    "...",
    "/",
    "a/b",
    "//",
    "\\",
    "@",
    "!",
    "#",
    "$",
    ":",
    "@:",
    "!:",
    "#:",
    "@a",
    "!a",
    "#a",
    "@:localhost",
    "#:localhost",
    "!:localhost",
    "@a:",
    "@a:localhost:99999",
    "@a:localhost:",
    "@a:[::1]",
    "@a:-",
    "@A B:localhost",
    "@a:LOCALHOST",
    "@a\0:localhost",
    "@é:localhost",
    "@a:other.example",
    "!a:other.example",
    "#a:other.example",
    "$a:other.example",
    "null",
    "true",
    "[]",
    "{}",
    "{\"a\":1}",
    "\"",
    "'",
    "' OR 1=1 --",
    "%",
    "%s%n",
    "${jndi:ldap://x}",
    "<script>",
    "__proto__",
    "\r\nX: y",
    "\t",
    "*",
    "*****************************a",
    "m.fully_read",
    "m.room.create",
];

const NUMBERS: [&str; 22] = [
    "0",
    "-0",
    "1",
    "-1",
    "50",
    "1000",
    "1001",
    "1.5",
    "1e3",
    "1e400",
    "-1e400",
    "1e-400",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
];

/// What percent-encoding makes of bytes that are no text, and what is no percent-encoding.
const ENCODINGS: [&str; 24] = [
    "%00",
    "%2F",
    "..%2f",
    "%2e",
    "..",
    ".",
    "%252e",
    "%FF",
    "%C0%80",
    "%ED%A0%80",
    "%F5%80%80%80",
    "%80",
    "%",
    "%2",
    "%zz",
    "%u0041",
    "%25",
    "%5C",
    "+",
    ";a=b",
    "a;b,c",
    "%0d%0aX:%20y",
    "%E2%80",
    "%7f",
];

/// JSON that is no text, or none that all take for one.
const VALUES: [&[u8]; 27] = [
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"-Infinity",
    b"undefined",
    b"[]",
    b"{}",
    b"[[]]",
    b"[null]",
    b"[{}]",
    b"{\"\":\"\"}",
    b"\"\\ud800\"",
    b"\"\\udc00\\ud800\"",
    b"\"\\u0000\"",
    b"\"\\ud83e\\udd80\"",
    b"\"\xff\xfe\"",
    b"\"\xed\xa0\x80\"",
    b"\"\x00\"",
    b"\"a\nb\"",
    b"\"\\x\"",
    b"\"",
    b"01",
    b"+1",
    b"1.",
    b"{\"a\":1,\"a\":2}",
    b"",
];

/// A text that somebody has not thought of, not too long for the head of a request.
pub(super) fn text(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 => {
            let part = one_of(rng, &["a", "é", "🦀", "*", "@", "\0"]);
            part.repeat(rng.below(LONG_IN_HEAD / part.len()))
        }
        1 => format!("{}{}:localhost", one_of(rng, &["@", "!", "#", "$"]), "a".repeat(300)),
        2 => one_of(rng, &NUMBERS).to_string(),
        3 => "1".repeat(rng.below(1_000)),
        _ => one_of(rng, &TEXTS).to_string(),
    }
}

/// A segment of a path or a value in a query, encoded as it may be.
pub(super) fn encoded(rng: &mut Rng, proper: &str) -> String {
    match rng.below(10) {
        0..=1 => one_of(rng, &ENCODINGS).to_string(),
        2 => format!("{}{}", encode(proper), one_of(rng, &ENCODINGS)),
        3..=5 => encode(&nearly(rng, proper)),
        // Text that need not be encoded, encoded.
        6 => all_encoded(proper.as_bytes()),
        _ => encode(&text(rng)),
    }
}

/// Bytes of which each is percent-encoded, also those that need not be.
pub(super) fn all_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 * bytes.len());
    for byte in bytes {
        write!(text, "%{byte:02x}").expect("a text takes what is written");
    }
    text
}

/// A number or what might be taken for one.
pub(super) fn number(rng: &mut Rng) -> &'static str {
    NUMBERS[rng.below(NUMBERS.len())]
}

/// A text that is nearly that one.
pub(super) fn nearly(rng: &mut Rng, proper: &str) -> String {
    let mut characters: Vec<char> = proper.chars().collect();
    let place = rng.below(characters.len());
    match rng.below(8) {
        0 => characters.truncate(place),
        1 => drop(characters.drain(..place.min(characters.len()))),
        2 => characters.insert(place, *one_of(rng, &['\0', '/', ':', '_', '0', 'Z', 'é', '\n'])),
        3 => return proper.to_uppercase(),
        4 => return format!("{proper}{proper}"),
        5 => return another_number(rng, proper),
        6 if !characters.is_empty() => {
            characters[place] = *one_of(rng, &['0', '9', 'a', '_', '-', '.', '~', '\u{1}']);
        }
        _ => return format!(" {proper}"),
    }
    characters.into_iter().collect()
}

/// A text in which one of the numbers is another: tokens are numbers and what stands between them.
fn another_number(rng: &mut Rng, proper: &str) -> String {
    let is_digit = |it: char| it.is_ascii_digit();
    let begins =
        |(index, it): &(usize, char)| is_digit(*it) && !proper[..*index].ends_with(is_digit);
    let numbers: Vec<usize> =
        proper.char_indices().filter(begins).map(|(index, _)| index).collect();
    match rng.pick(&numbers) {
        None => text(rng),
        Some(first) => {
            let (before, rest) = proper.split_at(*first);
            format!("{before}{}{}", number(rng), rest.trim_start_matches(is_digit))
        }
    }
}

/// A JSON value where another is expected, or what is none.
pub(super) fn json(rng: &mut Rng) -> Vec<u8> {
    match rng.below(100) {
        0..=24 => number(rng).into(),
        25..=54 => serde_json::to_vec(&text(rng)).expect("a text is JSON"),
        55..=89 => one_of(rng, &VALUES).to_vec(),
        90..=91 => "9".repeat(rng.below(LONG)).into(),
        92..=93 => format!("\"{}\"", "x".repeat(LONG)).into(),
        94 => format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)).into(),
        95 => format!("{}1{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)).into(),
        // As deep as is allowed, and about that.
        96 => {
            let depth = 90 + rng.below(20);
            format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into()
        }
        97 => format!("[{}\"x\"]", "\"x\",".repeat(rng.below(20_000))).into(),
        98 => {
            let members = (0..rng.below(10_000)).map(|it| format!("\"{it}\":{it},"));
            format!("{{{}\"x\":0}}", members.collect::<String>()).into()
        }
        _ => format!("\"{}\"", "\\u00e9".repeat(LONG / 6)).into(),
    }
}
