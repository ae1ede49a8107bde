//! Requests from outside, to the router and back.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _, to_bytes},
};
use futures_util::TryStreamExt as _;
use http::{HeaderName, HeaderValue, StatusCode};
use ruma::api::error::ErrorKind;
use skerry::{
    Error, Result,
    api::{self, ClientAddress, Cx},
    objects::absent_rooms::{AbsentRooms, WithAbsentRooms},
    ports::Ports,
};
use tower::ServiceExt as _;
use worker::{Env, Headers, Method, Request, Response};

use crate::{
    body,
    d1::D1,
    dns::EdgeDns,
    http::EdgeHttp,
    js::map_worker_error,
    limits::{Charges, EdgeLimiter},
    machine::{EdgeClock, EdgeRandom},
    objects::EdgeObjects,
    server, sessions,
};

/// The largest answer that is no stream.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The header in which the platform names the client's address.
const CLIENT_ADDRESS: &str = "CF-Connecting-IP";

thread_local! {
    // Building it costs more than a request.
    static ROUTER: Router = api::router();
    // All requests of the isolate share them.
    static ABSENT_ROOMS: Arc<AbsentRooms> = Arc::default();
}

/// Answers a request.
pub(crate) async fn answer(request: Request, env: &Env) -> worker::Result<Response> {
    let answer = match serve(request, env).await {
        Ok(answer) => Ok(answer),
        Err(error) => to_platform(api::refuse(&refusal(error))).await,
    };
    answer.map_err(|error| worker::Error::RustError(error.to_string()))
}

async fn serve(request: Request, env: &Env) -> Result<Response> {
    let address = request.headers().get(CLIENT_ADDRESS).ok().flatten();
    let Some(mut request) = from_platform(&request) else {
        return to_platform(api::no_url(request.method() == Method::Options)).await;
    };
    let cx = cx(env).await?;
    request.extensions_mut().insert(cx);
    if let Some(address) = address {
        request.extensions_mut().insert(ClientAddress::new(&address));
    }
    let router = ROUTER.with(Clone::clone);
    let Ok(response) = router.oneshot(request).await;
    to_platform(response).await
}

async fn cx(env: &Env) -> Result<Cx> {
    let global = Arc::new(D1::new(env.clone()));
    let server = server::for_api(&*global, env).await?;
    let limits = sessions::limits_of_this_isolate(&server.config.rate_limits);
    let clock = Arc::new(EdgeClock);
    let absent = ABSENT_ROOMS.with(Arc::clone);
    let charges = Charges::default();
    let objects = EdgeObjects::new(env.clone(), charges.clone());
    let objects = WithAbsentRooms::new(objects, absent, clock.clone());
    let ports = Ports {
        global,
        sessions: sessions::of_this_isolate(),
        filters: sessions::filters_of_this_isolate(),
        keys: sessions::keys_of_this_isolate(),
        limiter: Arc::new(EdgeLimiter::new(limits, env.clone(), charges)),
        objects: Arc::new(objects),
        clock,
        random: Arc::new(EdgeRandom),
        http: Arc::new(EdgeHttp),
        dns: Arc::new(EdgeDns::new(env.clone())),
    };
    Ok(Cx { ports, server, peers: sessions::peers_of_this_isolate() })
}

/// The request for the router; none where the URL is one only to the platform.
fn from_platform(request: &Request) -> Option<http::Request<Body>> {
    let mut parts = http::Request::builder()
        .method(request.inner().method().as_str())
        .uri(request.inner().url())
        .body(body::of(request))
        .ok()?;
    for (name, value) in request.headers().entries() {
        // One that does not fit is none that anybody here reads.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            parts.headers_mut().append(name, value);
        }
    }
    Some(parts)
}

/// An answer is complete before it goes out, since a stream would be half as fast: but for one that
/// may be too large to be held.
async fn to_platform(response: axum::response::Response) -> Result<Response> {
    let (parts, body) = response.into_parts();
    let headers = Headers::from(&parts.headers);
    let builder = Response::builder().with_status(parts.status.as_u16()).with_headers(headers);
    if body.size_hint().exact().is_none() {
        let pieces = body.into_data_stream().map_ok(Vec::from);
        let pieces = pieces.map_err(|error| worker::Error::RustError(error.to_string()));
        return builder.from_stream(pieces).map_err(map_worker_error);
    }
    let body = to_bytes(body, MAX_ANSWER_BYTES).await.map_err(Error::internal)?;
    // An answer such as 204 must not have a body, not even an empty one.
    Ok(match body.is_empty() {
        true => builder.empty(),
        false => builder.fixed(Bytes::into(body)),
    })
}

/// What goes out when the router could not be reached.
fn refusal(error: Error) -> Error {
    match &error {
        Error::Internal(source) if source.to_string().contains("no such table") => {
            let message =
                "the database has no tables yet: run `npx wrangler d1 migrations apply DB`";
            tracing::error!(message);
            Error::with_status(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, message)
        }
        _ => error,
    }
}
