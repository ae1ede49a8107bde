//! Requests whose body is sent as it is: ruma writes a part of it alone.

use std::{fmt::Display, marker::PhantomData};

use ruma::api::{
    Metadata, OutgoingBodyJson, OutgoingRequest, error::IntoHttpError, path_builder::PathBuilder,
};
use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::{Result, messages::RawJson};

/// A request of ruma's with another body.
#[derive(Clone, Debug)]
pub(super) struct WholeRequest<R> {
    /// What stands in the path, in its order.
    path: Vec<String>,
    body: Body,
    request: PhantomData<R>,
}

/// The body as it is.
#[derive(Clone, Debug, Serialize, OutgoingBodyJson)]
#[serde(transparent)]
pub(super) struct Body(RawJson);

impl<R> WholeRequest<R> {
    /// The request with this body. `path`: what stands in its path, in its order.
    pub(super) fn new(path: Vec<String>, body: &impl Serialize) -> Result<Self> {
        Ok(Self { path, body: Body(to_raw_value(body)?), request: PhantomData })
    }
}

impl<R: Metadata> Metadata for WholeRequest<R> {
    const METHOD: http::Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: OutgoingRequest> OutgoingRequest for WholeRequest<R> {
    type Body = Body;
    type EndpointError = R::EndpointError;
    type IncomingResponse = R::IncomingResponse;

    fn try_into_http_request_inner(
        self,
        base_url: &str,
        path_builder_input: <R::PathBuilder as PathBuilder>::Input<'_>,
    ) -> std::result::Result<http::Request<Body>, IntoHttpError> {
        let path: Vec<_> = self.path.iter().map(|it| it as &dyn Display).collect();
        let url = R::PATH_BUILDER.make_endpoint_url(path_builder_input, base_url, &path, "")?;
        let request = http::Request::builder().method(R::METHOD).uri(url);
        request.body(self.body).map_err(IntoHttpError::from)
    }
}
