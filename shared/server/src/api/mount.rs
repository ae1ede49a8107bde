//! Endpoints mount themselves by the type of their request.
//!
//! The request's type says all: the method and every path (`r0`, `v3`, unstable, as ruma lists
//! them), what is in the path, the query and the body. What a handler is given besides decides
//! which function mounts it:
//!
//! | function | handler |
//! |---|---|
//! | [`authenticated`] | `async fn(Cx, Caller, R) -> Result<R::OutgoingResponse>` |
//! | [`authenticated_with_empty_tail`] | the same, the last path argument may be left out |
//! | [`session`] | `async fn(Cx, Session, R) -> …`: the token itself matters |
//! | [`account`] | `async fn(Cx, Caller, R) -> …`: the account is changed |
//! | [`unchecked`] | `async fn(Cx, UncheckedToken, R) -> …`: the user's object checks the token |
//! | [`optional`] | `async fn(Cx, Option<Caller>, R) -> …` |
//! | [`open`] | `async fn(Cx, R) -> …`: a token is not looked at |
//! | [`open_to_client`] | `async fn(Cx, Client, R) -> …`: address and user agent matter |
//!
//! User-interactive authentication is the body's `auth` field: see [`super::client::uiaa`].
//!
//! Before a handler runs, the sender was authenticated, then the body read and checked. What the
//! client got wrong is refused here: no or a wrong token (401 `M_MISSING_TOKEN`,
//! `M_UNKNOWN_TOKEN`), too large (413 `M_TOO_LARGE`), no JSON (`M_NOT_JSON`), no object, too deep
//! or of the wrong types (`M_BAD_JSON`), a missing field or query parameter (`M_MISSING_PARAM`), a
//! path argument or query parameter that does not parse (`M_INVALID_PARAM`).
//!
//! Handlers are erased to one function type, so that the machinery is compiled once and not once
//! per endpoint.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    Router,
    routing::{MethodFilter, MethodRouter, on},
};
use ruma::api::{IncomingRequest, path_builder::PathBuilder as _};

use super::{
    Client, Cx, Session,
    access::{Access, UncheckedToken},
    answer::{self, Buffered},
    input::Input,
};
use crate::{Error, Result, messages::Caller};

/// Mounts an endpoint that needs an access token.
pub fn authenticated<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Caller, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    session(router, move |cx, session: Session, request| handler(cx, session.caller, request))
}

/// Mounts an endpoint that needs an access token and whose last path argument may be empty: it
/// is known without it too, with and without the slash before it (empty state keys).
pub fn authenticated_with_empty_tail<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Caller, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    let endpoint =
        with_session(move |cx, session: Session, request| handler(cx, session.caller, request));
    let filter = method::<R>();
    let with_tail = routes(router, filter, paths::<R>(), Access::Required, false, &endpoint);
    let without_tail = paths::<R>().into_iter().filter_map(|path| {
        let (head, _) = path.rsplit_once('/')?;
        Some([head.to_owned(), format!("{head}/")])
    });
    let without_tail = without_tail.flatten().collect();
    routes(with_tail, filter, without_tail, Access::Required, true, &endpoint)
}

/// Mounts an endpoint that needs an access token and works on that token.
pub fn session<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Session, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    let endpoint = with_session(handler);
    routes(router, method::<R>(), paths::<R>(), Access::Required, false, &endpoint)
}

/// Mounts an endpoint that changes the account or says what its token is: the token is checked
/// by the user's object for every request.
pub fn account<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Caller, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    let endpoint =
        with_session(move |cx, session: Session, request| handler(cx, session.caller, request));
    routes(router, method::<R>(), paths::<R>(), Access::Account, false, &endpoint)
}

