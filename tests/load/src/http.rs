//! HTTP/1.1 with keep-alive over one TCP connection, and no more of it than homeservers need.
//!
//! The generator shares two cores with the server it measures, so a request costs one buffer
//! that is reused, one write and usually one read: about a tenth of a general client.

use std::{io, sync::Arc, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    error::{Error, Result},
    target::Target,
};

/// Longer than the long-poll of any sync here.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
const MAX_ANSWER_BYTES: usize = 512 << 20;
const MAX_HEADERS: usize = 64;
/// How often a request that is answered with 429 is repeated.
const MAX_LIMITED: usize = 60;
const MAX_LIMITED_WAIT_MS: u64 = 5_000;
const READ_BYTES: usize = 16 << 10;

/// A request; the body is JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    /// Encoded, with its query.
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) body: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// `GET`, with an access token.
    pub(crate) fn get(path: &'a str, token: &'a str) -> Self {
        Self { method: "GET", path, token: Some(token), body: None }
    }

    /// `POST`, with an access token.
    pub(crate) fn post(path: &'a str, token: &'a str, body: &'a str) -> Self {
        Self { method: "POST", path, token: Some(token), body: Some(body) }
    }

    /// `PUT`, with an access token.
    pub(crate) fn put(path: &'a str, token: &'a str, body: &'a str) -> Self {
        Self { method: "PUT", path, token: Some(token), body: Some(body) }
    }
}

/// One connection, opened when first used and again when the server closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Arc<Target>,
    /// Absent while an exchange is under way, so that one given up half-way is not used again.
    stream: Option<TcpStream>,
    output: Vec<u8>,
    /// Head and body as they arrive; after an exchange, the body.
    input: Vec<u8>,
}

/// The head of an answer.
struct Head {
    status: u16,
    bytes: usize,
    framing: Framing,
    keep_alive: bool,
}

/// Where the body ends.
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl Connection {
    /// A connection that is not open yet.
    pub(crate) fn new(target: &Arc<Target>) -> Self {
        Self {
            target: Arc::clone(target),
            stream: None,
            output: Vec::new(),
            input: Vec::with_capacity(READ_BYTES),
        }
    }

    /// Sends a request that has to be accepted.
    pub(crate) async fn call(&mut self, request: Request<'_>) -> Result<()> {
        match self.ask(request).await? {
            200..=299 => Ok(()),
            status => Err(self.refusal(request, status)),
        }
    }

    /// Sends a request and returns the status. Waits and repeats it while the server limits the
    /// rate, and counts that, since it spoils the figures.
    pub(crate) async fn ask(&mut self, request: Request<'_>) -> Result<u16> {
        for _ in 0..MAX_LIMITED {
            match self.exchange(request).await? {
                429 => self.wait_out_limit().await,
                status => return Ok(status),
            }
        }
        Err(self.refusal(request, 429))
    }

    /// Sends a request once and returns the status, 429 as well.
    pub(crate) async fn exchange(&mut self, request: Request<'_>) -> Result<u16> {
        encode(&self.target, request, &mut self.output);
        self.carry(request).await
    }

    /// Sends a request that stands ready byte by byte, and returns the status. `request` is what
    /// it is called where it fails.
    pub(crate) async fn send_ready(&mut self, request: Request<'_>, bytes: &[u8]) -> Result<u16> {
        self.output.clear();
        self.output.extend_from_slice(bytes);
        self.carry(request).await
    }

    async fn carry(&mut self, request: Request<'_>) -> Result<u16> {
        let answer = async {
            let reused = self.stream.is_some();
            match self.attempt().await {
                // The server may close a connection that was idle.
                Err(Error::Io(_)) if reused && self.input.is_empty() => self.attempt().await,
                answer => answer,
            }
        };
        timeout(ANSWER_LIMIT, answer).await.map_err(|_| Error::Timeout {
            what: format!("{} {}", request.method, request.path),
            limit: ANSWER_LIMIT,
        })?
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.input
    }

    /// The body of the last answer, as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.input)?)
    }

    /// The error for an answer that is not wanted.
    pub(crate) fn refusal(&self, request: Request<'_>, status: u16) -> Error {
        Error::Refused {
            method: request.method,
            path: request.path.to_owned(),
            status,
            body: String::from_utf8_lossy(&self.input).chars().take(300).collect(),
        }
    }

    async fn wait_out_limit(&self) {
        #[derive(Deserialize)]
        struct Limited {
            retry_after_ms: Option<u64>,
        }
        self.target.note_limited();
        let asked = self.json::<Limited>().ok().and_then(|it| it.retry_after_ms).unwrap_or(500);
        sleep(Duration::from_millis(asked.min(MAX_LIMITED_WAIT_MS))).await;
    }

    async fn attempt(&mut self) -> Result<u16> {
        self.input.clear();
        let mut stream =
            if let Some(stream) = self.stream.take() { stream } else { self.target.open().await? };
        stream.write_all(&self.output).await?;
        let head = loop {
            self.fill(&mut stream).await?;
            if let Some(head) = head(&self.input)? {
                break head;
            }
        };
        self.read_body(&mut stream, &head).await?;
        if head.keep_alive {
            self.stream = Some(stream);
        }
        Ok(head.status)
    }

    async fn read_body(&mut self, stream: &mut TcpStream, head: &Head) -> Result<()> {
        match head.framing {
            Framing::Length(length) => {
                let end = head.bytes.saturating_add(length);
                if end > MAX_ANSWER_BYTES {
                    return Err(Error::Protocol(format!("a body of {length} bytes")));
                }
                self.input.reserve(end.saturating_sub(self.input.len()));
                while self.input.len() < end {
                    self.fill(stream).await?;
                }
                self.input.truncate(end);
                self.input.drain(..head.bytes);
            }
            Framing::Chunked => self.input = self.read_chunks(stream, head.bytes).await?,
            Framing::Close => {
                while self.read(stream).await? > 0 {}
                self.input.drain(..head.bytes);
            }
        }
        Ok(())
    }

    async fn read_chunks(&mut self, stream: &mut TcpStream, mut at: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (line, size) =
                match httparse::parse_chunk_size(self.input.get(at..).unwrap_or_default()) {
                    Ok(httparse::Status::Complete(found)) => found,
                    Ok(httparse::Status::Partial) => {
                        self.fill(stream).await?;
                        continue;
                    }
                    Err(_) => return Err(Error::Protocol("a malformed chunk size".to_owned())),
                };
            let start = at + line;
            let end = usize::try_from(size)
                .ok()
                .and_then(|size| start.checked_add(size))
                .filter(|end| *end <= MAX_ANSWER_BYTES)
                .ok_or_else(|| Error::Protocol(format!("a chunk of {size} bytes")))?;
            while self.input.len() < end + 2 {
                self.fill(stream).await?;
            }
            if self.input.get(end..end + 2) != Some(b"\r\n") {
                return Err(Error::Protocol("a chunk without its end, or trailers".to_owned()));
            }
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(self.input.get(start..end).unwrap_or_default());
            at = end + 2;
        }
    }

    /// Reads at least one byte more.
    async fn fill(&mut self, stream: &mut TcpStream) -> Result<()> {
        match self.read(stream).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }

    async fn read(&mut self, stream: &mut TcpStream) -> Result<usize> {
        if self.input.len() > MAX_ANSWER_BYTES {
            return Err(Error::Protocol("an answer without end".to_owned()));
        }
        if self.input.capacity() - self.input.len() < READ_BYTES / 2 {
            self.input.reserve(READ_BYTES);
        }
        Ok(stream.read_buf(&mut self.input).await?)
    }
}

