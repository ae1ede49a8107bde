//! JSON with numbers that canonical JSON cannot hold.
//!
//! `serde_json` reads a float to within its last digit and makes a float of a large integer. A
//! hash needs both exactly, so numbers are read here from their text.

use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int};
use serde::de::IgnoredAny;

use super::EventJsonError;

/// Begins the strings that stand for numbers: a code point that is not a character. An event that
/// contains it and needs this module is refused, so none can pass a string off as a number.
const MARK: char = '\u{10ffff}';

/// How such a string begins in text.
const QUOTED_MARK: &str = "\"\u{10ffff}";

/// How deep values may nest: what `serde_json` allows elsewhere.
const MAX_DEPTH: usize = 127;

/// Reads an object, and the numbers that strings in it stand for.
pub(super) fn parse(json: &str) -> Result<(CanonicalJsonObject, Vec<String>), EventJsonError> {
    // From here on the text is known to be JSON.
    let _: IgnoredAny = serde_json::from_str(json)?;
    let mut reader = Reader { rest: json, numbers: Vec::new() };
    match reader.value(0)? {
        CanonicalJsonValue::Object(object) => Ok((object, reader.numbers)),
        _ => Err(EventJsonError::Lax("not an object")),
    }
}

/// What a string stands for, if it stands for a number.
pub(super) fn number<'a>(text: &str, numbers: &'a [String]) -> Option<&'a str> {
    let index: usize = text.strip_prefix(MARK)?.parse().ok()?;
    numbers.get(index).map(String::as_str)
}

/// Puts the numbers back into text that was made of what [`parse`] gave.
pub(super) fn restore(text: &str, numbers: &[String]) -> String {
    let mut restored = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once(QUOTED_MARK) {
        restored.push_str(before);
        let (index, after) = marked.split_once('"').unwrap_or((marked, ""));
        let number = index.parse().ok().and_then(|it: usize| numbers.get(it));
        restored.push_str(number.map_or("null", String::as_str));
        rest = after;
    }
    restored.push_str(rest);
    restored
}

struct Reader<'a> {
    rest: &'a str,
    numbers: Vec<String>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<CanonicalJsonValue, EventJsonError> {
        if depth > MAX_DEPTH {
            return Err(EventJsonError::Lax("nested too deep"));
        }
        match self.peek() {
            Some('{') => self.object(depth).map(CanonicalJsonValue::Object),
            Some('[') => self.array(depth).map(CanonicalJsonValue::Array),
            Some('"') => self.string().map(CanonicalJsonValue::String),
            Some('t') => Ok(self.literal("true", CanonicalJsonValue::Bool(true))),
            Some('f') => Ok(self.literal("false", CanonicalJsonValue::Bool(false))),
            Some('n') => Ok(self.literal("null", CanonicalJsonValue::Null)),
            _ => self.number(),
        }
    }

    /// The character that the next token begins with.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.chars().next()
    }

    /// Whether the next token is this one, which is read then.
    fn take(&mut self, token: char) -> bool {
        self.peek();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn object(&mut self, depth: usize) -> Result<CanonicalJsonObject, EventJsonError> {
        let mut object = CanonicalJsonObject::new();
        self.take('{');
        while !self.take('}') {
            let key = self.string()?;
            self.take(':');
            object.insert(key, self.value(depth + 1)?);
            self.take(',');
        }
        Ok(object)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<CanonicalJsonValue>, EventJsonError> {
        let mut array = Vec::new();
        self.take('[');
        while !self.take(']') {
            array.push(self.value(depth + 1)?);
            self.take(',');
        }
        Ok(array)
    }

    fn literal(&mut self, token: &str, value: CanonicalJsonValue) -> CanonicalJsonValue {
        self.rest = self.rest.strip_prefix(token).unwrap_or_default();
        value
    }

    fn string(&mut self) -> Result<String, EventJsonError> {
        self.peek();
        let mut is_escaped = false;
        let end = self.rest.bytes().skip(1).position(|it| {
            let is_end = it == b'"' && !is_escaped;
            is_escaped = it == b'\\' && !is_escaped;
            is_end
        });
        // The quotation marks are single bytes, so both parts are text.
        let (token, rest) = end
            .and_then(|it| self.rest.split_at_checked(it + 2))
            .ok_or(EventJsonError::Lax("a string without an end"))?;
        let string: String = serde_json::from_str(token)?;
        if string.contains(MARK) {
            return Err(EventJsonError::Lax("U+10FFFF in an event that is not canonical JSON"));
        }
        self.rest = rest;
        Ok(string)
    }

    fn number(&mut self) -> Result<CanonicalJsonValue, EventJsonError> {
        let is_part = |it: char| matches!(it, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let end = self.rest.find(|it| !is_part(it)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = match (token, token.contains(['.', 'e', 'E'])) {
            ("", _) => return Err(EventJsonError::Lax("a value is missing")),
            ("-0", _) => "0".to_owned(),
            (_, false) => token.to_owned(),
            (_, true) => float(token)?,
        };
        if let Some(integer) = text.parse().ok().and_then(|it: i64| Int::new(it)) {
            return Ok(CanonicalJsonValue::Integer(integer));
        }
        let standing_for = format!("{MARK}{}", self.numbers.len());
        self.numbers.push(text);
        Ok(CanonicalJsonValue::String(standing_for))
    }
}

/// A float as Python writes it: with as few digits as name it, and an exponent only if it is
/// below 1e-4 or not below 1e16 (`float.__repr__`).
fn float(token: &str) -> Result<String, EventJsonError> {
    let float: f64 = token.parse().map_err(|_| EventJsonError::Lax("not a number"))?;
    if !float.is_finite() {
        return Err(EventJsonError::Lax("a number beyond what a float can be"));
    }
    let magnitude = float.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        // Always with a fraction: `1.0`.
        return Ok(format!("{float:?}"));
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    Ok(format!("{digits}e{sign}{exponent:0>2}"))
}
