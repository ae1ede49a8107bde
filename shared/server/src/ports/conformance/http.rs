//! What every HTTP adapter must keep, tried against a site that the host's tests serve.
//!
//! | request | what the site does |
//! |---|---|
//! | `/echo` | 200, `Echo: one` and `Echo: two`; the request as JSON (below) |
//! | `/missing` | 404, body `missing` |
//! | `/redirect` | 302, `Location: /echo` |
//! | `/count` | 200, JSON: `bytes` of the request's body, and their `sum` modulo 2³² |
//! | `/bytes/{n}` | 200, `Content-Length`, byte number i is i modulo 251 |
//! | `/chunks/{n}` | the same, in chunks |
//! | `/cut/{n}` | `Content-Length: {n}`, half of it, and then the connection is closed |
//! | `/cut-chunks/{n}` | half of it in chunks, and then the connection is closed |
//! | `/trickle` | 200, for ever one byte in 20 ms, in chunks |
//! | `/silent` | accepts the request and never answers |
//! | `/nonsense` | answers what is not HTTP |
//!
//! The JSON of `/echo` has `method`, `path` (with its query), `host`, and `headers`: for each name
//! in lower case the list of its values.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use ruma::OwnedServerName;
use serde::Deserialize;
use serde_json::Value as JsonValue;
use url::Url;

use super::{ensure, equal};
use crate::{
    Error, Result,
    ports::http::{Addresses, Body, Fault, Http, HttpError, Request, Response},
};

/// Where the site is served.
#[derive(Clone, Debug, Deserialize)]
pub struct Site {
    /// Without TLS, at a loopback address.
    pub plain: Url,
    /// With TLS, by a certificate of an authority that is trusted, for the host of this URL.
    pub secure: Url,
    /// Another name that the certificate of `secure` is for, and that DNS does not know.
    pub name: OwnedServerName,
    /// With TLS, by a certificate of an authority that nobody knows.
    pub untrusted: Url,
    /// Nobody listens here.
    pub closed: Url,
}

/// What an adapter need not do.
#[derive(Clone, Copy, Debug)]
pub struct Without {
    /// Tell a handshake that failed from a connection that was refused: the `fetch` of the edge has
    /// the same words for both.
    pub reasons: bool,
}

/// Time for what must be answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for what must not be answered in time.
const IMPATIENCE: Duration = Duration::from_millis(300);
/// Bytes of a body that is large.
const LARGE: usize = 3_000_000;

/// Runs the whole suite.
///
/// # Errors
///
/// The first promise that is broken.
pub async fn run(http: &dyn Http, site: &Site, without: Without) -> Result<()> {
    let ways = [
        ("plain", Way { base: &site.plain, name: None }),
        ("secure", Way { base: &site.secure, name: None }),
        ("secure, by another name", Way { base: &site.secure, name: Some(&site.name) }),
    ];
    for (title, way) in ways {
        let kept = over(http, way).await;
        kept.map_err(|error| Error::internal(format!("{title}: {}", cause(&error))))?;
    }
    let ways: &[_] = match without.reasons {
        true => &[Fault::Tls, Fault::Connect],
        false => &[Fault::Tls],
    };
    a_certificate_is_for_the_name_that_is_asked(http, site, ways).await?;
    a_closed_port_is_no_connection(http, site).await?;
    private_addresses_are_refused(http, site).await
}

/// One way to the site.
#[derive(Clone, Copy)]
struct Way<'a> {
    base: &'a Url,
    name: Option<&'a OwnedServerName>,
}

impl Way<'_> {
    fn request(self, path: &str) -> Result<Request> {
        let url = self.base.join(path).map_err(Error::internal)?;
        let mut request = Request::new(Method::GET, url, 10_000_000, PATIENCE);
        request.addresses = Addresses::All;
        request.server_name = self.name.cloned();
        Ok(request)
    }
}

async fn over(http: &dyn Http, way: Way<'_>) -> Result<()> {
    headers_go_both_ways(http, way).await?;
    a_status_is_an_answer(http, way).await?;
    redirects_are_not_followed(http, way).await?;
    a_large_body_goes_out(http, way).await?;
    a_large_body_comes_in(http, way).await?;
    the_limit_of_an_answer_is_kept_while_it_comes(http, way).await?;
    the_time_is_up_before_the_headers(http, way).await?;
    the_time_is_up_within_a_body_that_trickles(http, way).await?;
    a_body_that_is_cut_is_an_error(http, way).await?;
    what_is_not_http_is_an_error(http, way).await?;
    many_requests_go_at_once(http, way).await
}

