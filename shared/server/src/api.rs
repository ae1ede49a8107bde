//! The HTTP API: one router for every host.
//!
//! **Invariant:** handlers hold no state and no SQL; they ask objects and the global store and
//! answer with ruma's types. Paths and methods come from ruma's `METADATA`, never retyped.
//!
//! A host builds [`router`] once and puts a [`Cx`] into the extensions of every request:
//!
//! ```text
//! request.extensions_mut().insert(cx.clone());
//! request.extensions_mut().insert(ClientAddress::new("192.0.2.1")); // where it is known
//! let response = router.clone().oneshot(request).await;
//! ```
//!
//! How to add an endpoint: write `async fn` named as ruma names the endpoint, and name it in the
//! `routes` of its area. `mount` says what a handler looks like, `sender` what it may be given of
//! who sends a request.

mod access;
pub mod admin;
mod answer;
pub mod client;
mod counted;
pub mod federation;
mod input;
mod json;
mod limits;
mod many_users;
mod mount;
mod origin;
mod patched;
mod public_rooms;
mod remote;
mod sender;
mod sharing;
mod shown;
mod signers;
mod summary;
#[cfg(feature = "test-routes")]
mod test_routes;
mod verify;

use std::sync::Arc;

use axum::Router;
use http::Method;
use ruma::api::error::ErrorKind;

use self::mount::Routes;
pub use self::{
    counted::ClientAddress,
    input::{Client, MAX_BODY_BYTES, MAX_DRAINED_BYTES},
    json::MAX_JSON_DEPTH,
};
use crate::{
    Error,
    peers::{self, Peers},
    ports::Ports,
    server::Server,
};

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    /// The host.
    pub ports: Ports,
    /// This homeserver.
    pub server: Arc<Server>,
    /// What this process remembers of where other servers are.
    pub peers: Arc<peers::Memory>,
}

impl Cx {
    /// The way to other servers.
    fn peers(&self) -> Peers<'_> {
        Peers::of_ports(&self.ports, &self.server, &self.peers)
    }

    /// The URL by which clients reach this server: what the operator says. A server called
    /// `localhost` needs no such word: it is where the client found it.
    fn base_url(&self, client: &Client) -> Option<String> {
        match &self.server.config.public_base_url {
            Some(base_url) => Some(base_url.clone()),
            None if self.server.name.host() == "localhost" => {
                client.reached.as_ref().map(|it| format!("http://{it}"))
            }
            None => None,
        }
    }
}

/// The router of all APIs, without state: built once, used for every request.
pub fn router() -> Router {
    let routes = admin::routes(federation::routes(client::routes(Routes::default())));
    #[cfg(feature = "test-routes")]
    let routes = test_routes::routes(routes);
    let router = routes.router.fallback(not_found).method_not_allowed_fallback(wrong_method);
    // Says that no state is to come, so that handlers are made ready now and not for each request.
    router.with_state(())
}

/// Answers a request that does not come to the router, because the host has failed.
pub fn refuse(error: &Error) -> axum::response::Response {
    answer::refuse(error)
}

/// Answers a request whose target is no URL: two `Host` headers, `OPTIONS *`. For a host that has
/// URLs and not heads of requests.
pub fn no_url(is_preflight: bool) -> axum::response::Response {
    match is_preflight {
        true => answer::preflight(),
        false => answer::refuse(&no_target("what was asked for is no URL")),
    }
}

/// A request that does not say what it is for.
fn no_target(message: &'static str) -> Error {
    Error::with_status(http::StatusCode::BAD_REQUEST, ErrorKind::Unknown, message)
}

/// Answers a path nobody knows. `OPTIONS` is answered for every path, without any logic.
async fn not_found(method: Method) -> axum::response::Response {
    match method {
        Method::OPTIONS => answer::preflight(),
        _ => answer::refuse(&Error::api(ErrorKind::Unrecognized, "there is no such endpoint")),
    }
}

/// Answers a known path that was asked with another method.
async fn wrong_method(method: Method) -> axum::response::Response {
    let message = "this endpoint does not know this method";
    let status = http::StatusCode::METHOD_NOT_ALLOWED;
    match method {
        Method::OPTIONS => answer::preflight(),
        _ => answer::refuse(&Error::with_status(status, ErrorKind::Unrecognized, message)),
    }
}
