//! Requests of ruma that are answered otherwise than ruma would.

use http::Method;
use ruma::api::{
    IncomingRequest, Metadata, OutgoingBodyJson, OutgoingResponse,
    error::{DeserializationError, IntoHttpError},
};
use serde::Serialize;
use serde_json::Value as JsonValue;

/// A request of ruma that is answered with [`Json`].
#[derive(Debug)]
pub struct Reshaped<R>(pub R);

/// JSON as a response.
#[derive(Debug, Serialize, OutgoingBodyJson)]
#[serde(transparent)]
pub struct Json(pub JsonValue);

impl<R: Metadata> Metadata for Reshaped<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Reshaped<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        R::try_from_http_request_inner(request, path_args).map(Self)
    }
}

impl OutgoingResponse for Json {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::new(self))
    }
}
