//! Endpoints mount themselves by the types of their handlers.
//!
//! A handler is an `async fn(Cx, S, R) -> Result<R::OutgoingResponse>`, or the same without `S`.
//! The request `R` says the method and every path (`r0`, `v3`, unstable, as ruma lists them), what
//! is in the path, the query and the body. The [`Sender`] `S` says what is asked of whoever sends
//! the request, and what the handler is given of them.
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
    Cx,
    access::Access,
    answer::{self, Buffered},
    input::Input,
    sender::Sender,
};
use crate::Result;

/// What mounts endpoints: axum's router.
pub(super) trait Mount: Sized {
    /// Mounts an endpoint.
    fn mount<Given, H: Handler<Given>>(self, handler: H) -> Self
    where
        Given: 'static;

    /// Mounts an endpoint whose last path argument may be empty: it is known without it too, with
    /// and without the slash before it (empty state keys).
    fn mount_with_empty_tail<Given, H: Handler<Given>>(self, handler: H) -> Self
    where
        Given: 'static;
}

impl Mount for Router {
    fn mount<Given, H: Handler<Given>>(self, handler: H) -> Self
    where
        Given: 'static,
    {
        routes(self, &Endpoint::new(handler), paths::<H::Request>(), false)
    }

    fn mount_with_empty_tail<Given, H: Handler<Given>>(self, handler: H) -> Self
    where
        Given: 'static,
    {
        let endpoint = Endpoint::new(handler);
        let paths = paths::<H::Request>();
        let without_tail = paths.iter().filter_map(|path| path.rsplit_once('/'));
        let without_tail = without_tail.flat_map(|(head, _)| [head.to_owned(), format!("{head}/")]);
        let without_tail = without_tail.collect();
        routes(routes(self, &endpoint, paths, false), &endpoint, without_tail, true)
    }
}

/// The function of an endpoint. `Given` is what it is given besides the [`Cx`]: it tells functions
/// of two arguments from those of three.
pub(super) trait Handler<Given>: Copy + Send + Sync + 'static {
    /// What it is given of who sends the request.
    type Sender: Sender;
    /// What it answers.
    type Request: IncomingRequest<OutgoingResponse: Send> + Send + 'static;

    /// Answers a request.
    fn handle(
        self,
        cx: Cx,
        sender: Self::Sender,
        request: Self::Request,
    ) -> impl Future<Output = Result<<Self::Request as IncomingRequest>::OutgoingResponse>> + Send;
}

impl<S, R, H, F> Handler<(S, R)> for H
where
    S: Sender,
    R: IncomingRequest<OutgoingResponse: Send> + Send + 'static,
    H: Fn(Cx, S, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    type Sender = S;
    type Request = R;

    fn handle(
        self,
        cx: Cx,
        sender: S,
        request: R,
    ) -> impl Future<Output = Result<R::OutgoingResponse>> + Send {
        self(cx, sender, request)
    }
}

impl<R, H, F> Handler<(R,)> for H
where
    R: IncomingRequest<OutgoingResponse: Send> + Send + 'static,
    H: Fn(Cx, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<R::OutgoingResponse>> + Send + 'static,
{
    type Sender = ();
    type Request = R;

    fn handle(
        self,
        cx: Cx,
        (): (),
        request: R,
    ) -> impl Future<Output = Result<R::OutgoingResponse>> + Send {
        self(cx, request)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Buffered>> + Send>>;

/// A handler without its types.
#[derive(Clone)]
struct Endpoint {
    filter: MethodFilter,
    access: Access,
    run: Arc<dyn Fn(Input) -> Answer + Send + Sync>,
}

impl Endpoint {
    fn new<Given: 'static, H: Handler<Given>>(handler: H) -> Self {
        let run = move |mut input: Input| async move {
            let sender = H::Sender::from_input(&mut input)?;
            let (cx, request) = input.parse::<H::Request>();
            match request {
                Ok(request) => answer::buffer(handler.handle(cx, sender, request).await?),
                Err(error) => Err(sender.refusal(&cx, error).await),
            }
        };
        Self {
            filter: method::<H::Request>(),
            access: H::Sender::ACCESS,
            run: Arc::new(move |input| Box::pin(run(input))),
        }
    }
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

fn routes(router: Router, endpoint: &Endpoint, paths: Vec<String>, empty_tail: bool) -> Router {
    paths.into_iter().fold(router, |router, path| {
        router.route(&path, method_router(endpoint.clone(), empty_tail))
    })
}

fn method_router(endpoint: Endpoint, empty_tail: bool) -> MethodRouter {
    on(endpoint.filter, async move |request: axum::extract::Request| {
        let result = match Input::read(request, endpoint.access, empty_tail).await {
            Ok(input) => (endpoint.run)(input).await,
            Err(error) => Err(error),
        };
        answer::answer(result)
    })
}

#[cfg(test)]
mod tests {
    use ruma::api::client::discovery::get_supported_versions::{Request, Response};

    use super::*;
    use crate::{
        api::{
            Client,
            access::{UncheckedToken, Verified},
        },
        messages::Caller,
    };

    #[test]
    fn arguments_are_named_by_their_position() {
        let path = "/_matrix/client/v3/profile/{user_id}/{field}";
        assert_eq!(positional(path), "/_matrix/client/v3/profile/{5}/{6}");
    }

    #[test]
    fn the_whole_router_can_be_built() {
        drop(super::super::router());
    }

    async fn given<S>(_: Cx, _: S, _: Request) -> Result<Response> {
        Ok(Response::new(Vec::new()))
    }

    async fn given_nothing(_: Cx, _: Request) -> Result<Response> {
        Ok(Response::new(Vec::new()))
    }

    #[test]
    fn what_a_handler_is_given_says_what_is_asked_of_the_sender() {
        fn access<Given: 'static>(handler: impl Handler<Given>) -> Access {
            Endpoint::new(handler).access
        }
        assert_eq!(access(given_nothing), Access::Anyone);
        assert_eq!(access(given::<Client>), Access::Anyone);
        assert_eq!(access(given::<Option<Caller>>), Access::Optional);
        assert_eq!(access(given::<Caller>), Access::Required);
        assert_eq!(access(given::<Verified>), Access::Account);
        assert_eq!(access(given::<UncheckedToken>), Access::Unchecked);
    }
}
