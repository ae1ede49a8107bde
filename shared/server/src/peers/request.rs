//! Requests to other servers, signed in this server's name ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::header;
use ruma::{
    ServerName,
    api::{
        EndpointError as _, IncomingResponseExt as _, OutgoingRequest, OutgoingRequestExt as _,
        auth_scheme::{AuthScheme, NoAuthentication},
        error::Error as Refusal,
        federation::authentication::{ServerSignatures, XMatrixSigningInput},
        path_builder::SinglePath,
    },
};
use skerry_core::discovery::Endpoint;
use url::Position;

use super::{Limits, PeerError, Peers, USER_AGENT};
use crate::ports::http::{Body, Request, Response};

/// What ruma puts before a path: the endpoint takes its place.
const NO_BASE: &str = "https://base.invalid";

impl Peers<'_> {
    /// Makes a request in this server's name, and gives the answer.
    ///
    /// # Errors
    ///
    /// See [`PeerError`].
    pub async fn ask<R>(
        &self,
        server: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<R::IncomingResponse, PeerError>
    where
        R: OutgoingRequest<Authentication = ServerSignatures, PathBuilder = SinglePath>,
    {
        let began_ms = self.clock.now_ms();
        let response = self.stream(server, request, limits).await?;
        let answer = whole::<R>(response).await;
        self.hear(server, began_ms, answer.as_ref().err());
        answer
    }

    /// Makes a request in this server's name, and gives the answer while its body is still on the
    /// way: for bodies that are too large to be held.
    ///
    /// # Errors
    ///
    /// See [`PeerError`].
    pub async fn stream<R>(
        &self,
        server: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<Response, PeerError>
    where
        R: OutgoingRequest<Authentication = ServerSignatures, PathBuilder = SinglePath>,
    {
        let keys = self.server.keys();
        let ours = XMatrixSigningInput::new(
            self.server.name.clone(),
            server.to_owned(),
            keys.current.pair(),
        );
        self.send(server, message(request, ours)?, limits).await
    }

    /// Makes a request that needs no name, and gives the bytes of the answer.
    pub(super) async fn ask_anonymously<R>(
        &self,
        server: &ServerName,
        request: R,
        limits: Limits,
    ) -> Result<Vec<u8>, PeerError>
    where
        R: OutgoingRequest<Authentication = NoAuthentication, PathBuilder = SinglePath>,
    {
        let response = self.send(server, message(request, ())?, limits).await?;
        Ok(response.bytes().await?)
    }

    /// Sends a message to a server, unless that has lately not answered. A refusal is an error.
    async fn send(
        &self,
        server: &ServerName,
        message: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<Response, PeerError> {
        let began_ms = self.clock.now_ms();
        if self.spares_silent && self.memory.is_silent(server, began_ms) {
            return Err(PeerError::Silent(server.to_string()));
        }
        let answer = self.send_now(server, message, limits).await;
        self.hear(server, began_ms, answer.as_ref().err());
        answer
    }

    /// Remembers whether a server answers: what came of a request that was begun at a time.
    fn hear(&self, server: &ServerName, began_ms: u64, error: Option<&PeerError>) {
        if error.is_some_and(PeerError::is_silence) {
            self.memory.note_silence(server, (began_ms, self.clock.now_ms()));
        } else {
            self.memory.note_life(server);
        }
    }

    /// Sends a message to the first endpoint of a server that is reached.
    async fn send_now(
        &self,
        server: &ServerName,
        message: http::Request<Bytes>,
        limits: Limits,
    ) -> Result<Response, PeerError> {
        let endpoints = self.endpoints(server).await?;
        let began_ms = self.clock.now_ms();
        let mut last = None;
        for endpoint in &*endpoints {
            let taken = Duration::from_millis(self.clock.now_ms().saturating_sub(began_ms));
            let Some(timeout) = limits.timeout.checked_sub(taken) else { break };
            let request = self.to(server, endpoint, &message, Limits { timeout, ..limits })?;
            match self.http.send(request).await {
                Ok(response) if response.status.is_success() => return Ok(response),
                Ok(response) => return Err(refusal(response).await),
                // The server may have done what was asked: whoever asked decides.
                Err(error) if !error.is_unsent() => return Err(error.into()),
                Err(error) => last = Some(error),
            }
        }
        self.memory.forget(server);
        let unreached = || PeerError::Unavailable(server.to_string());
        Err(last.map_or_else(unreached, PeerError::from))
    }

    pub(super) fn to(
        &self,
        server: &ServerName,
        endpoint: &Endpoint,
        message: &http::Request<Bytes>,
        limits: Limits,
    ) -> Result<Request, PeerError> {
        let target = message.uri().path_and_query().map_or("/", |it| it.as_str());
        let url = endpoint.url(target).map_err(|_| PeerError::Name(endpoint.host.clone()))?;
        // What was signed is what is sent: a segment such as `..` would be lost on the way.
        if url[Position::BeforePath..Position::AfterQuery] != *target {
            return Err(PeerError::Request(format!("no server can be asked for {target}")));
        }
        let mut headers = message.headers().clone();
        headers.insert(header::USER_AGENT, USER_AGENT);
        Ok(Request {
            server_name: Some(endpoint.server_name.clone()),
            headers,
            body: Body::Whole(message.body().clone()),
            addresses: self.server.config.addresses_of(server),
            ..Request::new(message.method().clone(), url, limits.max_answer_bytes, limits.timeout)
        })
    }
}

/// A request as it is written.
pub(super) fn message<R>(
    request: R,
    input: <R::Authentication as AuthScheme>::Input<'_>,
) -> Result<http::Request<Bytes>, PeerError>
where
    R: OutgoingRequest<PathBuilder = SinglePath>,
{
    let message = request.try_into_http_request::<Vec<u8>>(NO_BASE, input, ());
    let message = message.map_err(|error| PeerError::Request(error.to_string()))?;
    Ok(message.map(Bytes::from))
}

/// The whole answer.
pub(super) async fn whole<R: OutgoingRequest>(
    response: Response,
) -> Result<R::IncomingResponse, PeerError> {
    let (status, headers) = (response.status, response.headers.clone());
    let body = response.bytes().await?;
    let mut message = http::Response::new(&*body);
    *message.status_mut() = status;
    *message.headers_mut() = headers;
    R::IncomingResponse::try_from_http_response(message)
        .map_err(|error| PeerError::Answer(error.to_string()))
}

/// Why a server refuses. A body that does not arrive leaves the status.
pub(super) async fn refusal(response: Response) -> PeerError {
    let status = response.status;
    let body = response.bytes().await.unwrap_or_default();
    let mut message = http::Response::new(&*body);
    *message.status_mut() = status;
    PeerError::Refused(Box::new(Refusal::from_http_response(message)))
}
