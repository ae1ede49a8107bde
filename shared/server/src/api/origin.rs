//! By which other server a request is ([spec]).
//!
//! A server signs all of a request. So what it claims to be is read before the body, and its keys
//! are found; then the body is read, and the signature verified over it as it came. Only then is
//! anything in it believed.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication

use std::sync::Arc;

use http::{header, request::Parts};
use ruma::{OwnedServerName, api::error::ErrorKind};
use skerry_core::{
    rate_limits::Bucket,
    x_matrix::{Credentials, CredentialsError, Request},
};

use super::{Cx, json, signers::keys_of};
use crate::{
    Error, Result, known_keys,
    messages::{ServerKey, destination::GetKeys},
};

/// The server that has signed a request.
#[derive(Clone, Debug)]
pub(super) struct Origin(pub(super) OwnedServerName);

/// What a request claims that it is by, and the keys of that server.
pub(super) struct Claim {
    credentials: Credentials,
    keys: Arc<[ServerKey]>,
}

impl Claim {
    /// Reads what a request claims.
    ///
    /// # Errors
    ///
    /// `M_UNAUTHORIZED`, where it claims nothing that could be verified.
    pub(super) async fn read(cx: &Cx, parts: &Parts) -> Result<Self> {
        let headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let headers = headers.filter_map(|it| it.to_str().ok());
        let credentials =
            Credentials::read(headers, &cx.server.name).map_err(|it| unauthorized(&it))?;
        let key_ids = credentials.key_ids().map(ToOwned::to_owned).collect();
        let wanted = GetKeys { key_ids, valid_until_ms: cx.ports.clock.now_ms() };
        let keys = keys_of(cx, &credentials.origin, wanted).await?;
        Ok(Self { credentials, keys })
    }

    /// Verifies the claim, and counts the request as one of that server.
    ///
    /// # Errors
    ///
    /// `M_UNAUTHORIZED`, where it is not true.
    pub(super) async fn verify(self, cx: &Cx, parts: &Parts, body: &[u8]) -> Result<Origin> {
        let Self { credentials, keys } = self;
        let content = std::str::from_utf8(body)
            .map_err(|_| Error::api(ErrorKind::NotJson, "the body is not UTF-8"))?;
        let request = Request {
            method: parts.method.as_str(),
            uri: parts.uri.path_and_query().map_or("/", |it| it.as_str()),
            content: Some(content).filter(|it| !it.is_empty()),
        };
        let keys: Vec<_> =
            keys.iter().filter_map(|it| Some((&it.key_id, known_keys::decode(it)?))).collect();
        let now_ms = cx.ports.clock.now_ms();
        credentials
            .verify(
                request,
                &cx.server.name,
                |key_id| keys.iter().find(|(id, _)| *id == key_id).map(|(_, key)| key),
                now_ms,
            )
            .map_err(|it| unauthorized(&it))?;
        request.content.map_or(Ok(()), json::check_object)?;
        let origin = credentials.origin;
        cx.peers.note_life(&origin);
        cx.ports.limiter.take(Bucket::Federation, origin.as_str(), 1).await?;
        Ok(Origin(origin))
    }
}

fn unauthorized(error: &CredentialsError) -> Error {
    match error {
        CredentialsError::Body(_) => Error::bad_json(error.to_string()),
        _ => Error::api(ErrorKind::Unauthorized, error.to_string()),
    }
}
