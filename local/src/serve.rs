//! The HTTP server: connections in, bounded in number and in time; requests to the router.
//!
//! **Invariant:** whatever a client sends or does not send or take, its connection ends: only a
//! request that is complete may wait, for its answer.

mod activity;
mod bodies;
mod connection;
mod connections;
mod limits;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use skerry_core::rate_limits::Proxies;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

pub use self::limits::Limits;
use self::{connection::Connection, connections::Connections};

/// A pause when no connection can be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers requests: a router. Cloned for each of them.
pub trait Answers:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// A server that listens.
pub struct Http<S> {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: S,
    proxies: Arc<Proxies>,
    connections: Arc<Connections>,
}

impl<S: Answers> Http<S> {
    /// Serves requests with this router.
    pub fn new(listener: TcpListener, tls: Option<TlsAcceptor>, router: S, limits: Limits) -> Self {
        let connections = Connections::new(limits);
        Self { listener, tls, router, proxies: Arc::default(), connections }
    }

    /// Takes the word of these proxies on where requests come from.
    #[must_use]
    pub fn behind(self, proxies: Arc<Proxies>) -> Self {
        Self { proxies, ..self }
    }

    /// Serves until `stop`, then lets the requests that are running finish, at most so long.
    pub async fn serve(self, stop: CancellationToken, grace: Duration) {
        let tasks = TaskTracker::new();
        while let Some((stream, address)) = self.accept(&stop).await {
            let Some(place) = self.connections.admit(address.ip()) else {
                tracing::debug!("a connection was refused: there are too many");
                continue;
            };
            let connection = Connection {
                tls: self.tls.clone(),
                router: self.router.clone(),
                proxies: self.proxies.clone(),
                address,
                activity: place.activity.clone(),
                connections: self.connections.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(async move {
                connection.serve(stream).await;
                drop(place);
            });
        }
        drop(self.listener);
        tasks.close();
        if timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "connections were still open at shutdown");
        }
    }

    /// The next connection; none after `stop`.
    async fn accept(&self, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
        let accept = async {
            loop {
                match self.listener.accept().await {
                    Ok(accepted) => return accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        self.connections.make_room();
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(accept).await
    }
}
