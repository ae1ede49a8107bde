//! Requests that no HTTP client would send, byte by byte over a connection of their own.

use crate::{Reply, secrets};
use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer of the suite takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a server at `http://address`.
pub async fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("an address");
    TcpStream::connect(address).await.expect("a connection")
}

/// Sends these bytes and reads the answer up to the end of the connection, for which the request
/// is to ask (`Connection: close`).
pub async fn send(url: &str, request: &[u8]) -> Reply {
    secrets::note_json(request);
    let mut connection = connect(url).await;
    connection.write_all(request).await.expect("the server reads");
    let mut answer = Vec::new();
    let read = timeout(ANSWER_TIMEOUT, connection.read_to_end(&mut answer)).await;
    let asked = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    assert!(matches!(read, Ok(Ok(_))) || !answer.is_empty(), "{asked:?} got no answer: {read:?}");
    reply(asked, &String::from_utf8_lossy(&answer))
}

/// The head of a request to `localhost`, without its end: `PUT /path`, a token, a body's length.
pub fn head(line: &str, token: Option<&str>) -> String {
    token.into_iter().for_each(secrets::note_secret);
    let token = token.map(|it| format!("Authorization: Bearer {it}\r\n")).unwrap_or_default();
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}")
}

fn reply(asked: String, answer: &str) -> Reply {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|it| it.split(' ').nth(1)).and_then(|it| it.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let text = if is_chunked { without_chunks(body) } else { body.to_owned() };
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { asked, status: status.unwrap_or_default(), headers, text, json }
}

fn without_chunks(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_default();
        let Some(chunk) = rest.get(..size).filter(|it| !it.is_empty()) else { break };
        text.push_str(chunk);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}
