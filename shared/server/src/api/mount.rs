//! Endpoints mount themselves by the types of their handlers.
//!
//! A handler is an `async fn(Cx, S, R) -> Result<R::OutgoingResponse>`, or the same without `S`.
//! The request `R` says the method and every path (`r0`, `v3`, unstable, as ruma lists them), what
//! is in the path, the query and the body. The [`Sender`] `S` says what is asked of whoever sends
//! the request, and what the handler is given of them.
//!
//! User-interactive authentication is the body's `auth` field: see [`super::client::uiaa`].
//!
//! Before a handler runs, the sender was authenticated (another server: when the body was read,
//! since it signs the body too), then the request counted ([`limits`]; 429
//! `M_LIMIT_EXCEEDED`), then the body read and checked. What the
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
use futures_util::TryStreamExt as _;
use http::Method;
use ruma::api::{IncomingRequest, path_builder::PathBuilder as _};
use serde::Serialize;

use super::{
    Cx,
    answer::{self, Answer, Content, Pieces},
    input::{Gate, Input},
    limits,
    sender::Sender,
};
use crate::Result;

/// The endpoints that are mounted, and the list of them.
#[derive(Default)]
pub struct Routes {
    pub(super) router: Router,
    pub(super) mounted: Vec<Mounted>,
}

/// A method of a path that an endpoint answers. The arguments in the path have the names that ruma
/// gives them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mounted {
    method: String,
    path: String,
}

#[cfg(test)]
impl Mounted {
    /// Whether it is this method of such a path.
    pub(super) fn is(&self, method: &str, is_path: impl Fn(&str) -> bool) -> bool {
        self.method == method && is_path(&self.path)
    }
}

impl Routes {
    /// Mounts an endpoint.
    pub(super) fn mount<Given: 'static, H: Handler<Given>>(self, handler: H) -> Self {
        self.add(&Endpoint::new(handler), paths::<H::Request>(), false)
    }

    /// Mounts an endpoint whose answer may be too large to be held.
    pub(super) fn mount_streaming<Given, H: StreamingHandler<Given>>(self, handler: H) -> Self
    where
        Given: 'static,
    {
        self.add(&Endpoint::streaming(handler), paths::<H::Request>(), false)
    }

    /// Mounts an endpoint whose last path argument may be empty: it is known without it too, with
    /// and without the slash before it (empty state keys).
    pub(super) fn mount_with_empty_tail<Given, H: Handler<Given>>(self, handler: H) -> Self
    where
        Given: 'static,
    {
        let endpoint = Endpoint::new(handler);
        let paths = paths::<H::Request>();
        let without_tail = paths.iter().filter_map(|path| path.rsplit_once('/'));
        let without_tail = without_tail.flat_map(|(head, _)| [head.to_owned(), format!("{head}/")]);
        let without_tail = without_tail.collect();
        self.add(&endpoint, paths, false).add(&endpoint, without_tail, true)
    }

    fn add(self, endpoint: &Endpoint, paths: Vec<String>, empty_tail: bool) -> Self {
        paths.into_iter().fold(self, |Self { router, mut mounted }, path| {
            let answer = method_router(endpoint.clone(), empty_tail);
            let router = router.route(&positional(&path), answer);
            mounted.push(Mounted { method: endpoint.method.to_string(), path });
            Self { router, mounted }
        })
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

/// The function of an endpoint whose answer goes out in pieces.
pub(super) trait StreamingHandler<Given>: Copy + Send + Sync + 'static {
    /// What it is given of who sends the request.
    type Sender: Sender;
    /// What it answers.
    type Request: IncomingRequest + Send + 'static;

    /// Answers a request: with JSON that is what the request's response is.
    fn handle(
        self,
        cx: Cx,
        sender: Self::Sender,
        request: Self::Request,
    ) -> impl Future<Output = Result<Pieces>> + Send;
}

impl<S, R, H, F> StreamingHandler<(S, R)> for H
where
    S: Sender,
    R: IncomingRequest + Send + 'static,
    H: Fn(Cx, S, R) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<Pieces>> + Send + 'static,
{
    type Sender = S;
    type Request = R;

    fn handle(self, cx: Cx, sender: S, request: R) -> impl Future<Output = Result<Pieces>> + Send {
        self(cx, sender, request)
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

/// A handler without its types.
#[derive(Clone)]
struct Endpoint {
    method: Method,
    gate: Gate,
    run: Arc<dyn Fn(Input) -> Answering + Send + Sync>,
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
        Self::running::<H::Sender, H::Request>(Arc::new(move |input| Box::pin(run(input))))
    }

    fn streaming<Given: 'static, H: StreamingHandler<Given>>(handler: H) -> Self {
        let run = move |mut input: Input| async move {
            let sender = H::Sender::from_input(&mut input)?;
            let (cx, request) = input.parse::<H::Request>();
            match request {
                Ok(request) => Ok(answer::stream(handler.handle(cx, sender, request).await?)),
                Err(error) => Err(sender.refusal(&cx, error).await),
            }
        };
        Self::running::<H::Sender, H::Request>(Arc::new(move |input| Box::pin(run(input))))
    }

    fn running<S: Sender, R: IncomingRequest>(
        run: Arc<dyn Fn(Input) -> Answering + Send + Sync>,
    ) -> Self {
        let (method, access) = (R::METHOD, S::ACCESS);
        let buckets = limits::buckets(&method, &paths::<R>(), access);
        Self { method, gate: Gate { access, buckets }, run }
    }

    /// Answers a request that was let in, and charges for the answer.
    async fn answer(&self, mut input: Input) -> Result<Answer> {
        let payer = input.payer.take();
        let answer = (self.run)(input).await?;
        let Some(payer) = payer else { return Ok(answer) };
        Ok(answer.map(|content| match content {
            Content::Whole(bytes) => {
                payer.charge(bytes.len());
                Content::Whole(bytes)
            }
            Content::Pieces(pieces) => {
                Content::Pieces(Box::pin(pieces.inspect_ok(move |it| payer.charge(it.len()))))
            }
        }))
    }
}

/// The paths of an endpoint.
fn paths<R: IncomingRequest>() -> Vec<String> {
    let mut paths: Vec<_> = R::PATH_BUILDER.all_paths().map(ToOwned::to_owned).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// A path whose arguments are named by their position: endpoints that share a path need not agree
/// on names.
fn positional(path: &str) -> String {
    let segments = path.split('/').enumerate().map(|(index, segment)| match segment {
        _ if segment.starts_with('{') => format!("{{{index}}}"),
        _ => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[expect(clippy::expect_used, reason = "runs when the router is built, which a test does")]
fn method_router(endpoint: Endpoint, empty_tail: bool) -> MethodRouter {
    // The methods of ruma's endpoints are plain HTTP methods.
    let filter = MethodFilter::try_from(endpoint.method.clone()).expect("a method axum knows");
    on(filter, async move |request: axum::extract::Request| {
        let result = match Input::read(request, endpoint.gate, empty_tail).await {
            Ok(input) => endpoint.answer(input).await,
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
            access::{Access, UncheckedToken, Verified},
            origin::Origin,
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
            Endpoint::new(handler).gate.access
        }
        assert_eq!(access(given_nothing), Access::Anyone);
        assert_eq!(access(given::<Client>), Access::Anyone);
        assert_eq!(access(given::<Option<Caller>>), Access::Optional);
        assert_eq!(access(given::<Caller>), Access::Required);
        assert_eq!(access(given::<Verified>), Access::Account);
        assert_eq!(access(given::<UncheckedToken>), Access::Unchecked);
        assert_eq!(access(given::<Origin>), Access::Server);
    }
}
