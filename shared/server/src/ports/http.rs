//! The HTTP port: requests to other servers.
//!
//! An adapter keeps these promises, which `conformance::http` tests:
//!
//! - Bodies go both ways as streams. What is larger than the request allows ends as an error when
//!   the limit is passed, not after all of it was read.
//! - The time that a request may take ends it wherever it is: at the connection, before the
//!   headers, or between two bytes of a body that trickles.
//! - Redirects are not followed.
//! - Over TLS the certificate is for the name that is asked for, and by an authority that is
//!   trusted.
//! - An address that is not public ([`skerry_core::address`]) is not connected to, unless the
//!   request says that it may be.

mod body;
mod bounded;

use std::{fmt, pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use ruma::OwnedServerName;
pub use skerry_core::address::Addresses;
use skerry_core::address::{self, NotPublic};
use url::{Host, Position, Url};

pub use self::bounded::bounded;

/// A body as it comes or goes, chunk by chunk. It ends with an error or without one.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, HttpError>> + Send>>;

/// What goes to another server.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to connect, and for what: `https` or `http`, without user and password.
    pub url: Url,
    /// As what the server is asked, where that is not the host of the URL: this name is the `Host`
    /// header, and the certificate must be for its host.
    ///
    /// Where only the port differs, the `Host` header may be that of the URL: at the edge it cannot
    /// be chosen.
    pub server_name: Option<OwnedServerName>,
    /// Headers. Those that describe the connection or the length of the body are the adapter's.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// Bytes that the body of the answer may have.
    pub max_answer_bytes: u64,
    /// From the beginning until the last byte of the answer's body was read.
    pub timeout: Duration,
    /// Which addresses may be connected to.
    pub addresses: Addresses,
}

impl Request {
    /// A request without headers and body, to a public address.
    pub fn new(method: Method, url: Url, max_answer_bytes: u64, timeout: Duration) -> Self {
        Self {
            method,
            url,
            server_name: None,
            headers: HeaderMap::new(),
            body: Body::Whole(Bytes::new()),
            max_answer_bytes,
            timeout,
            addresses: Addresses::Public,
        }
    }

    /// The host that the certificate must be for: a DNS name, or an IP address without brackets.
    pub fn certificate_host(&self) -> String {
        let host = match &self.server_name {
            Some(name) => name.host(),
            None => self.url.host_str().unwrap_or_default(),
        };
        host.trim_matches(['[', ']']).to_ascii_lowercase()
    }

    /// The `Host` header.
    pub fn host_header(&self) -> String {
        match (&self.server_name, self.url.port()) {
            (Some(name), _) => name.to_string(),
            (None, Some(port)) => format!("{}:{port}", self.url.host_str().unwrap_or_default()),
            (None, None) => self.url.host_str().unwrap_or_default().to_owned(),
        }
    }

    /// Whether the certificate must be for another host than the URL's.
    pub fn is_for_another_host(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        self.certificate_host() != host.trim_matches(['[', ']'])
    }
}

/// The body of a request.
pub enum Body {
    /// All of it. Empty: there is none.
    Whole(Bytes),
    /// In parts, and how many bytes they have together if that is known.
    Parts(Option<u64>, ByteStream),
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(formatter, "Whole({} bytes)", bytes.len()),
            Self::Parts(length, _) => write!(formatter, "Parts({length:?})"),
        }
    }
}

impl Body {
    /// A body in parts that are all there.
    pub fn parts(parts: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Self {
        Self::Parts(None, Box::pin(stream::iter(parts.into_iter().map(Ok))))
    }
}

/// What came back. Its body is still on the way.
pub struct Response {
    /// The status, also of a redirect.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ByteStream,
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// The whole body.
    ///
    /// # Errors
    ///
    /// Where the body ends too early or is too large.
    pub async fn bytes(mut self) -> Result<Vec<u8>, HttpError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.body.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole)
    }
}

/// What kept a request from being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request cannot be sent by anybody: its URL or a header is none.
    Request,
    /// The host has no address, or none was found out.
    Name,
    /// The address is none that may be connected to.
    Address,
    /// There was no connection: refused, unreachable.
    Connect,
    /// The certificate is not for this name, not trusted or not valid; or there was no handshake.
    /// Where the platform does not say so, this is [`Fault::Connect`].
    Tls,
    /// The time was up.
    Timeout,
    /// The body of the answer is larger than was asked for.
    TooLarge,
    /// The connection broke, or what came is not HTTP.
    Protocol,
}

/// A request that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct HttpError {
    /// What kind of failure.
    pub fault: Fault,
    /// What happened, for the log.
    pub detail: String,
}

impl HttpError {
    /// A failure.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into() }
    }

    /// Whether trying again may help, without anybody changing anything on purpose.
    pub fn may_pass(&self) -> bool {
        match self.fault {
            Fault::Request | Fault::Address | Fault::TooLarge => false,
            Fault::Name | Fault::Connect | Fault::Tls | Fault::Timeout | Fault::Protocol => true,
        }
    }

    /// Whether it is certain that the other server has not seen the request.
    pub fn is_unsent(&self) -> bool {
        match self.fault {
            Fault::Request | Fault::Name | Fault::Address | Fault::Connect | Fault::Tls => true,
            Fault::Timeout | Fault::TooLarge | Fault::Protocol => false,
        }
    }
}