/// What was wrong, for people.
fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn failed(promise: &str) -> impl FnOnce(HttpError) -> Error {
    move |error| Error::internal(format!("{promise}: {:?}: {error}", error.fault))
}

async fn answer(http: &dyn Http, request: Request, promise: &str) -> Result<Response> {
    http.send(request).await.map_err(failed(promise))
}

async fn json(http: &dyn Http, request: Request, promise: &str) -> Result<JsonValue> {
    let response = answer(http, request, promise).await?;
    let body = response.bytes().await.map_err(failed(promise))?;
    serde_json::from_slice(&body).map_err(Error::internal)
}

/// A request fails in one of these ways, whether before or within its answer's body.
async fn fails(http: &dyn Http, request: Request, ways: &[Fault], promise: &str) -> Result<()> {
    let whole = match http.send(request).await {
        Ok(response) => response.bytes().await.map(|_| ()),
        Err(error) => Err(error),
    };
    match whole {
        Err(error) if ways.contains(&error.fault) => Ok(()),
        Err(error) => Err(failed(promise)(error)),
        Ok(()) => Err(Error::internal(format!("{promise}: it did not fail"))),
    }
}

async fn headers_go_both_ways(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let promise = "headers go both ways";
    let mut request = way.request("/echo?a=%2F&b=c%20d")?;
    request.method = Method::PUT;
    let host = request.host_header();
    request.headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_static("X-Matrix origin=\"a\",key=\"ed25519:1\",sig=\"x+/\""),
    );
    request
        .headers
        .insert(HeaderName::from_static("x-skerry"), HeaderValue::from_static("one, two; \"x\""));
    request.body = Body::Whole(Bytes::from_static(b"{}"));
    let response = answer(http, request, promise).await?;
    equal(&response.status, &StatusCode::OK, promise)?;
    let echoed: Vec<_> = response.headers.get_all("echo").iter().collect();
    let echoed = echoed.iter().filter_map(|it| it.to_str().ok()).collect::<Vec<_>>().join(", ");
    equal(&echoed.as_str(), &"one, two", "every value of a header comes back")?;
    let body = response.bytes().await.map_err(failed(promise))?;
    let echo: JsonValue = serde_json::from_slice(&body).map_err(Error::internal)?;
    let header = |name: &str| echo.pointer(&format!("/headers/{name}/0")).cloned();
    equal(&echo.get("method").cloned(), &Some("PUT".into()), "the method arrives")?;
    let path = echo.get("path").cloned();
    equal(&path, &Some("/echo?a=%2F&b=c%20d".into()), "path and query arrive as they are")?;
    let authorization = "X-Matrix origin=\"a\",key=\"ed25519:1\",sig=\"x+/\"";
    equal(&header("authorization"), &Some(authorization.into()), promise)?;
    equal(&header("x-skerry"), &Some("one, two; \"x\"".into()), promise)?;
    equal(&echo.get("host").cloned(), &Some(host.into()), "the Host header is the server's name")
}

async fn a_status_is_an_answer(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let promise = "404 is an answer";
    let response = answer(http, way.request("/missing")?, promise).await?;
    equal(&response.status, &StatusCode::NOT_FOUND, promise)?;
    equal(&response.bytes().await.map_err(failed(promise))?, &b"missing".to_vec(), promise)
}

async fn redirects_are_not_followed(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let promise = "redirects are not followed";
    let response = answer(http, way.request("/redirect")?, promise).await?;
    equal(&response.status, &StatusCode::FOUND, promise)?;
    let location = response.headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
    equal(&location, &Some("/echo"), "the place that a redirect names is given")
}

/// Byte number i of a body.
fn pattern(length: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(length).collect()
}

async fn a_large_body_goes_out(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let whole = pattern(LARGE);
    let sum = whole.iter().fold(0_u32, |sum, it| sum.wrapping_add(u32::from(*it)));
    let parts: Vec<_> = whole.chunks(10_000).map(Bytes::copy_from_slice).collect();
    let known = match Body::parts(parts.clone()) {
        Body::Parts(_, stream) => Body::Parts(u64::try_from(LARGE).ok(), stream),
        whole @ Body::Whole(_) => whole,
    };
    let bodies = [Body::Whole(whole.into()), Body::parts(parts), known];
    for body in bodies {
        let mut request = way.request("/count")?;
        request.method = Method::PUT;
        request.body = body;
        let counted = json(http, request, "a large body goes out").await?;
        let bytes = counted.get("bytes").and_then(JsonValue::as_u64);
        equal(&bytes, &u64::try_from(LARGE).ok(), "every byte of a body goes out")?;
        let found = counted.get("sum").and_then(JsonValue::as_u64);
        equal(&found, &Some(u64::from(sum)), "the bytes of a body stay what they are")?;
    }
    Ok(())
}

