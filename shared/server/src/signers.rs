//! Who has signed events, and where the keys are looked for.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedEventId, OwnedServerName, OwnedServerSigningKeyId, OwnedUserId, ServerName};
use serde::Deserialize;
use skerry_core::x_matrix::MAX_SIGNATURES;

use crate::{
    Result,
    messages::{RawJson, ServerKey, destination::GetKeys},
};

/// Servers, and keys of theirs.
pub type Signers = BTreeMap<OwnedServerName, Vec<OwnedServerSigningKeyId>>;

/// Servers whose keys are looked for at the same time for one request.
pub const ASKED_AT_ONCE: usize = 10;

/// Who has to sign these events, and with which keys they say they have: the servers of the
/// senders, those that made up the IDs, and those in whose users' names restricted rooms are
/// joined.
pub fn signers_of<'a>(events: impl IntoIterator<Item = &'a RawJson>) -> Signers {
    #[derive(Deserialize)]
    struct Event {
        sender: OwnedUserId,
        #[serde(rename = "event_id")]
        id: Option<OwnedEventId>,
        #[serde(default)]
        content: Content,
        #[serde(default)]
        signatures: BTreeMap<OwnedServerName, BTreeMap<OwnedServerSigningKeyId, RawJson>>,
    }
    #[derive(Default, Deserialize)]
    struct Content {
        join_authorised_via_users_server: Option<OwnedUserId>,
    }
    let mut signers = Signers::new();
    for event in events {
        // What cannot be read is for the room to refuse.
        let Ok(event) = serde_json::from_str::<Event>(event.get()) else { continue };
        let users = [Some(&event.sender), event.content.join_authorised_via_users_server.as_ref()];
        let servers = users.into_iter().flatten().map(|it| it.server_name());
        for server in servers.chain(event.id.as_ref().and_then(|it| it.server_name())) {
            let Some(keys) = event.signatures.get(server) else { continue };
            let known = signers.entry(server.to_owned()).or_default();
            for key_id in keys.keys().take(MAX_SIGNATURES) {
                if !known.contains(key_id) && known.len() < MAX_SIGNATURES {
                    known.push(key_id.clone());
                }
            }
        }
    }
    signers
}

/// The keys of these servers, as far as they are to be had. `own`: this server, which nobody is
/// asked about. `keys_of` gives the keys of one.
pub async fn find_keys<K, F>(
    own: &ServerName,
    signers: Signers,
    valid_until_ms: u64,
    keys_of: impl Fn(OwnedServerName, GetKeys) -> F,
) -> Vec<ServerKey>
where
    K: AsRef<[ServerKey]>,
    F: Future<Output = Result<K>>,
{
    let keys_of = &keys_of;
    let others = signers.into_iter().filter(|(server, _)| *server != own);
    let find = |(server, key_ids): (OwnedServerName, Vec<OwnedServerSigningKeyId>)| async move {
        let found = keys_of(server.clone(), GetKeys { key_ids, valid_until_ms }).await;
        found.inspect_err(|error| tracing::warn!(%server, %error, "keys were not looked for")).ok()
    };
    let found = stream::iter(others).map(find).buffer_unordered(ASKED_AT_ONCE);
    let found: Vec<_> = found.collect().await;
    found.into_iter().flatten().flat_map(|it| it.as_ref().to_vec()).collect()
}
