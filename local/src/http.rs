//! Requests to other servers: HTTP/1.1 over connections of our own.
//!
//! The server that is connected to and the server that the certificate is for may be two names
//! (`Request::server_name`), and the address is checked after the name was resolved, where it
//! is connected to. Both are decided in the connector.

mod connector;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use http_body_util::BodyDataStream;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use skerry::{
    Result,
    ports::{
        Dns,
        http::{self as port, Addresses, Body, Fault, Http, HttpError, Request, Response},
    },
};
use tokio::time::sleep;

use self::connector::Connector;
use crate::tls;

/// How long a connection that is not used stays open.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one server that stay open while they are not used.
const MAX_IDLE: usize = 2;
/// Bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Sends requests.
pub struct NativeHttp {
    /// Connections to public addresses, and to all: one is not used for the other.
    public: Client<Connector, Body>,
    all: Client<Connector, Body>,
}

impl NativeHttp {
    /// Trusts the authorities that browsers trust, and those of a PEM file.
    ///
    /// # Errors
    ///
    /// [`skerry::Error::Internal`] when the file cannot be read.
    pub fn new(dns: &Arc<dyn Dns>, trusted_ca: Option<&Path>) -> Result<Self> {
        let tls = tls::client(trusted_ca)?;
        let client = |addresses| {
            let connector = Connector::new(dns.clone(), tls.clone(), addresses);
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(MAX_IDLE)
                .http1_max_buf_size(MAX_HEAD_BYTES)
                .set_host(false)
                .build(connector)
        };
        Ok(Self { public: client(Addresses::Public), all: client(Addresses::All) })
    }
}

#[async_trait]
impl Http for NativeHttp {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        port::check(&request)?;
        let mut timeout = Box::pin(sleep(request.timeout));
        let max_bytes = request.max_answer_bytes;
        let client = match request.addresses {
            Addresses::Public => &self.public,
            Addresses::All => &self.all,
        };
        let answer = tokio::select! {
            answer = client.request(to_hyper(request)?) => answer.map_err(|it| from_hyper(&it))?,
            () = &mut timeout => {
                return Err(HttpError::new(Fault::Timeout, "there was no answer in time"));
            }
        };
        let (parts, body) = answer.into_parts();
        let body = BodyDataStream::new(body);
        let body = body.map_err(|error| HttpError::new(Fault::Protocol, chain(&error)));
        let body = port::bounded(body, max_bytes, timeout);
        Ok(Response { status: parts.status, headers: parts.headers, body })
    }
}

fn to_hyper(request: Request) -> Result<http::Request<Body>, HttpError> {
    let uri = connector::uri(&request)
        .map_err(|error| HttpError::new(Fault::Request, error.to_string()))?;
    let mut message = port::into_message(request)?;
    *message.uri_mut() = uri;
    Ok(message)
}

/// An error of our own that hyper carried, or one of HTTP.
fn from_hyper(error: &legacy::Error) -> HttpError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<HttpError>() {
            return own.clone();
        }
        source = cause.source();
    }
    HttpError::new(Fault::Protocol, chain(error))
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