/// Mounts an endpoint that needs an access token and hands it to the user's object, which checks
/// it with what it is asked anyway: one request at the edge and not two.
pub fn unchecked<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, UncheckedToken, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    let endpoint = erase(move |input| async move {
        let token = input.unchecked_token()?;
        let cx = input.cx.clone();
        match input.parse::<R>() {
            Ok((cx, _, _, request)) => handler(cx, token, request).await,
            Err(error) => {
                // Who has no session learns nothing else.
                token.check(&cx, true).await?;
                Err(error)
            }
        }
    });
    routes(router, method::<R>(), paths::<R>(), Access::Unchecked, false, &endpoint)
}

/// Mounts an endpoint that looks at an access token when there is one.
pub fn optional<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Option<Caller>, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    let endpoint = erase(move |input| async move {
        let (cx, session, _, request) = input.parse::<R>()?;
        handler(cx, session.map(|it| it.caller), request).await
    });
    routes(router, method::<R>(), paths::<R>(), Access::Optional, false, &endpoint)
}

/// Mounts an endpoint that is open to anyone.
pub fn open<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    open_to_client(router, move |cx, _, request| handler(cx, request))
}

/// Mounts an endpoint that is open to anyone and wants to know where the request comes from.
pub fn open_to_client<R, H, F>(router: Router, handler: H) -> Router
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Client, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    let endpoint = erase(move |input| async move {
        let (cx, _, client, request) = input.parse::<R>()?;
        handler(cx, client, request).await
    });
    routes(router, method::<R>(), paths::<R>(), Access::Anyone, false, &endpoint)
}

type Answer = Pin<Box<dyn Future<Output = Result<Buffered>> + Send>>;
type Endpoint = Arc<dyn Fn(Input) -> Answer + Send + Sync>;

fn with_session<R, H, F>(handler: H) -> Endpoint
where
    R: IncomingRequest + Send + 'static,
    R::OutgoingResponse: Send,
    H: Fn(Cx, Session, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    erase(move |input| async move {
        let (cx, session, _, request) = input.parse::<R>()?;
        let session = session.ok_or_else(|| Error::internal("let in without a session"))?;
        handler(cx, session, request).await
    })
}

fn erase<O, H, F>(handler: H) -> Endpoint
where
    O: ruma::api::OutgoingResponse + Send,
    H: Fn(Input) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<O>> + Send + 'static,
{
    Arc::new(move |input| Box::pin(async move { answer::buffer(handler(input).await?) }))
}

/// The methods of ruma's endpoints are plain HTTP methods.
#[expect(clippy::expect_used, reason = "runs when the router is built, which a test does")]
fn method<R: IncomingRequest>() -> MethodFilter {
    MethodFilter::try_from(R::METHOD).expect("a method axum knows")
}

/// The paths of an endpoint, with arguments named by their position: endpoints that share a path
/// need not agree on names.
fn paths<R: IncomingRequest>() -> Vec<String> {
    let mut paths: Vec<_> = R::PATH_BUILDER.all_paths().map(positional).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn positional(path: &str) -> String {
    let segments = path.split('/').enumerate().map(|(index, segment)| match segment {
        _ if segment.starts_with('{') => format!("{{{index}}}"),
        _ => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

fn routes(
    router: Router,
    filter: MethodFilter,
    paths: Vec<String>,
    access: Access,
    empty_tail: bool,
    endpoint: &Endpoint,
) -> Router {
    let route = |router: Router, path: String| {
        router.route(&path, serve(filter, access, empty_tail, endpoint.clone()))
    };
    paths.into_iter().fold(router, route)
}

fn serve(
    filter: MethodFilter,
    access: Access,
    empty_tail: bool,
    endpoint: Endpoint,
) -> MethodRouter {
    on(filter, async move |request: axum::extract::Request| {
        let result = match Input::read(request, access, empty_tail).await {
            Ok(input) => endpoint(input).await,
            Err(error) => Err(error),
        };
        answer::answer(result)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_named_by_their_position() {
        let path = "/_matrix/client/v3/profile/{user_id}/{field}";
        assert_eq!(positional(path), "/_matrix/client/v3/profile/{5}/{6}");
    }

    #[test]
    fn the_whole_router_can_be_built() {
        drop(super::super::router());
    }
}
