//! Requests that no HTTP client would send, byte by byte over a connection of their own.

use crate::{Reply, secrets};
use serde_json::Value;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer of the suite takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection to a server at `http://address`.
pub async fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("an address");
    TcpStream::connect(address).await.expect("a connection")
}

/// Sends these bytes and reads the answer up to the end of the connection, for which the request
/// is to ask (`Connection: close`).
pub async fn send(url: &str, request: &[u8]) -> Reply {
    secrets::note_json(request);
    match try_send(url, request).await {
        Ok(reply) => reply,
        Err(error) => panic!("{:?} got no answer: {error}", beginning(request)),
    }
}

/// The same, but nothing is noted that no log may have; an error means that no answer came. A
/// server may answer before it has all of a request, and then need not read the rest.
pub async fn try_send(url: &str, request: &[u8]) -> io::Result<Reply> {
    let mut connection = connect(url).await;
    let (mut reader, mut writer) = connection.split();
    let write = async {
        // Whoever does not read the rest has answered, or the answer is missing.
        let _ = writer.write_all(request).await;
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let read = tokio::select! {
        read = timeout(ANSWER_TIMEOUT, reader.read_to_end(&mut answer)) => read,
        () = write => unreachable!("it waits for the reader"),
    };
    if answer.is_empty() {
        read??;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(reply(beginning(request), &answer))
}

fn beginning(request: &[u8]) -> String {
    String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned()
}

/// The head of a request to `localhost`, without its end: `PUT /path`, a token, a body's length.
pub fn head(line: &str, token: Option<&str>) -> String {
    token.into_iter().for_each(secrets::note_secret);
    let token = token.map(|it| format!("Authorization: Bearer {it}\r\n")).unwrap_or_default();
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}")
}

fn reply(asked: String, mut answer: &[u8]) -> Reply {
    let (mut head, mut body) = split(answer, HEAD_END);
    // What only says to go on is not the answer.
    while head.starts_with(b"HTTP/1.1 1") {
        answer = body;
        (head, body) = split(answer, HEAD_END);
    }
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|it| it.split(' ').nth(1)).and_then(|it| it.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if is_chunked { without_chunks(body) } else { body.to_owned() };
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Reply { asked, status: status.unwrap_or_default(), headers, text, json }
}

fn without_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let (size, rest) = split(body, b"\r\n");
        let size = std::str::from_utf8(size).ok().and_then(|it| usize::from_str_radix(it, 16).ok());
        let Some(chunk) = size.and_then(|it| rest.get(..it)).filter(|it| !it.is_empty()) else {
            return whole;
        };
        whole.extend(chunk);
        body = rest[chunk.len()..].trim_ascii_start();
    }
}

/// What stands before a separator and after it.
fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    let found = bytes.windows(separator.len()).position(|it| it == separator);
    found.map_or((bytes, &[]), |it| (&bytes[..it], &bytes[it + separator.len()..]))
}
