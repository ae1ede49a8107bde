//! HTTP/1.1, byte by byte: a library would not let it be wrong.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite,
        AsyncWriteExt as _, BufReader,
    },
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::zone::Zone;

/// Between two bytes of a body that trickles.
const TRICKLE: Duration = Duration::from_millis(20);
/// Bytes of a chunk.
const CHUNK: usize = 10_000;

/// A request that a server of a test was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The connection breaks off behind the body, and before its end.
    pub breaks_off: bool,
}

/// The same, or what no server says that knows HTTP.
pub(crate) enum Given {
    /// A status and a body.
    Said(Said),
    /// These bytes, head and all: then the connection ends.
    Bytes(Vec<u8>),
}

/// Says what a request is answered with.
type Answering = dyn Fn(&Asked) -> Given + Send + Sync;

/// Accepts connections for ever, and answers all requests as it is told.
pub(crate) async fn serve_json(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    answering: Arc<Answering>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, answering) = (tls.clone(), answering.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            // Whoever asks may go away at any moment: that is no failure of the test.
            let _ = json_connection(stream, &*answering).await;
        });
    }
}

async fn json_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answering: &Answering,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(Request { method, path, headers, body }) = read(&mut stream).await? {
        let said = match answering(&Asked { method, path, headers, body }) {
            Given::Said(said) => said,
            Given::Bytes(bytes) => {
                stream.write_all(&bytes).await?;
                break;
            }
        };
        let Said { status, body, breaks_off } = said;
        let status = format!("{status} Scripted");
        let head = "Content-Type: application/json\r\n";
        if breaks_off {
            chunks(&mut stream, &body).await?;
            break;
        }
        whole(&mut stream, &status, head, &body).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// Accepts connections for ever.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    zone: Arc<Zone>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, zone) = (tls.clone(), zone.clone());
        tokio::spawn(async move {
            // Whoever asks may go away at any moment: that is no failure of the test.
            let _ = match tls {
                None => connection(stream, &zone).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => connection(stream, &zone).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.first()).map(String::as_str)
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, zone: &Zone) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        if !answer(&mut stream, &request, zone).await? {
            break;
        }
    }
    stream.shutdown().await
}

async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Request>> {
    let first = line(stream).await?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.entry(name.to_lowercase()).or_default().push(value.trim().to_owned());
    }
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut request = Request { method, path, headers, body: Vec::new() };
    request.body = body(stream, &request).await?;
    Ok(Some(request))
}

async fn body(stream: &mut (impl AsyncBufRead + Unpin), head: &Request) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream).await?, 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + size, 0);
            stream.read_exact(&mut body[start..]).await?;
            line(stream).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = head.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    body.resize(length, 0);
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Byte number i of a body.
fn pattern(length: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(length).collect()
}

/// Answers. Whether the connection may be used again.
async fn answer(
    stream: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    zone: &Zone,
) -> io::Result<bool> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut segments = path.trim_start_matches('/').split('/');
    let (route, argument) = (segments.next().unwrap_or_default(), segments.next());
    let length = argument.and_then(|it| it.parse().ok()).unwrap_or(0);
    match route {
        "echo" => whole(stream, "200 OK", "Echo: one\r\nEcho: two\r\n", &echo(request)).await?,
        "missing" => whole(stream, "404 Not Found", "", b"missing").await?,
        "redirect" => whole(stream, "302 Found", "Location: /echo\r\n", b"").await?,
        "count" => {
            let sum = request.body.iter().fold(0_u32, |sum, it| sum.wrapping_add((*it).into()));
            let counted = json!({ "bytes": request.body.len(), "sum": sum }).to_string();
            whole(stream, "200 OK", "", counted.as_bytes()).await?;
        }
        "dns-query" => {
            let json = "Content-Type: application/dns-json\r\n";
            whole(stream, "200 OK", json, zone.json(query).to_string().as_bytes()).await?;
        }
        "bytes" => whole(stream, "200 OK", "", &pattern(length)).await?,
        "chunks" => {
            chunks(stream, &pattern(length)).await?;
            stream.write_all(b"0\r\n\r\n").await?;
        }
        "cut" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&pattern(length / 2)).await?;
            return Ok(false);
        }
        "cut-chunks" => {
            chunks(stream, &pattern(length / 2)).await?;
            return Ok(false);
        }
        "trickle" => {
            chunks(stream, b"").await?;
            loop {
                stream.write_all(b"1\r\nx\r\n").await?;
                stream.flush().await?;
                tokio::time::sleep(TRICKLE).await;
            }
        }
        "silent" => std::future::pending().await,
        _ => {
            stream.write_all(b"SSH-2.0-nonsense\r\n\r\n").await?;
            return Ok(false);
        }
    }
    stream.flush().await?;
    Ok(true)
}

fn echo(request: &Request) -> Vec<u8> {
    let echo = json!({
        "method": request.method,
        "path": request.path,
        "host": request.header("host"),
        "headers": request.headers,
    });
    echo.to_string().into_bytes()
}

async fn whole(
    stream: &mut (impl AsyncWrite + Unpin),
    status: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

/// The head and the chunks, but for the last one.
async fn chunks(stream: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    for chunk in body.chunks(CHUNK) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    Ok(())
}
