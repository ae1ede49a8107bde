//! What no log may have (T13): everything secret or private that the suite sends or is given, and
//! the logs of all servers it has started. The clients of the suite note the one, servers leave the
//! other behind when they end; the last test searches.
//!
//! Noted is what can be told from anything else: texts of some length. What a log may name is left
//! out: identifiers, names of servers, words of the protocol, a few plain words. The test module
//! `marked_texts` says everything that can be said with words that are nowhere else.

use crate::{Value, encode};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Texts that are shorter could stand in a log by chance.
const MIN_BYTES: usize = 8;
/// So could phrases of plain words that are shorter than this.
const MIN_PHRASE_BYTES: usize = 20;
/// The beginning of a text stands for it: a log may cut it off.
const MAX_BYTES: usize = 40;
/// Bytes of a body that is no JSON in which texts are looked for.
const MAX_BODY: usize = 64 * 1024;
/// Fields that are secret whatever they look like. Of answers only these are noted: all else there
/// was sent before, or may be known.
const SECRET_FIELDS: [&str; 6] =
    ["access_token", "refresh_token", "session", "token", "password", "new_password"];
/// What stands before the name of another server in a log. Whatever a client writes there is that
/// name, which a log may have: hostile requests put device IDs and tokens in its place.
const SERVER_FIELD: &[u8] = b"server=";
/// What a server prints on purpose, for its operator: the token for the first account.
const FIRST_TOKEN: &str = "register the first account, the admin, with this token";

static TEXTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static LOGS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that fails has left nothing half done here.
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a token or a password: neither its beginning nor its end may be in a log. A single word in
/// lower case, a name of such words, or an identifier is none of the suite's: hostile requests have
/// it in the place of one.
pub fn note_secret(secret: &str) {
    let is_id = secret.starts_with(['@', '!', '#']) && secret.contains(':');
    if is_id || secret.chars().all(|it| it.is_ascii_lowercase() || it == '.') {
        return;
    }
    lock(&TEXTS).extend(ends(secret).flat_map(forms));
}

/// What stands for a text: its beginning and its end.
fn ends(text: &str) -> impl Iterator<Item = &str> {
    let end = text.len().checked_sub(MAX_BYTES).and_then(|at| text.get(at..));
    [Some(cut(text, MAX_BYTES)), end].into_iter().flatten().filter(|it| it.len() >= MIN_BYTES)
}

/// Notes a text, unless a log may have it.
pub fn note_text(text: &str) {
    if !may_be_named(text) {
        let ends = ends(text).filter(|it| !may_be_named(it));
        lock(&TEXTS).extend(ends.flat_map(forms));
    }
}

/// Notes the secrets of an answer, or of an object in a request.
pub(crate) fn note_answer(answer: &Value) {
    let secrets = SECRET_FIELDS.iter().filter_map(|it| answer[it].as_str());
    secrets.for_each(note_secret);
}

/// Notes the texts of a body; of one that is no JSON, what stands between quotes.
pub fn note_json(body: &[u8]) {
    match serde_json::from_slice(body) {
        Ok(json) => note_texts(&json),
        Err(_) => {
            let body = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
            body.split('"').for_each(note_text);
        }
    }
}

fn note_texts(json: &Value) {
    match json {
        Value::String(text) => note_text(text),
        Value::Array(values) => values.iter().for_each(note_texts),
        Value::Object(fields) => {
            note_answer(json);
            fields.values().for_each(note_texts);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// At most so many bytes of a text.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text as it is, and as it looks where it was encoded or quoted.
fn forms(text: &str) -> [String; 4] {
    let inner = |it: String| it[1..it.len() - 1].to_owned();
    let json = Value::from(text).to_string();
    [text.to_owned(), encode(text), inner(format!("{text:?}")), inner(json)]
}

/// Whether a log may have it: an identifier, the name of a server, a word of the protocol, or a few
/// words that anybody says.
fn may_be_named(text: &str) -> bool {
    let text = text.trim_matches('"');
    let is_word = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "._:-/".contains(it);
    let is_id = text.starts_with(['@', '!', '#', '$']) && !text.contains(char::is_whitespace);
    let is_phrase = text.chars().all(|it| it.is_ascii_lowercase() || it == ' ');
    is_id || text.chars().all(is_word) || (is_phrase && text.len() < MIN_PHRASE_BYTES)
}

/// Keeps the log of a server that has ended.
pub fn keep_log(server: &str, log: String) {
    lock(&LOGS).push((server.to_owned(), log));
}

/// The servers whose logs do not even say where they listened: there is nothing to search.
pub fn silent_logs() -> Vec<String> {
    let silent = |(_, log): &&(String, String)| !log.contains("listening on ");
    lock(&LOGS).iter().filter(silent).map(|(server, _)| server.clone()).collect()
}

/// What was found, and in how much.
#[derive(Debug)]
pub struct Search {
    /// Lines of logs that have something of what was noted, each behind its server and test.
    pub found: Vec<String>,
    /// Texts that were noted.
    pub texts: usize,
    /// Logs that were searched.
    pub logs: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// Searches the logs of all servers that have ended for everything that was noted.
pub fn search() -> Search {
    let (texts, logs) = (lock(&TEXTS), lock(&LOGS));
    let mut found = Vec::new();
    let index = Index::new(texts.iter());
    for (server, log) in &*logs {
        let lines = log.lines().filter(|it| !it.contains(FIRST_TOKEN));
        let log = lines.collect::<Vec<_>>().join("\n");
        let mut from = 0;
        while let Some((text, at)) = index.find(&log, from) {
            let before = log[..at].rfind('\n').map_or(0, |it| it + 1);
            let after = log[at..].find('\n').map_or(log.len(), |it| at + it);
            found.push(format!("{server}: {text:?} in: {}", &log[before..after]));
            from = after;
        }
    }
    let bytes = logs.iter().map(|(_, log)| log.len()).sum();
    Search { found, texts: texts.len(), logs: logs.len(), bytes }
}

/// Texts by their first bytes.
struct Index<'a>(HashMap<&'a [u8], Vec<&'a str>>);

impl<'a> Index<'a> {
    fn new(texts: impl Iterator<Item = &'a String>) -> Self {
        let mut index = HashMap::<_, Vec<_>>::new();
        for text in texts {
            if let Some(start) = text.as_bytes().get(..MIN_BYTES) {
                index.entry(start).or_default().push(text.as_str());
            }
        }
        Self(index)
    }

    /// The first text that a log has from somewhere on, and where.
    fn find(&self, log: &str, from: usize) -> Option<(&'a str, usize)> {
        let log = log.as_bytes();
        (from..log.len()).find_map(|at| {
            let rest = &log[at..];
            let texts = self.0.get(rest.get(..MIN_BYTES)?)?;
            let text = texts.iter().find(|it| rest.starts_with(it.as_bytes()))?;
            (!log[..at].ends_with(SERVER_FIELD)).then_some((*text, at))
        })
    }
}
