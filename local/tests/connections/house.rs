//! A server with a few routes and short limits, and raw sockets to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use skerry_local::serve::{Http, Limits};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a test waits for what must happen much sooner.
pub(super) const LONG: Duration = Duration::from_secs(20);
/// How long `/wait` takes: several of the times below.
pub(super) const WAIT: Duration = Duration::from_millis(2_500);
/// The answer of `/large`: more than the buffers of a connection hold.
pub(super) const LARGE: usize = 64 * 1024 * 1024;

/// The answer of `/page`: less than the system's buffers would hold by themselves.
pub(super) const PAGE: usize = 1024 * 1024;

/// The limits of a test.
pub(super) fn limits() -> Limits {
    Limits {
        first_head: Duration::from_millis(500),
        idle: Duration::from_millis(600),
        body: Duration::from_millis(500),
        answer: Duration::from_millis(500),
        bytes_per_second: 1 << 30,
        answers_bytes: u64::MAX,
        request: Duration::from_secs(5),
        write: Duration::from_millis(500),
        ..Limits::within(10_000)
    }
}

/// A running server.
pub(super) struct House {
    pub(super) address: SocketAddr,
    working: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl House {
    pub(super) async fn start(limits: Limits, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let working = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let server = Http::new(listener, tls, router(working.clone()), limits);
        tokio::spawn(server.serve(stop.clone(), Duration::ZERO));
        Self { address, working, _stop: stop.drop_guard() }
    }

    /// A connection of a client whose system takes little before it reads.
    pub(super) async fn sent_by_slow(&self, bytes: &[u8]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which this was sent.
    pub(super) async fn sent(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Whether somebody new is answered.
    pub(super) async fn serves(&self) -> bool {
        let mut stream = self.sent(GET_QUICK).await;
        read_to_end(&mut stream).await.ends_with(b"quick")
    }

    /// Returns when so many requests are being worked on.
    pub(super) async fn works_on(&self, count: usize) {
        let wait = async {
            while self.working.load(Ordering::Relaxed) != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, wait).await.unwrap();
    }
}

/// Asks for a short answer, and for the connection's end.
pub(super) const GET_QUICK: &[u8] = b"GET /quick HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
/// Asks for a large answer, and for the connection's end.
pub(super) const GET_LARGE: &[u8] = b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
/// Asks for an answer of an ordinary size, and for the connection's end.
pub(super) const GET_PAGE: &[u8] = b"GET /page HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
/// Asks for a large answer with a body that nobody reads.
pub(super) const GET_LARGE_WITH_BODY: &[u8] =
    b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4000000\r\n\r\n";
/// Asks for an answer that takes its time.
pub(super) const GET_WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn router(working: Arc<AtomicUsize>) -> Router {
    let wait = async move || {
        working.fetch_add(1, Ordering::Relaxed);
        sleep(WAIT).await;
        working.fetch_sub(1, Ordering::Relaxed);
        "waited"
    };
    Router::new()
        .route("/quick", get(async || "quick"))
        .route("/wait", get(wait))
        .route("/page", get(async || vec![b'x'; PAGE]))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
}

/// What comes until the other side ends the connection, in whichever way.
pub(super) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut found = Vec::new();
    // Where the other side cut it off, what came before counts.
    let _ = timeout(LONG, stream.read_to_end(&mut found)).await.unwrap();
    found
}

/// Sends these bytes again and again until the other side ends the connection: the time until then,
/// and what it has answered.
pub(super) async fn dribble(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> (Duration, Vec<u8>) {
    let began = Instant::now();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let send = async {
        while writing.write_all(bytes).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    let found = tokio::select! {
        found = read_to_end(&mut reading) => found,
        () = send => Vec::new(),
    };
    (began.elapsed(), found)
}
