//! What must hold of every answer, whatever was asked.

use super::sent::Sent;
use skerry_tests::{Reply, Value};

/// What no answer lacks.
const HEADERS: [(&str, &str); 2] =
    [("access-control-allow-origin", "*"), ("x-content-type-options", "nosniff")];

/// What of an answer is shown.
const SHOWN_CHARACTERS: usize = 1_000;

/// What is wrong with an answer, if anything is.
pub(super) fn fault(sent: &Sent, reply: &Reply) -> Option<String> {
    if !(200..500).contains(&reply.status) {
        return Some(format!("the server says {}", reply.status));
    }
    let lacks = HEADERS.iter().find(|(name, value)| reply.header(name) != Some(value));
    if let Some((name, value)) = lacks {
        return Some(format!("there is no `{name}: {value}`"));
    }
    let has_no_body = sent.method == "HEAD" || [204, 304].contains(&reply.status);
    if has_no_body {
        return (!reply.text.is_empty()).then(|| "there should be no body".to_owned());
    }
    let kind = reply.header("content-type").unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Some(format!("this is called {kind:?}"));
    }
    if let Err(error) = serde_json::from_str::<Value>(&reply.text) {
        return Some(format!("this is no JSON: {error}"));
    }
    let asks_for_authentication = reply.status == 401 && reply.json["flows"].is_array();
    let says_why = reply.errcode().starts_with("M_") && reply.json["error"].is_string();
    if reply.status >= 400 && !says_why && !asks_for_authentication {
        return Some("it does not say why it was refused".to_owned());
    }
    None
}

/// An answer, cut.
pub(super) fn shown(reply: &Reply) -> String {
    let text: String = reply.text.chars().take(SHOWN_CHARACTERS).collect();
    format!("  answered {} {:?}\n  {text}", reply.status, reply.headers)
}