impl From<NotPublic> for HttpError {
    fn from(error: NotPublic) -> Self {
        Self::new(Fault::Address, error.to_string())
    }
}

/// Sends requests to other servers.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends a request and gives the answer as soon as its headers are there.
    ///
    /// # Errors
    ///
    /// See [`Fault`]. A status such as 404 is an answer.
    async fn send(&self, request: Request) -> Result<Response, HttpError>;
}

/// A request in the form that libraries take, with its `Host` header. The URI is as it is sent: the
/// path and the query alone.
///
/// # Errors
///
/// [`Fault::Request`] where the URL or the server's name is none that HTTP can carry.
pub fn into_message(request: Request) -> Result<http::Request<Body>, HttpError> {
    let refused = |error: &dyn fmt::Display| HttpError::new(Fault::Request, error.to_string());
    let host = HeaderValue::try_from(request.host_header()).map_err(|error| refused(&error))?;
    let target = &request.url[Position::BeforePath..Position::AfterQuery];
    let mut message = http::Request::new(request.body);
    *message.method_mut() = request.method;
    *message.uri_mut() = target.parse().map_err(|error| refused(&error))?;
    *message.headers_mut() = request.headers;
    message.headers_mut().insert(header::HOST, host);
    Ok(message)
}

/// Headers that describe the connection or the body's length, and are the adapter's to write.
const OWN_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Checks what every adapter must refuse before it connects.
///
/// # Errors
///
/// [`Fault::Request`], or [`Fault::Address`] where the URL itself names an address that may not be
/// connected to. Host names are checked when they are resolved.
pub fn check(request: &Request) -> Result<(), HttpError> {
    let refused = |detail: String| Err(HttpError::new(Fault::Request, detail));
    let url = &request.url;
    if !matches!(url.scheme(), "https" | "http") {
        return refused(format!("{:?} is no scheme of HTTP", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("a URL with a user".to_owned());
    }
    if let Some(name) = OWN_HEADERS.iter().find(|it| request.headers.contains_key(*it)) {
        return refused(format!("the header {name} is not the request's to set"));
    }
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(request.addresses.check(address.into())?),
        Some(Host::Ipv6(address)) => Ok(request.addresses.check(address.into())?),
        Some(Host::Domain(name))
            if request.addresses == Addresses::Public && address::is_localhost(name) =>
        {
            Err(HttpError::new(Fault::Address, format!("{name} is this machine")))
        }
        Some(Host::Domain(_)) => Ok(()),
        None => refused("a URL without a host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Request {
        Request::new(Method::GET, url.parse().unwrap(), 1, Duration::from_secs(1))
    }

    #[test]
    fn a_request_that_nobody_may_send_is_refused() {
        let cases = [
            ("https://example.org/", None),
            ("http://example.org:1/", None),
            ("https://1.1.1.1/", None),
            ("ftp://example.org/", Some(Fault::Request)),
            ("data:text/plain,x", Some(Fault::Request)),
            ("https://user@example.org/", Some(Fault::Request)),
            ("https://user:pass@example.org/", Some(Fault::Request)),
            ("https://127.0.0.1/", Some(Fault::Address)),
            ("https://[::1]/", Some(Fault::Address)),
            ("https://[::ffff:10.0.0.1]/", Some(Fault::Address)),
            // Other spellings of addresses.
            ("https://127.1/", Some(Fault::Address)),
            ("https://2130706433/", Some(Fault::Address)),
            ("https://0x7f000001/", Some(Fault::Address)),
            ("https://LOCALHOST/", Some(Fault::Address)),
            ("https://a.localhost./", Some(Fault::Address)),
        ];
        for (url, expected) in cases {
            let fault = check(&request(url)).err().map(|it| it.fault);
            assert_eq!(fault, expected, "{url}");
        }
        let trusted = Request { addresses: Addresses::All, ..request("https://127.0.0.1/") };
        assert!(check(&trusted).is_ok());
        let mut named = request("https://example.org/");
        named.headers.insert(header::HOST, HeaderValue::from_static("x"));
        assert_eq!(check(&named).unwrap_err().fault, Fault::Request);
    }

    #[test]
    fn the_certificate_is_for_the_server_that_is_asked() {
        // URL, name, Host header, host of the certificate, another than the URL's.
        let cases = [
            ("https://A.example:8448/", None, "a.example:8448", "a.example", false),
            ("https://a.example:443/", None, "a.example", "a.example", false),
            ("https://[2606::1]:1/", None, "[2606::1]:1", "2606::1", false),
            ("https://a.example:8448/", Some("a.example"), "a.example", "a.example", false),
            ("https://b.example/", Some("A.example:1"), "A.example:1", "a.example", true),
            ("https://b.example/", Some("[2606::1]"), "[2606::1]", "2606::1", true),
        ];
        for (url, name, host, certificate, another) in cases {
            let mut request = request(url);
            request.server_name = name.map(|it| it.try_into().unwrap());
            assert_eq!(request.host_header(), host, "{url}");
            assert_eq!(request.certificate_host(), certificate, "{url}");
            assert_eq!(request.is_for_another_host(), another, "{url}");
        }
    }
}
