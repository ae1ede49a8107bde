//! Requests to other servers.
//!
//! The platform's `fetch` connects to the host that the certificate is for. Where a server is found
//! under another name, a TCP socket is opened to it and HTTP is spoken on that.
//!
//! Names are resolved by the platform, which does not connect Workers to addresses that are not
//! public; workerd does so only where its configuration says so. What is checked here is what a URL
//! says by itself.

mod fetch;
mod socket;
mod timer;

use async_trait::async_trait;
use skerry::ports::http::{self as port, Fault, Http, HttpError, Request, Response};
use worker::send::SendFuture;

/// Sends requests.
#[derive(Clone, Copy)]
pub(crate) struct EdgeHttp;

#[async_trait]
impl Http for EdgeHttp {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        port::check(&request)?;
        match request.is_for_another_host() {
            true => SendFuture::new(socket::send(request)).await,
            false => SendFuture::new(fetch::send(request)).await,
        }
    }
}

/// What the platform says in words, as a failure; `otherwise` where the words do not tell.
fn failure(words: &str, otherwise: Fault) -> HttpError {
    let has = |any: &[&str]| any.iter().any(|it| words.contains(it));
    let fault = if has(&["TLS", "certificate"]) {
        Fault::Tls
    } else if has(&["DNS", "resolve"]) {
        Fault::Name
    } else if has(&["refused", "not permitted"]) {
        Fault::Connect
    } else {
        otherwise
    };
    HttpError::new(fault, words)
}
