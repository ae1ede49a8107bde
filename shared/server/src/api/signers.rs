//! The keys of those who have signed requests and events of other servers.

use std::sync::Arc;

use ruma::ServerName;

use super::Cx;
pub(super) use crate::signers::{Signers, signers_of};
use crate::{
    Result,
    messages::{ServerKey, destination::GetKeys},
    signers,
};

/// The keys of a server. Its `Destination` is asked where a wanted one is not remembered; one that
/// is not to be had is missing.
pub(super) async fn keys_of(
    cx: &Cx,
    server: &ServerName,
    wanted: GetKeys,
) -> Result<Arc<[ServerKey]>> {
    if let Some(keys) = cx.ports.keys.find(server, &wanted) {
        return Ok(keys);
    }
    let keys = cx.ports.objects.ask(server, wanted.clone()).await?.into();
    cx.ports.keys.insert(server, &keys, &wanted);
    Ok(keys)
}

/// The keys of these servers, as far as they are to be had.
pub(super) async fn find_keys(cx: &Cx, signers: Signers) -> Vec<ServerKey> {
    let keys_of =
        |server: ruma::OwnedServerName, wanted| async move { keys_of(cx, &server, wanted).await };
    signers::find_keys(&cx.server.name, signers, cx.ports.clock.now_ms(), keys_of).await
}
