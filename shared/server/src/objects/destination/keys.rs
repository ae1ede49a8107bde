//! The keys of the server: what is stored of them, and when it is asked for them.

use std::{collections::BTreeMap, sync::Arc};

use ruma::OwnedServerSigningKeyId;
use ruma::serde::{Base64, base64::Standard};
use skerry_core::server_keys::{MAX_KEPT, MIN_AGE_MS, ServerKeys, retry_after_ms};

use super::{DESTINATIONS, Destination};
use crate::{
    Result, known_keys,
    messages::{
        RawJson, ServerKey,
        destination::{GetKeyAnswer, GetKeys},
    },
    objects::held::Held,
    peers::Published,
    store::global::server_keys as store,
};

/// Bytes of a key in memory, about.
const KEY_BYTES: usize = 250;

/// What is in memory of the keys.
#[derive(Debug)]
pub(super) struct Keys {
    /// None: the store has not been asked.
    known: Option<BTreeMap<OwnedServerSigningKeyId, ServerKey>>,
    /// How often in a row the server has not answered.
    failures: u32,
    /// Before this time it is not asked.
    next_ms: u64,
    held: Held,
}

impl Default for Keys {
    fn default() -> Self {
        Self { known: None, failures: 0, next_ms: 0, held: Held::of(&DESTINATIONS) }
    }
}

impl Keys {
    fn list(&self) -> Vec<ServerKey> {
        self.known.iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Adds keys; those of an ID that is there already if `replaces` says so.
    fn add(&mut self, keys: Vec<ServerKey>, replaces: impl Fn(&ServerKey, &ServerKey) -> bool) {
        let known = self.known.get_or_insert_default();
        for key in keys {
            if known.get(&key.key_id).is_none_or(|it| replaces(it, &key)) {
                known.insert(key.key_id.clone(), key);
            }
        }
        while known.len() > MAX_KEPT {
            let oldest = known.values().min_by_key(|it| it.valid_until_ms);
            let Some(key_id) = oldest.map(|it| it.key_id.clone()) else { break };
            known.remove(&key_id);
        }
        self.held.set(known.len() * KEY_BYTES);
    }
}

impl Destination {
    pub(super) async fn get_keys(self: &Arc<Self>, wanted: GetKeys) -> Result<Vec<ServerKey>> {
        self.load_keys().await?;
        if let Some(keys) = self.keys_at_hand(&wanted) {
            return Ok(keys);
        }
        let _turn = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(keys) = self.keys_at_hand(&wanted) {
            return Ok(keys);
        }
        self.ask_for_keys(&wanted).await;
        Ok(self.keys().list())
    }

    pub(super) async fn get_key_answer(
        self: &Arc<Self>,
        wanted: GetKeyAnswer,
    ) -> Result<Option<RawJson>> {
        let GetKeyAnswer { key_ids, valid_until_ms } = wanted;
        let global = self.host.global();
        let stored = store::find_answer(global, &self.name).await?;
        let wanted = GetKeys { key_ids, valid_until_ms };
        let is_fresh = stored.as_ref().is_some_and(|(_, until_ms)| *until_ms >= valid_until_ms);
        self.load_keys().await?;
        if is_fresh && known_keys::have(&self.keys().list(), &wanted) {
            return Ok(stored.map(|(json, _)| json));
        }
        let turn = self.asking.lock().await;
        if self.host.clock().now_ms() >= self.keys().next_ms {
            self.ask_for_keys(&wanted).await;
        }
        drop(turn);
        Ok(store::find_answer(global, &self.name).await?.map(|(json, _)| json))
    }

    async fn load_keys(&self) -> Result<()> {
        if self.keys().known.is_some() {
            return Ok(());
        }
        let stored = store::list(self.host.global(), &self.name).await?;
        // What was asked for meanwhile is newer.
        self.keys().add(stored, |_, _| false);
        Ok(())
    }

    /// The keys, unless the server is to be asked for them.
    fn keys_at_hand(&self, wanted: &GetKeys) -> Option<Vec<ServerKey>> {
        let keys = self.keys();
        let list = keys.list();
        let is_enough =
            known_keys::have(&list, wanted) || self.host.clock().now_ms() < keys.next_ms;
        is_enough.then_some(list)
    }

    /// Asks the server for its keys, and notaries for what it does not give. What is found is
    /// stored.
    async fn ask_for_keys(&self, wanted: &GetKeys) {
        let answer = self.peers().keys(&self.name).await;
        let wait_ms = {
            let mut keys = self.keys();
            keys.failures = if answer.is_ok() { 0 } else { keys.failures.saturating_add(1) };
            let wait_ms = if answer.is_ok() { MIN_AGE_MS } else { retry_after_ms(keys.failures) };
            keys.next_ms = self.host.clock().now_ms().saturating_add(wait_ms);
            wait_ms
        };
        match answer {
            Ok(published) => self.take_keys(published, true).await,
            Err(error) => {
                tracing::debug!(server = %self.name, %error, wait_ms, "there are no keys");
            }
        }
        for notary in &self.server.config.notaries {
            if known_keys::have(&self.keys().list(), wanted) {
                return;
            }
            if *notary == self.name || *notary == self.server.name {
                continue;
            }
            let peers = self.peers();
            let GetKeys { key_ids, valid_until_ms } = wanted;
            let answers = peers.notarized_keys(notary, &self.name, key_ids, *valid_until_ms).await;
            match answers {
                Ok(answers) => {
                    for published in answers {
                        self.take_keys(published, false).await;
                    }
                }
                Err(error) => tracing::debug!(%notary, %error, "a notary has not answered"),
            }
        }
    }

    /// Stores keys. What the server says itself counts more than what a notary does.
    async fn take_keys(&self, published: Published, is_own_word: bool) {
        let Published { keys: ServerKeys { keys, valid_until_ms }, json } = published;
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(key_id, key)| ServerKey {
                server: self.name.clone(),
                key_id,
                key: Base64::<Standard, _>::new(key.as_bytes().to_vec()).encode(),
                valid_until_ms: key.valid_until_ms,
                expired_ms: key.expired_ms,
            })
            .collect();
        let mut stmts: Vec<_> = keys.iter().map(|it| store::upsert(it, is_own_word)).collect();
        stmts.push(store::remove_excess(&self.name));
        stmts.push(store::upsert_answer(&self.name, &json, valid_until_ms));
        self.keys()
            .add(keys, |known, new| is_own_word || new.valid_until_ms > known.valid_until_ms);
        // They are good all the same: who has forgotten them asks again.
        if let Err(error) = self.host.global().batch(stmts).await {
            tracing::warn!(server = %self.name, ?error, "keys cannot be stored");
        }
    }
}
