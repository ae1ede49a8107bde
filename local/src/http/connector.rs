//! Connections: names to addresses, addresses that may be connected to, certificates.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::{Uri, uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, dns::Name},
    rt::TokioIo,
};
use skerry::ports::{
    Dns,
    http::{Addresses, Fault, HttpError, Request},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use tokio_util::either::Either;
use tower::Service;
use url::Position;

use super::chain;

/// How long a connection may take, with its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, HttpError>> + Send>>;

/// Where a request goes, for hyper. Connections are kept by the authority of the URI, so the name
/// that the certificate is for is a part of it, as the user of the URI. It is read in the connector
/// and is not sent.
pub(super) fn uri(request: &Request) -> Result<Uri, http::Error> {
    let url = &request.url;
    let (name, place) =
        (request.certificate_host(), &url[Position::BeforeHost..Position::AfterPort]);
    Uri::builder()
        .scheme(url.scheme())
        .authority(format!("{name}@{place}"))
        .path_and_query(&url[Position::BeforePath..Position::AfterQuery])
        .build()
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(dns: Arc<dyn Dns>, tls: TlsConnector, addresses: Addresses) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { dns, addresses });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, tls }
    }

    async fn connect(mut self, uri: Uri) -> Result<Link, HttpError> {
        let connected = self.tcp.call(uri.clone()).await.map_err(|error| {
            let own = std::error::Error::source(&error).and_then(|it| it.downcast_ref());
            own.cloned().unwrap_or_else(|| HttpError::new(Fault::Connect, chain(&error)))
        })?;
        if uri.scheme() != Some(&uri::Scheme::HTTPS) {
            return Ok(Link(TokioIo::new(Either::Left(connected.into_inner()))));
        }
        let failed = |error: &dyn std::error::Error| HttpError::new(Fault::Tls, chain(error));
        let name = uri.authority().and_then(|it| it.as_str().rsplit_once('@'));
        let name = name.map_or("", |(name, _)| name).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(&error))?;
        let secured = self.tls.connect(name, connected.into_inner()).await;
        let secured = secured.map_err(|error| failed(&error))?;
        Ok(Link(TokioIo::new(Either::Right(secured))))
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = HttpError;
    type Future = Pending<Link>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), HttpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(CONNECT_TIMEOUT, self.clone().connect(uri));
        Box::pin(async {
            let late = |_| HttpError::new(Fault::Connect, "there was no connection in time");
            connecting.await.map_err(late)?
        })
    }
}

/// Resolves names, and leaves out the addresses that may not be connected to.
#[derive(Clone)]
struct Resolver {
    dns: Arc<dyn Dns>,
    addresses: Addresses,
}

impl Resolver {
    async fn resolve(self, name: Name) -> Result<vec::IntoIter<SocketAddr>, HttpError> {
        let answer = self.dns.addresses(name.as_str()).await;
        let answer = answer.map_err(|error| HttpError::new(Fault::Name, error.to_string()))?;
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in answer.records {
            match self.addresses.check(address) {
                Ok(()) => allowed.push(SocketAddr::new(address, 0)),
                Err(error) => refused = Some(HttpError::from(error)),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed.into_iter()),
            (true, Some(error)) => Err(error),
            (true, None) => Err(HttpError::new(Fault::Name, format!("{name} has no address"))),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = HttpError;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), HttpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().resolve(name))
    }
}

/// A connection, with or without TLS.
pub(super) struct Link(TokioIo<Either<TcpStream, TlsStream<TcpStream>>>);

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
