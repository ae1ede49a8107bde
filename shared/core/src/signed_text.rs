//! JSON in the form in which it is signed ([spec]), made of text and not of values.
//!
//! A request is signed with whatever clients have put into it: fractions, and integers of any
//! length. Numbers stay as they are written, so that what the sender has signed is what is checked.
//! A body whose members stand in order already, as other servers send it, is only copied.
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#canonical-json

use std::{borrow::Cow, ops::Range};

use serde::de::IgnoredAny;

/// How deep objects and arrays may stand in each other.
pub const MAX_DEPTH: usize = 128;

/// Members of objects that are looked at together: those of one object, and of the objects that it
/// stands in up to it.
pub const MAX_MEMBERS: usize = 200_000;

/// Why there is no such form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// It is no JSON.
    #[error("it is no JSON")]
    Syntax,
    /// More than [`MAX_DEPTH`].
    #[error("it is nested too deep")]
    Depth,
    /// More than [`MAX_MEMBERS`].
    #[error("an object has too many members")]
    Members,
    /// A name stands twice in an object: readers differ in what they take it for.
    #[error("an object has two members of one name")]
    Twice,
}

/// The signed form of one JSON value.
///
/// # Errors
///
/// See [`NotSigned`].
pub fn write(json: &str) -> Result<String, NotSigned> {
    let mut writer =
        Writer { rest: json, out: String::with_capacity(json.len()), members: Vec::new() };
    writer.value(MAX_DEPTH)?;
    writer.space();
    match writer.rest.is_empty() {
        true => Ok(writer.out),
        false => Err(NotSigned::Syntax),
    }
}

/// A member of an object that is being written.
struct Member<'a> {
    key: Cow<'a, str>,
    /// Where its key and its value stand in what was written.
    written: Range<usize>,
}

struct Writer<'a> {
    rest: &'a str,
    out: String,
    /// Of the object that is being written, behind those of the objects it stands in.
    members: Vec<Member<'a>>,
}