async fn a_large_body_comes_in(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let promise = "a large body comes in";
    for path in ["bytes", "chunks"] {
        for length in [0, 1, LARGE] {
            let mut request = way.request(&format!("/{path}/{length}"))?;
            request.max_answer_bytes = u64::try_from(length).unwrap_or(0);
            let response = answer(http, request, promise).await?;
            let body = response.bytes().await.map_err(failed(promise))?;
            ensure(body == pattern(length), "every byte of an answer comes in")?;
        }
    }
    Ok(())
}

async fn the_limit_of_an_answer_is_kept_while_it_comes(
    http: &dyn Http,
    way: Way<'_>,
) -> Result<()> {
    let promise = "an answer that is too large ends as an error";
    for path in ["/bytes/100000", "/chunks/100000", "/trickle"] {
        let mut request = way.request(path)?;
        request.max_answer_bytes = 2;
        fails(http, request, &[Fault::TooLarge], promise).await?;
    }
    Ok(())
}

async fn the_time_is_up_before_the_headers(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let mut request = way.request("/silent")?;
    request.timeout = IMPATIENCE;
    let promise = "a server that does not answer is not waited for longer than the request says";
    fails(http, request, &[Fault::Timeout], promise).await
}

async fn the_time_is_up_within_a_body_that_trickles(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let mut request = way.request("/trickle")?;
    request.timeout = IMPATIENCE;
    let promise = "a body that trickles ends when the time is up";
    fails(http, request, &[Fault::Timeout], promise).await
}

async fn a_body_that_is_cut_is_an_error(http: &dyn Http, way: Way<'_>) -> Result<()> {
    for path in ["/cut/1000", "/cut-chunks/1000"] {
        let promise = "a body that is cut is not taken for a whole one";
        fails(http, way.request(path)?, &[Fault::Protocol], promise).await?;
    }
    Ok(())
}

async fn what_is_not_http_is_an_error(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let promise = "an answer that is not HTTP is an error";
    fails(http, way.request("/nonsense")?, &[Fault::Protocol, Fault::Connect], promise).await
}

async fn many_requests_go_at_once(http: &dyn Http, way: Way<'_>) -> Result<()> {
    let requests = (0..20).map(async |_| {
        let promise = "many requests go at once";
        let response = answer(http, way.request("/chunks/10000")?, promise).await?;
        let body = response.bytes().await.map_err(failed(promise))?;
        ensure(body == pattern(10_000), "requests do not get each other's answers")
    });
    let done = futures_util::future::join_all(requests).await;
    done.into_iter().collect()
}

async fn a_certificate_is_for_the_name_that_is_asked(
    http: &dyn Http,
    site: &Site,
    ways: &[Fault],
) -> Result<()> {
    let stranger: OwnedServerName = "stranger.invalid".try_into().map_err(Error::internal)?;
    let another = Way { base: &site.secure, name: Some(&stranger) };
    let promise = "a certificate for another name is refused";
    fails(http, another.request("/echo")?, ways, promise).await?;
    for name in [None, Some(&site.name)] {
        let untrusted = Way { base: &site.untrusted, name };
        let promise = "a certificate of an unknown authority is refused";
        fails(http, untrusted.request("/echo")?, ways, promise).await?;
    }
    Ok(())
}

async fn a_closed_port_is_no_connection(http: &dyn Http, site: &Site) -> Result<()> {
    for name in [None, Some(&site.name)] {
        let closed = Way { base: &site.closed, name };
        let promise = "where nobody listens there is no connection";
        fails(http, closed.request("/echo")?, &[Fault::Connect], promise).await?;
    }
    Ok(())
}

async fn private_addresses_are_refused(http: &dyn Http, site: &Site) -> Result<()> {
    for (base, name) in [
        (&site.plain, None),
        (&site.secure, None),
        (&site.plain, Some(&site.name)),
        (&site.secure, Some(&site.name)),
    ] {
        let mut request = Way { base, name }.request("/echo")?;
        request.addresses = Addresses::Public;
        let promise = "an address that is not public is not connected to";
        fails(http, request, &[Fault::Address], promise).await?;
    }
    Ok(())
}
