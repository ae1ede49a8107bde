//! Requests to identity servers that clients name ([spec]), in nobody's name but that of the access
//! token that the client has there.
//!
//! [spec]: https://spec.matrix.org/v1.19/identity-service-api/

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use ruma::{
    ServerName,
    api::{
        IncomingResponseExt as _, MatrixVersion, OutgoingRequest, OutgoingRequestExt as _,
        SupportedVersions,
        auth_scheme::AuthScheme,
        identity_service::{
            IdentityServiceToken, keys::check_public_key_validity::v2::Response as Validity,
        },
        path_builder::VersionHistory,
    },
};
use skerry_core::third_party_invite;
use url::Url;

use super::{Limits, PeerError, Peers, USER_AGENT, request};
use crate::{
    messages::secret::Secret,
    ports::http::{Body, Request, Response},
};

/// What an answer of an identity server may take: the client waits.
const LIMITS: Limits = Limits { max_answer_bytes: 64 * 1024, timeout: Duration::from_secs(15) };

impl Peers<'_> {
    /// Asks an identity server something that one must have an account for there.
    ///
    /// # Errors
    ///
    /// See [`PeerError`].
    pub async fn ask_identity_server<R>(
        &self,
        server: &ServerName,
        token: &Secret,
        request: R,
    ) -> Result<R::IncomingResponse, PeerError>
    where
        R: OutgoingRequest<Authentication = IdentityServiceToken, PathBuilder = VersionHistory>,
    {
        let base = format!("https://{server}");
        let versions = [MatrixVersion::V1_0].into();
        let versions = SupportedVersions { versions, features: BTreeSet::new() };
        let input: <IdentityServiceToken as AuthScheme>::Input<'_> = token.expose();
        let message = request.try_into_http_request::<Vec<u8>>(&base, input, Cow::Owned(versions));
        // What cannot be written may be quoted: the token.
        let message = message.map_err(|_| PeerError::Request("not written".to_owned()))?;
        let (parts, body) = message.into_parts();
        let url = Url::parse(&parts.uri.to_string());
        let url = url.map_err(|_| PeerError::Name(server.to_string()))?;
        let mut headers = parts.headers;
        if let Some(token) = headers.get_mut(header::AUTHORIZATION) {
            token.set_sensitive(true);
        }
        let body = Body::Whole(Bytes::from(body));
        let response = self.ask_at((parts.method, url), headers, body).await?;
        request::whole::<R>(response).await
    }

    /// Whether a key of an identity server is valid, as the page says that an invitation names.
    ///
    /// # Errors
    ///
    /// See [`PeerError`].
    pub async fn is_key_valid(&self, url: &str, public_key: &str) -> Result<bool, PeerError> {
        let url = third_party_invite::validity_url(url, public_key)
            .map_err(|error| PeerError::Request(error.to_string()))?;
        let body = Body::Whole(Bytes::new());
        let response = self.ask_at((Method::GET, url), HeaderMap::new(), body).await?;
        let body = response.bytes().await?;
        let validity = Validity::try_from_http_response(http::Response::new(&*body));
        validity.map(|it| it.valid).map_err(|error| PeerError::Answer(error.to_string()))
    }

    async fn ask_at(
        &self,
        (method, url): (Method, Url),
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response, PeerError> {
        headers.insert(header::USER_AGENT, USER_AGENT);
        let host = url.host_str().and_then(|it| ServerName::parse(it).ok());
        let addresses = host.map(|it| self.server.config.addresses_of(&it));
        let mut request = Request::new(method, url, LIMITS.max_answer_bytes, LIMITS.timeout);
        request.headers = headers;
        request.body = body;
        request.addresses = addresses.unwrap_or(request.addresses);
        let response = self.http.send(request).await?;
        match response.status.is_success() {
            true => Ok(response),
            false => Err(request::refusal(response).await),
        }
    }
}
