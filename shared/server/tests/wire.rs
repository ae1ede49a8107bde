//! The wire between the Worker and its objects. While a new version is deployed, old Workers talk
//! to new objects and new ones to old: each has to read what the other says.
//!
//! `wire/1.json` has every message as the first version says it, with every field; `wire/2.json`
//! will have every message as the second one does, and so on. A file is never changed once its
//! version was deployed. So a field that is added without a default fails here, and so does one
//! that is removed, renamed, or made of another type.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as JsonValue, json};
use skerry::messages::{Command as _, destination, room, user};

/// The messages of all versions, the newest last.
const VERSIONS: [&str; 1] = [include_str!("wire/1.json")];

/// What is read by [`check_all`]: a question or an answer, to or of a kind of object.
type Check = fn(&str, &JsonValue) -> Result<JsonValue, serde_json::Error>;

const KINDS: [(&str, &str, Check); 6] = [
    ("room", "questions", again::<room::Command>),
    ("room", "answers", again::<room::Reply>),
    ("user", "questions", again::<user::Command>),
    ("user", "answers", again::<user::Reply>),
    ("destination", "questions", again::<destination::Command>),
    ("destination", "answers", again::<destination::Reply>),
];

/// Reads a message as the program does, and writes it again.
fn again<T: DeserializeOwned + Serialize>(
    name: &str,
    body: &JsonValue,
) -> Result<JsonValue, serde_json::Error> {
    // As text: raw JSON cannot be read from a value.
    let text = json!({ name: body }).to_string();
    let message: T = serde_json::from_str(&text)?;
    let mut written = serde_json::to_value(&message)?;
    Ok(written.get_mut(name).map_or(JsonValue::Null, JsonValue::take))
}

/// Every message of a version.
fn messages(version: &str) -> Vec<(String, Check, String, JsonValue)> {
    let version: JsonValue = serde_json::from_str(version).unwrap();
    let mut all = Vec::new();
    for (object, kind, check) in KINDS {
        let messages = version[object][kind].as_object().unwrap();
        for (name, body) in messages {
            all.push((format!("{object} {kind} {name}"), check, name.clone(), body.clone()));
        }
    }
    all
}

#[test]
fn what_every_version_said_is_read() {
    for version in VERSIONS {
        for (what, check, name, body) in messages(version) {
            if let Err(error) = check(&name, &body) {
                panic!("{what}: {error}");
            }
        }
    }
}

#[test]
fn what_is_said_now_is_known() {
    let newest = VERSIONS.last().unwrap();
    for (what, check, name, body) in messages(newest) {
        assert_eq!(check(&name, &body).unwrap(), body, "{what}");
    }
}

#[test]
fn every_message_is_kept() {
    let newest: JsonValue = serde_json::from_str(VERSIONS.last().unwrap()).unwrap();
    let names = [
        ("room", room::Command::NAMES),
        ("user", user::Command::NAMES),
        ("destination", destination::Command::NAMES),
    ];
    for (object, names) in names {
        let all: BTreeSet<_> = names.iter().map(|it| snake_case(it)).collect();
        for kind in ["questions", "answers"] {
            let kept = newest[object][kind].as_object().unwrap();
            let kept: BTreeSet<_> = kept.keys().cloned().collect();
            assert_eq!(kept, all, "{object} {kind}");
        }
    }
}

/// A later version adds fields to what it says, at any depth.
#[test]
fn a_field_that_is_not_known_is_passed_over() {
    let newest = VERSIONS.last().unwrap();
    for (what, check, name, body) in messages(newest) {
        let mut extended = body.clone();
        extend(&mut extended);
        let mut read = check(&name, &extended).unwrap_or_else(|error| panic!("{what}: {error}"));
        // Raw JSON keeps everything.
        shorten(&mut read);
        assert_eq!(read, body, "{what}");
    }
}

/// A later version asks what this one does not know: that fails, and nothing else is taken for it.
#[test]
fn a_message_that_is_not_known_is_refused() {
    for (object, kind, check) in KINDS {
        check("of_a_later_version", &json!({})).expect_err(&format!("{object} {kind}"));
    }
}

const LATER: &str = "of_a_later_version";

fn extend(value: &mut JsonValue) {
    match value {
        JsonValue::Array(values) => values.iter_mut().for_each(extend),
        JsonValue::Object(fields) => {
            fields.values_mut().for_each(extend);
            if is_struct(fields) {
                fields.insert(LATER.to_owned(), json!({ "field": [1] }));
            }
        }
        _ => {}
    }
}

/// Whether an object of JSON is a struct, and not a map by users, events, devices or algorithms,
/// nor a value of an enum.
fn is_struct(fields: &Map<String, JsonValue>) -> bool {
    let is_key = |it: &String| {
        let names = ["accepted", "user", "server", "PHONE", "signed_curve25519"];
        let names = [&names[..], &["device", "cross_signing", "claim_keys"]].concat();
        it.starts_with(['@', '$']) || names.contains(&it.as_str())
    };
    fields.is_empty() || !fields.keys().any(is_key) || fields.len() > 1
}

fn shorten(value: &mut JsonValue) {
    match value {
        JsonValue::Array(values) => values.iter_mut().for_each(shorten),
        JsonValue::Object(fields) => {
            fields.remove(LATER);
            fields.values_mut().for_each(shorten);
        }
        _ => {}
    }
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
