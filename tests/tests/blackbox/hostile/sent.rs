//! A request as it is sent, byte by byte, and what came of it.

use skerry_tests::{Reply, raw, secrets};
use std::{fmt, io, time::Duration};
use tokio::time::{Instant, timeout};

/// How long anybody listens to a request that may wait for news.
const POLL: Duration = Duration::from_millis(300);
/// Up to this, a wait is none.
const LONGEST_WAIT_MS: f64 = 100.0;
/// What of a body is shown.
const SHOWN_BYTES: usize = 1_000;

/// A request. Its target and its headers are no longer to be encoded.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
    /// Into chunks of how many bytes the body is divided. None: its length is said.
    pub(super) chunks: Option<usize>,
}

/// What came of a request.
pub(super) enum Outcome {
    Answered(Reply, Duration),
    /// It may have waited for news; nobody did.
    HungUp,
    Silent(io::Error),
}

impl Sent {
    /// Sends it, on a connection of its own.
    pub(super) async fn send(&self, url: &str) -> Outcome {
        self.body.iter().for_each(|it| secrets::note_json(it));
        let request = self.bytes();
        let started = Instant::now();
        let answer = raw::try_send(url, &request);
        let answer = match self.may_wait() {
            false => answer.await,
            true => match timeout(POLL, answer).await {
                Ok(answer) => answer,
                Err(_) => return Outcome::HungUp,
            },
        };
        match answer {
            Ok(reply) => Outcome::Answered(reply, started.elapsed()),
            Err(error) => Outcome::Silent(error),
        }
    }

    /// Whether the server may take its time: it is asked to wait for news.
    fn may_wait(&self) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let mut parameters = query.split('&').filter_map(|it| it.split_once('='));
        parameters.any(|(name, value)| {
            name == "timeout" && value.parse::<f64>().is_ok_and(|it| it > LONGEST_WAIT_MS)
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = raw::head(&format!("{} {}", self.method, self.target), None).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(name.bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        let Some(body) = &self.body else {
            bytes.extend(b"\r\n");
            return bytes;
        };
        let Some(size) = self.chunks else {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
            return bytes;
        };
        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(size.max(1)) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {} {}", self.method, self.target)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {}", value.escape_ascii())?;
        }
        match &self.body {
            None => write!(f, "  no body"),
            Some(body) => {
                let (shown, chunks) = (&body[..body.len().min(SHOWN_BYTES)], self.chunks);
                write!(f, "  {} bytes, chunks {chunks:?}: {}", body.len(), shown.escape_ascii())
            }
        }
    }
}
