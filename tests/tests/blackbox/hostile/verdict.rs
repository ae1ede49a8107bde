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
    // Of a server that the client names, and that is not there.
    let is_elsewhere = reply.status == 502 && names_other_server(sent);
    if ![2, 4].contains(&(reply.status / 100)) && !is_elsewhere {
        return Some(format!("the server says {}", reply.status));
    }
    let lacks = HEADERS.iter().find(|(name, value)| reply.header(name) != Some(value));
    if let Some((name, value)) = lacks {
        return Some(format!("there is no `{name}: {value}`"));
    }
    let has_no_body = sent.method == "HEAD" || reply.status == 204;
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

/// An identity server, or a user of a server that is called otherwise and whose address, where
/// nobody answers, is to be had.
fn names_other_server(sent: &Sent) -> bool {
    let body = String::from_utf8_lossy(sent.body.as_deref().unwrap_or_default());
    body.contains("\"id_server\"") || body.contains(":LOCALHOST")
}

/// An answer, cut.
pub(super) fn shown(reply: &Reply) -> String {
    let text: String = reply.text.chars().take(SHOWN_CHARACTERS).collect();
    format!("  answered {} {:?}\n  {text}", reply.status, reply.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "access-control-allow-origin: *, x-content-type-options: nosniff";
    const JSON: &str = "content-type: application/json";

    fn is_fault(method: &str, status: u16, headers: &[&str], text: &str) -> bool {
        let headers = headers.iter().flat_map(|it| it.split(", ")).map(|header| {
            let (name, value) = header.split_once(": ").expect("a header");
            (name.to_owned(), value.to_owned())
        });
        let sent = Sent {
            method: method.to_owned(),
            target: "/".to_owned(),
            headers: Vec::new(),
            body: None,
            chunks: None,
        };
        let json = serde_json::from_str(text).unwrap_or_default();
        let (headers, text) = (headers.collect(), text.to_owned());
        let reply = Reply { asked: String::new(), status, headers, text, json };
        fault(&sent, &reply).is_some()
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_seen() {
        let refusal = r#"{"errcode":"M_FORBIDDEN","error":"no"}"#;
        for (method, status, headers, text, expected) in [
            ("GET", 200, &[HEAD, JSON][..], "{}", false),
            ("GET", 403, &[HEAD, JSON], refusal, false),
            ("POST", 401, &[HEAD, JSON], r#"{"flows":[],"session":"x"}"#, false),
            ("OPTIONS", 204, &[HEAD], "", false),
            ("HEAD", 404, &[HEAD, JSON], "", false),
            ("GET", 500, &[HEAD, JSON], refusal, true),
            ("GET", 0, &[HEAD, JSON], refusal, true),
            ("GET", 302, &[HEAD, JSON], "{}", true),
            ("GET", 200, &[JSON], "{}", true),
            ("GET", 200, &["access-control-allow-origin: *", JSON], "{}", true),
            ("GET", 200, &[HEAD, "content-type: text/html"], "{}", true),
            ("GET", 200, &[HEAD], "{}", true),
            ("GET", 200, &[HEAD, JSON], "", true),
            ("GET", 200, &[HEAD, JSON], r#"{"a":"\ud800"}"#, true),
            ("GET", 403, &[HEAD, JSON], "{}", true),
            ("GET", 403, &[HEAD, JSON], r#"{"errcode":"M_FORBIDDEN"}"#, true),
            ("GET", 400, &[HEAD, JSON], r#"{"flows":[]}"#, true),
            ("HEAD", 200, &[HEAD], "{}", true),
        ] {
            let found = is_fault(method, status, headers, text);
            assert_eq!(found, expected, "{method} {status} {headers:?} {text}");
        }
    }
}
