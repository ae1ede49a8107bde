//! The keys of another server, from that server ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server

#[cfg(test)]
mod tests;

use std::time::Duration;

use ruma::{ServerName, api::federation::discovery::get_server_keys::v2::Request};
use skerry_core::server_keys::{self, ServerKeys};

use super::{Limits, PeerError, Peers};

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Peers<'_> {
    /// The keys that a server gives as its own and that sign for themselves.
    ///
    /// # Errors
    ///
    /// See [`PeerError`]; [`PeerError::Keys`] when they are not believed.
    pub async fn keys(&self, server: &ServerName) -> Result<ServerKeys, PeerError> {
        let limits = Limits { max_answer_bytes: server_keys::MAX_BYTES, timeout: TIMEOUT };
        let json = self.ask_anonymously(server, Request::new(), limits).await?;
        Ok(server_keys::read(&json, server, self.clock.now_ms())?)
    }
}