impl<'a> Writer<'a> {
    /// Writes a value in which others may stand so deep.
    fn value(&mut self, depth: usize) -> Result<(), NotSigned> {
        self.space();
        match self.rest.as_bytes().first() {
            Some(b'{' | b'[') if depth == 0 => Err(NotSigned::Depth),
            Some(b'{') => self.object(depth - 1),
            Some(b'[') => self.array(depth - 1),
            Some(b'"') => self.text().map(drop),
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NotSigned> {
        self.copy('[')?;
        self.space();
        if self.copy(']').is_ok() {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.copy(']').is_ok() {
                return Ok(());
            }
            self.copy(',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotSigned> {
        let outer = self.members.len();
        self.copy('{')?;
        let begin = self.out.len();
        self.space();
        if self.copy('}').is_ok() {
            return Ok(());
        }
        loop {
            self.space();
            let from = self.out.len();
            let key = self.text()?;
            self.space();
            self.copy(':')?;
            self.value(depth)?;
            self.members.push(Member { key, written: from..self.out.len() });
            if self.members.len() > MAX_MEMBERS {
                return Err(NotSigned::Members);
            }
            self.space();
            if self.copy(',').is_err() {
                break;
            }
        }
        let members = self.members.split_off(outer);
        if !members.is_sorted_by(|one, next| one.key < next.key) {
            self.sort(begin, members)?;
        }
        self.copy('}')
    }

    /// Puts the members of an object, written from `begin` on, in order.
    fn sort(&mut self, begin: usize, mut members: Vec<Member<'a>>) -> Result<(), NotSigned> {
        members.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        if !members.is_sorted_by(|one, next| one.key < next.key) {
            return Err(NotSigned::Twice);
        }
        let written = members.iter().filter_map(|it| self.out.get(it.written.clone()));
        let sorted = written.collect::<Vec<_>>().join(",");
        self.out.truncate(begin);
        self.out.push_str(&sorted);
        Ok(())
    }

    /// Writes a text, and gives what it says.
    fn text(&mut self) -> Result<Cow<'a, str>, NotSigned> {
        let mut is_escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let quoted = self.take(end.ok_or(NotSigned::Syntax)? + 2)?;
        let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let inner = inner.ok_or(NotSigned::Syntax)?;
        if inner.bytes().any(|it| it == b'\\' || it < b' ') {
            let text: String = serde_json::from_str(quoted).map_err(|_| NotSigned::Syntax)?;
            self.out.push_str(&serde_json::to_string(&text).map_err(|_| NotSigned::Syntax)?);
            return Ok(Cow::Owned(text));
        }
        self.out.push_str(quoted);
        Ok(Cow::Borrowed(inner))
    }

    /// Writes a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), NotSigned> {
        let is_end = |it: char| matches!(it, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let word = self.take(self.rest.find(is_end).unwrap_or(self.rest.len()))?;
        serde_json::from_str::<IgnoredAny>(word).map_err(|_| NotSigned::Syntax)?;
        self.out.push_str(word);
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<&'a str, NotSigned> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(NotSigned::Syntax)?;
        self.rest = rest;
        Ok(taken)
    }

    fn copy(&mut self, sign: char) -> Result<(), NotSigned> {
        self.rest = self.rest.strip_prefix(sign).ok_or(NotSigned::Syntax)?;
        self.out.push(sign);
        Ok(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}

#[cfg(test)]
mod tests {
    use ruma::CanonicalJsonValue;

    use super::*;

    #[test]
    fn members_stand_in_order_and_without_space() {
        let cases = [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            (
                r#"{ "b" : 1 , "a" : [ true , null , { "d" : 0 , "c" : "x" } ] }"#,
                r#"{"a":[true,null,{"c":"x","d":0}],"b":1}"#,
            ),
            (r#"{"本":2,"日":1}"#, r#"{"日":1,"本":2}"#),
            (r#"{"a":"日"}"#, r#"{"a":"日"}"#),
            (r#"{"a":"\u65E5\/\u0001\n\"\\"}"#, r#"{"a":"日/\u0001\n\"\\"}"#),
            // By what keys say, and not by how they are written.
            (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
            (r#""\\""#, r#""\\""#),
        ];
        for (json, expected) in cases {
            assert_eq!(write(json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn numbers_stay_as_they_are() {
        let json = r#"{"a":1.50,"b":-0,"c":1e3,"d":123456789012345678901234567890}"#;
        assert_eq!(write(json).as_deref(), Ok(json));
    }

    #[test]
    fn what_has_no_such_form() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let cases = [
            ("", NotSigned::Syntax),
            ("{", NotSigned::Syntax),
            ("{\"a\"", NotSigned::Syntax),
            ("{\"a\":1,}", NotSigned::Syntax),
            ("[1,]", NotSigned::Syntax),
            ("[1 2]", NotSigned::Syntax),
            ("nul", NotSigned::Syntax),
            ("01", NotSigned::Syntax),
            ("{} {}", NotSigned::Syntax),
            ("\"\u{1}\"", NotSigned::Syntax),
            (r#""\ud800""#, NotSigned::Syntax),
            (r#"{"a":1,"a":1}"#, NotSigned::Twice),
            (r#"{"b":1,"a":1,"\u0062":1}"#, NotSigned::Twice),
        ];
        for (json, expected) in cases {
            assert_eq!(write(json), Err(expected), "{json}");
        }
        assert!(write(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(write(&deep(MAX_DEPTH + 1)), Err(NotSigned::Depth));
        assert_eq!(write(&deep(1_000_000)), Err(NotSigned::Depth));
        let many: Vec<_> = (0..=MAX_MEMBERS).map(|it| format!("\"{it}\":1")).collect();
        assert_eq!(write(&format!("{{{}}}", many.join(","))), Err(NotSigned::Members));
    }

    /// Whatever is one sign away from JSON: what is written is what ruma makes of the same text.
    #[test]
    fn it_is_canonical_json_or_none() {
        const JSON: &str = r#"{"b":[1,-20,{"\u0061":"\n","":"é"}],"a":{"y":null,"x":true}}"#;
        const SIGNS: &str = "{}[]\",:\\0-9eaut. é";
        let mut written = 0;
        for (at, sign) in JSON.char_indices() {
            for other in SIGNS.chars().map(Some).chain([None]) {
                let (head, tail) = JSON.split_at(at);
                let mut changed = head.to_owned();
                changed.extend(other);
                changed.push_str(&tail[sign.len_utf8()..]);
                let expected = serde_json::from_str::<CanonicalJsonValue>(&changed);
                match (write(&changed), expected) {
                    (Ok(text), Ok(value)) => {
                        written += 1;
                        assert_eq!(text, serde_json::to_string(&value).unwrap(), "{changed}");
                    }
                    // A number that an event cannot have, or a name that stands twice.
                    (Ok(_), Err(_)) => {
                        serde_json::from_str::<serde_json::Value>(&changed).expect(&changed);
                    }
                    (Err(NotSigned::Twice), Ok(_)) | (Err(_), Err(_)) => {}
                    (Err(error), Ok(_)) => panic!("{changed}: {error}"),
                }
            }
        }
        assert!(written > 150, "{written}");
    }
}
