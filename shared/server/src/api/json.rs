//! What is checked of a JSON body before ruma parses it, and what is said when ruma cannot.

use ruma::api::error::{DeserializationError, ErrorKind};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{Error, Result};

/// How deep objects and arrays may stand in each other. Below the 128 that `serde_json` refuses,
/// so that what was accepted can still be read when it is wrapped in an event and a response.
pub const MAX_JSON_DEPTH: usize = 100;

/// How much of a parser's message is passed on: it may quote the whole of what it refuses.
const MAX_MESSAGE_BYTES: usize = 200;

/// Checks that a body is JSON, an object, not too deep, and that everybody can read it.
///
/// Some of ruma's requests stop reading where they have seen enough, or keep what they have not
/// read, so the syntax is checked here for all. Nothing here recurses before the depth is known: a
/// hostile body costs no more than its length.
pub(super) fn check(body: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(body).map_err(|_| not_json("the body is not UTF-8"))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(error.to_string()))?;
    check_object(text)?;
    if depth(body) > MAX_JSON_DEPTH {
        return Err(Error::bad_json("the body is nested too deep"));
    }
    serde_json::from_str::<Readable>(text).map_err(|error| Error::bad_json(error.to_string()))?;
    Ok(())
}

/// Refuses JSON that is no object: the fields of one may be read from an array too.
pub(super) fn check_object(json: &str) -> Result<()> {
    match json.trim_start().starts_with('{') {
        true => Ok(()),
        false => Err(Error::bad_json("the body is not a JSON object")),
    }
}

/// JSON that every reader can read: its texts are Unicode (`"\ud800"` has the syntax of a text and
/// is none), its numbers are within what a double can hold. What is kept as it came (account data)
/// goes out again in the middle of an answer: a client that cannot read all of it reads nothing.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value that every JSON reader can read")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// How deep objects and arrays stand in each other.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Says why ruma could not read a request whose body is JSON.
pub(super) fn refusal(error: &DeserializationError) -> Error {
    let message = shortened(error.to_string());
    match error {
        _ if message.contains("missing field") => Error::missing_param(message),
        DeserializationError::Json(_) => Error::bad_json(message),
        _ => Error::invalid_param(message),
    }
}

fn not_json(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::api(ErrorKind::NotJson, message)
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<()>) -> Option<String> {
        result.err().map(|it| it.to_json()["errcode"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_a_body_must_be() {
        let deep = |levels: usize| {
            format!("{}{{}}{}", r#"{"a":"#.repeat(levels - 1), "}".repeat(levels - 1))
        };
        let many_digits = format!("{{\"a\":{}}}", "9".repeat(400));
        let cases: [(&str, &[u8], Option<&str>); 23] = [
            ("an empty object", b"{}", None),
            ("space before it", b" \n{}", None),
            ("brackets in strings do not count", br#"{"a":"[[[[\"[[[["}"#, None),
            ("an array", b"[]", Some("M_BAD_JSON")),
            ("a number", b"1", Some("M_BAD_JSON")),
            ("null", b"null", Some("M_BAD_JSON")),
            ("a torn object", br#"{"name":1"#, Some("M_NOT_JSON")),
            ("two objects", b"{} {}", Some("M_NOT_JSON")),
            ("other quotes", b"{'name': 1}", Some("M_NOT_JSON")),
            ("a torn array", b"[", Some("M_NOT_JSON")),
            ("text", b"nonsense", Some("M_NOT_JSON")),
            ("nothing but space", b" ", Some("M_NOT_JSON")),
            ("not text", b"{\"a\":\"\xff\xfe\"}", Some("M_NOT_JSON")),
            ("a pair of surrogates", br#"{"a":"\ud83e\udd80"}"#, None),
            ("half a pair", br#"{"a":["\ud800"]}"#, Some("M_BAD_JSON")),
            ("the other half", br#"{"a":"x\udc00\ud800"}"#, Some("M_BAD_JSON")),
            ("half a pair in a key", br#"{"a":{"\udfff":1}}"#, Some("M_BAD_JSON")),
            ("numbers of any kind", br#"{"a":[-0,1e3,1.5,1e-400,18446744073709551616]}"#, None),
            ("a number beyond all", br#"{"a":-1e400}"#, Some("M_BAD_JSON")),
            ("a number of many digits", many_digits.as_bytes(), Some("M_BAD_JSON")),
            ("all other values", br#"{"a":[null,true,{"b":[]}],"a":"\u0000"}"#, None),
            ("as deep as allowed", deep(MAX_JSON_DEPTH).leak().as_bytes(), None),
            ("too deep", deep(MAX_JSON_DEPTH + 1).leak().as_bytes(), Some("M_BAD_JSON")),
        ];
        for (name, body, expected) in cases {
            assert_eq!(code(check(body)).as_deref(), expected, "{name}");
        }
        let hostile = "[".repeat(1_000_000);
        assert_eq!(code(check(hostile.as_bytes())).as_deref(), Some("M_NOT_JSON"));
        assert_eq!(code(check(deep(100_000).as_bytes())).as_deref(), Some("M_BAD_JSON"));
    }

    #[test]
    fn what_is_said_when_it_cannot_be_read() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only the errors are looked at")]
        struct Wanted {
            name: String,
        }
        let cases = [(r#"{"name":1}"#, "M_BAD_JSON"), ("{}", "M_MISSING_PARAM")];
        for (body, expected) in cases {
            let error = serde_json::from_str::<Wanted>(body).unwrap_err();
            let refusal = refusal(&error.into());
            assert_eq!(refusal.to_json()["errcode"], expected, "{body}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = shortened("ß".repeat(MAX_MESSAGE_BYTES));
        assert!(long.len() <= MAX_MESSAGE_BYTES + '…'.len_utf8());
        assert!(long.ends_with('…'));
    }
}
