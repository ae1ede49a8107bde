//! The HTTP server: connections in, bounded in number and in time; requests to the router.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use skerry::api::{ClientAddress, Cx};
use skerry_core::rate_limits::Proxies;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::tls;

/// Connections at a time. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8_192;
/// How long a client may take to send the head of a request, or to begin the next one.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// The header in which proxies say for whom they ask.
const FORWARDED_FOR: &str = "X-Forwarded-For";
/// A pause when no connection can be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens.
pub struct Http {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    cx: Cx,
    proxies: Arc<Proxies>,
    connections: Arc<Semaphore>,
}

impl Http {
    /// Serves requests with this router, each with `cx` in its extensions.
    pub fn new(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, cx: Cx) -> Self {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { listener, tls, router, cx, proxies: Arc::default(), connections }
    }

    /// Takes the word of these proxies on where requests come from.
    #[must_use]
    pub fn behind(self, proxies: Proxies) -> Self {
        Self { proxies: Arc::new(proxies), ..self }
    }

    /// Serves until `stop`, then lets the requests that are running finish, at most so long.
    pub async fn serve(self, stop: CancellationToken, grace: Duration) {
        let tasks = TaskTracker::new();
        while let Some((stream, address, permit)) = self.accept(&stop).await {
            let connection = Connection {
                tls: self.tls.clone(),
                router: self.router.clone(),
                cx: self.cx.clone(),
                proxies: self.proxies.clone(),
                address,
                stop: stop.clone(),
            };
            tasks.spawn(async move {
                connection.serve(stream).await;
                drop(permit);
            });
        }
        drop(self.listener);
        tasks.close();
        if timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "connections were still open at shutdown");
        }
    }

    /// The next connection; none after `stop`.
    async fn accept(
        &self,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let accept = async {
            let permit = self.connections.clone().acquire_owned().await.ok()?;
            loop {
                match self.listener.accept().await {
                    Ok((stream, address)) => return Some((stream, address, permit)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(accept).await.flatten()
    }
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    cx: Cx,
    proxies: Arc<Proxies>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are written whole: waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        match self.tls.clone() {
            None => self.serve_http(stream, false).await,
            Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
                    self.serve_http(stream, is_http2).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    }

    async fn serve_http(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_http2: bool,
    ) {
        let Self { router, cx, proxies, address, stop, .. } = self;
        let service = router.map_request(move |mut request: Request<Incoming>| {
            let forwarded_for = request.headers().get_all(FORWARDED_FOR).iter();
            let forwarded_for = forwarded_for.map(|it| it.to_str().unwrap_or_default());
            let origin = proxies.origin(address.ip(), forwarded_for);
            request.extensions_mut().insert(cx.clone());
            request.extensions_mut().insert(ClientAddress(origin.to_string()));
            request
        });
        let builder = builder(is_http2);
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            // Mostly a client that went away.
            tracing::debug!(%error, "a connection ended with an error");
        }
    }
}

/// The version is the one that was agreed upon in the handshake. Without TLS nobody speaks HTTP/2,
/// and guessing from the first bytes would wait for them without a limit.
fn builder(is_http2: bool) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(HEAD_TIMEOUT);
    builder
}
