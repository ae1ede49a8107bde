//! What a process remembers of the keys of other servers: most requests and events are signed with
//! keys that signed others before.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use ruma::{OwnedServerName, ServerName};
use skerry_core::receipt::VerifyKey;

use crate::messages::{ServerKey, destination::GetKeys};

/// Servers whose keys are remembered: those that were asked for last. Each has a few, and
/// [`skerry_core::server_keys::MAX_KEPT`] at most.
const MAX_SERVERS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// The memory.
#[derive(Debug)]
pub struct KnownKeys(Mutex<LruCache<OwnedServerName, Arc<[ServerKey]>>>);

impl Default for KnownKeys {
    fn default() -> Self {
        Self(Mutex::new(LruCache::sparse(MAX_SERVERS)))
    }
}

impl KnownKeys {
    /// The keys of a server, if those that are wanted are remembered.
    pub fn find(&self, server: &ServerName, wanted: &GetKeys) -> Option<Arc<[ServerKey]>> {
        self.lock().get(server).filter(|it| have(it, wanted)).cloned()
    }

    /// Remembers the keys of a server, unless what was wanted is not among them: who has what
    /// nobody wants pushes nothing out.
    pub fn insert(&self, server: &ServerName, keys: &Arc<[ServerKey]>, wanted: &GetKeys) {
        if have(keys, wanted) {
            self.lock().put(server.to_owned(), Arc::clone(keys));
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<OwnedServerName, Arc<[ServerKey]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the wanted keys are among these, and the current ones valid for as long. Asking again
/// for an old one changes nothing.
pub fn have(keys: &[ServerKey], wanted: &GetKeys) -> bool {
    wanted.key_ids.iter().all(|key_id| {
        keys.iter().any(|it| {
            it.key_id == *key_id
                && (it.expired_ms.is_some() || it.valid_until_ms >= wanted.valid_until_ms)
        })
    })
}

/// The key to verify with. None: it is none.
pub fn decode(key: &ServerKey) -> Option<VerifyKey> {
    let bytes = VerifyKey::decode(&key.key).ok()?;
    let key = match key.expired_ms {
        Some(expired_ms) => VerifyKey::old(&bytes, expired_ms),
        None => VerifyKey::current(&bytes, key.valid_until_ms),
    };
    key.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_keys_are_had() {
        let key = |id: &str, valid_until_ms, expired_ms| ServerKey {
            server: ServerName::parse("a.example").unwrap(),
            key_id: id.try_into().unwrap(),
            key: String::new(),
            valid_until_ms,
            expired_ms,
        };
        let keys = [key("ed25519:new", 100, None), key("ed25519:old", 5, Some(5))];
        let cases: [(&[&str], u64, bool); 7] = [
            (&[], u64::MAX, true),
            (&["ed25519:new"], 100, true),
            (&["ed25519:new"], 101, false),
            (&["ed25519:old"], 101, true),
            (&["ed25519:new", "ed25519:old"], 99, true),
            (&["ed25519:other"], 0, false),
            (&["ed25519:new", "ed25519:other"], 0, false),
        ];
        for (ids, valid_until_ms, expected) in cases {
            let key_ids = ids.iter().map(|it| (*it).try_into().unwrap()).collect();
            assert_eq!(have(&keys, &GetKeys { key_ids, valid_until_ms }), expected, "{ids:?}");
        }
    }
}
