//! One connection: TLS, HTTP, and the end of it when its client takes too long.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use skerry::api::ClientAddress;
use skerry_core::rate_limits::Proxies;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower::{ServiceExt as _, service_fn};

use super::{
    Answers,
    activity::Activity,
    bodies::{AnswerBody, RequestBody},
    connections::Connections,
};
use crate::tls;

/// The header in which proxies say for whom they ask.
const FORWARDED_FOR: &str = "X-Forwarded-For";
/// Bytes of a request's head, and of an answer that a connection keeps ready.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Bytes of answers that the system takes before the network does. What it takes it holds in its
/// own memory, where no budget of this process sees them; by itself it takes megabytes.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// How often an HTTP/2 client with a request that runs is asked whether it is there.
const PING_EVERY: Duration = Duration::from_mins(1);

/// One connection.
pub(super) struct Connection<S> {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: S,
    pub(super) proxies: Arc<Proxies>,
    pub(super) address: SocketAddr,
    pub(super) activity: Arc<Activity>,
    pub(super) connections: Arc<Connections>,
    /// The server stops.
    pub(super) stop: CancellationToken,
}

impl<S: Answers> Connection<S> {
    /// Serves it to its end.
    pub(super) async fn serve(self, stream: TcpStream) {
        if let Err(error) = set_options(&stream) {
            tracing::debug!(%error, "a connection keeps the options of the system");
        }
        // A task of its own: what it waits for is not looked at whenever bytes come.
        let end = ended(self.activity.clone(), self.stop.clone());
        let end = AbortOnDropHandle::new(tokio::spawn(end));
        tokio::select! {
            () = self.carry(stream) => {}
            _ = end => tracing::debug!("a connection was closed"),
        }
    }

    async fn carry(self, stream: TcpStream) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.activity.limits.write));
        let stream = Box::pin(stream);
        match self.tls.clone() {
            None => self.serve_http(stream, false).await,
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
                    self.serve_http(stream, is_http2).await;
                }
                Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
            },
        }
    }

    async fn serve_http(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_http2: bool,
    ) {
        let Self { router, activity, connections, proxies, address, .. } = self;
        let running = activity.clone();
        let peer = proxies.origin(address.ip(), std::iter::empty());
        let peer = ClientAddress::new(&peer.to_string());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let client = match request.headers().contains_key(FORWARDED_FOR) {
                false => peer.clone(),
                true => {
                    let named = request.headers().get_all(FORWARDED_FOR).iter();
                    let named = named.map(|it| it.to_str().unwrap_or_default());
                    ClientAddress::new(&proxies.origin(address.ip(), named).to_string())
                }
            };
            request.extensions_mut().insert(client);
            let running = running.begin();
            let request = RequestBody::replace(request, running.clone());
            let answer = router.clone().oneshot(request);
            let connections = connections.clone();
            async move {
                let answer: Response<Body> = answer.await?;
                let answer = answer.map(|it| AnswerBody::new(it, running));
                connections.bound_answers();
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let builder = builder(is_http2);
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            _ = activity.closed() => {
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

fn set_options(stream: &TcpStream) -> std::io::Result<()> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    // Answers are written whole: waiting for more to send would only delay them.
    stream.set_nodelay(true)
}

/// Returns when the connection is to be cut off.
async fn ended(activity: Arc<Activity>, stop: CancellationToken) {
    let in_time = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = activity.overdue() => {}
        }
        activity.close();
        activity.overdue().await;
    };
    tokio::select! {
        () = in_time => {}
        () = activity.evicted() => {}
    }
}

/// The version is the one that was agreed upon in the handshake. Without TLS nobody speaks HTTP/2.
fn builder(is_http2: bool) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    // How long a client may take is known better by `Activity`.
    builder.http1().header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(MAX_HEAD_BYTES)
        .keep_alive_interval(PING_EVERY);
    builder
}
