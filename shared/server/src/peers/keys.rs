//! The keys of another server: from that server ([spec][own]), or from one that is a notary
//! ([spec][notary]).
//!
//! [own]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
//! [notary]: https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerSigningKeyId, ServerName, UInt,
    api::{
        IncomingResponseExt as _,
        federation::discovery::{
            get_remote_server_keys_batch::v2 as batch, get_server_keys::v2::Request,
        },
    },
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::server_keys::{self, MAX_BYTES, ServerKeys};

use super::{Limits, PeerError, Peers};
use crate::messages::RawJson;

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of the answer of a notary, which may have several answers of a server.
const MAX_NOTARY_BYTES: u64 = 4 * MAX_BYTES;

/// The keys of a server, and the answer that says so.
#[derive(Clone, Debug)]
pub struct Published {
    /// The keys.
    pub keys: ServerKeys,
    /// The answer, as it is signed.
    pub json: RawJson,
}

impl Peers<'_> {
    /// The keys that a server gives as its own and that sign for themselves.
    ///
    /// # Errors
    ///
    /// See [`PeerError`]; [`PeerError::Keys`] when they are not believed.
    pub async fn keys(&self, server: &ServerName) -> Result<Published, PeerError> {
        let limits = Limits { max_answer_bytes: MAX_BYTES, timeout: TIMEOUT };
        let json = self.ask_anonymously(server, Request::new(), limits).await?;
        let keys = server_keys::read(&json, server, self.clock.now_ms())?;
        let answer = |error: &dyn std::error::Error| PeerError::Answer(error.to_string());
        let json = String::from_utf8(json).map_err(|error| answer(&error))?;
        let json = RawJsonValue::from_string(json).map_err(|error| answer(&error))?;
        Ok(Published { keys, json })
    }

    /// What a notary says of the keys of a server: answers that both have signed. Those that are
    /// not believed are left out.
    ///
    /// # Errors
    ///
    /// See [`PeerError`].
    pub async fn notarized_keys(
        &self,
        notary: &ServerName,
        server: &ServerName,
        key_ids: &[OwnedServerSigningKeyId],
        valid_until_ms: u64,
    ) -> Result<Vec<Published>, PeerError> {
        let its_keys = self.keys(notary).await?.keys.keys;
        let mut criteria = batch::QueryCriteria::new();
        let until = UInt::new(valid_until_ms).map(MilliSecondsSinceUnixEpoch);
        criteria.minimum_valid_until_ts = until;
        let wanted = key_ids.iter().map(|it| (it.clone(), criteria.clone())).collect();
        let request = batch::Request::new(BTreeMap::from([(server.to_owned(), wanted)]));
        let limits = Limits { max_answer_bytes: MAX_NOTARY_BYTES, timeout: TIMEOUT };
        let body = self.ask_anonymously(notary, request, limits).await?;
        let answer = batch::Response::try_from_http_response(http::Response::new(&*body))
            .map_err(|error| PeerError::Answer(error.to_string()))?;
        let now_ms = self.clock.now_ms();
        let believed = answer.server_keys.into_iter().filter_map(|it| {
            let json = it.into_json();
            let keys = server_keys::read_notarized(
                json.get().as_bytes(),
                server,
                (notary, &its_keys),
                now_ms,
            );
            match keys {
                Ok(keys) => Some(Published { keys, json }),
                Err(error) => {
                    tracing::debug!(%notary, %server, %error, "a notary is not believed");
                    None
                }
            }
        });
        Ok(believed.collect())
    }
}
