//! Typing notifications ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#typing-notifications

use axum::Router;
use ruma::api::{
    IncomingRequest, Metadata,
    client::typing::create_typing_event::{self, v3::Typing},
    error::DeserializationError,
};
use serde_json::{Map as JsonMap, Value as JsonValue};

use super::{
    super::{Cx, mount},
    account_data::check_own,
};
use crate::{
    Result,
    messages::{Caller, room::SetTyping},
};

/// How long somebody types who does not say it: the specification does not require it, ruma does.
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    mount::authenticated(router, create_typing_event)
}

/// `PUT /_matrix/client/*/rooms/{roomId}/typing/{userId}`
pub async fn create_typing_event(
    cx: Cx,
    caller: Caller,
    TypingRequest(request): TypingRequest,
) -> Result<create_typing_event::v3::Response> {
    check_own(&caller, &request.user_id)?;
    // The room has a limit of its own on how long it believes this.
    let typing_for_ms = match request.state {
        Typing::No => None,
        Typing::Yes(info) => Some(u64::try_from(info.timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    let question = SetTyping { user_id: caller.user_id, typing_for_ms };
    cx.ports.objects.ask(&*request.room_id, question).await?;
    Ok(create_typing_event::v3::Response::new())
}

/// ruma's request, with a timeout where the client gave none.
pub struct TypingRequest(create_typing_event::v3::Request);

impl Metadata for TypingRequest {
    const METHOD: http::Method = create_typing_event::v3::Request::METHOD;
    const RATE_LIMITED: bool = create_typing_event::v3::Request::RATE_LIMITED;
    type Authentication = <create_typing_event::v3::Request as Metadata>::Authentication;
    type PathBuilder = <create_typing_event::v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = create_typing_event::v3::Request::PATH_BUILDER;
}

impl IncomingRequest for TypingRequest {
    type EndpointError = <create_typing_event::v3::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = create_typing_event::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (parts, body) = request.into_parts();
        let mut body: JsonMap<String, JsonValue> = serde_json::from_slice(body)?;
        body.entry("timeout").or_insert(DEFAULT_TIMEOUT_MS.into());
        let body = serde_json::to_vec(&body)?;
        let request = http::Request::from_parts(parts, &*body);
        IncomingRequest::try_from_http_request_inner(request, path_args).map(Self)
    }
}