/// Writes a request as it goes over the wire, in place of what `output` has.
pub(crate) fn encode(target: &Target, request: Request<'_>, output: &mut Vec<u8>) {
    output.clear();
    let mut push = |text: &str| output.extend_from_slice(text.as_bytes());
    push(request.method);
    push(" ");
    push(&target.prefix);
    push(request.path);
    push(" HTTP/1.1\r\nHost: ");
    push(&target.authority);
    if let Some(token) = request.token {
        push("\r\nAuthorization: Bearer ");
        push(token);
    }
    if let Some(body) = request.body {
        push("\r\nContent-Type: application/json\r\nContent-Length: ");
        push(&body.len().to_string());
    }
    push("\r\n\r\n");
    push(request.body.unwrap_or_default());
}

/// Parses the head of an answer, if it is there in full.
fn head(input: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let bytes = match response.parse(input).map_err(|it| Error::Protocol(it.to_string()))? {
        httparse::Status::Complete(bytes) => bytes,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.unwrap_or_default();
    let mut framing = if matches!(status, 204 | 304) { Framing::Length(0) } else { Framing::Close };
    let mut keep_alive = response.version == Some(1);
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| Error::Protocol(format!("length {value}")))?;
            framing = Framing::Length(length);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = keep_alive && !value.eq_ignore_ascii_case("close");
        }
    }
    keep_alive = keep_alive && !matches!(framing, Framing::Close);
    Ok(Some(Head { status, bytes, framing, keep_alive }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::{Connection, Request};
    use crate::target::Target;

    /// Answers each request on one connection with the next of `answers`, a few bytes at a time.
    async fn serve(answers: Vec<&'static str>) -> Arc<Target> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            for answer in answers {
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.expect("a request") > 0);
                for piece in answer.as_bytes().chunks(7) {
                    stream.write_all(piece).await.expect("a reader");
                    tokio::task::yield_now().await;
                }
            }
        });
        Arc::new(Target::resolve(&url, false).await.expect("loopback"))
    }

    #[tokio::test]
    async fn every_framing_is_understood_on_one_connection() {
        let target = serve(vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{\"a\":1}",
        ])
        .await;
        let mut connection = Connection::new(&target);
        for expected in ["{\"a\":1}", "{\"a\":1}", "", "{\"a\":1}"] {
            connection.call(Request::get("/", "token")).await.expect("an answer");
            assert_eq!(connection.body(), expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_limited_request_is_repeated_and_counted() {
        let target = serve(vec![
            "HTTP/1.1 429 Slow\r\nContent-Length: 20\r\n\r\n{\"retry_after_ms\":1}",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}",
        ])
        .await;
        let mut connection = Connection::new(&target);
        connection.call(Request::put("/", "token", "{}")).await.expect("the second answer");
        assert_eq!(target.limited(), 1);
        connection.call(Request::put("/", "token", "{}")).await.expect_err("a refusal");
    }
}
