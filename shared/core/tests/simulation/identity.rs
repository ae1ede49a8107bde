//! Who the servers are: the same in every world, so that their keys are made once.

use std::sync::LazyLock;

use ruma::{
    OwnedServerName, ServerName,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet},
};
use skerry_core::{
    SigningKey,
    receipt::{Keyring, VerifyKey},
};

/// The most servers that a world has.
pub const MAX_SERVERS: usize = 5;

static IDENTITIES: LazyLock<Vec<Identity>> =
    LazyLock::new(|| (0..MAX_SERVERS).map(Identity::new).collect());

/// A server's name and key.
pub struct Identity {
    pub name: OwnedServerName,
    pub key: SigningKey,
    verify_key: VerifyKey,
    public: PublicKeySet,
}

impl Identity {
    fn new(index: usize) -> Self {
        let name = ServerName::parse(format!("s{index}")).unwrap();
        let key = SigningKey::from_seed([u8::try_from(index).unwrap() + 1; 32], "1").unwrap();
        let public = Base64::parse(key.public_base64()).unwrap();
        let verify_key = VerifyKey::decode(&key.public_base64()).unwrap();
        let verify_key = VerifyKey::current(&verify_key, u64::MAX).unwrap();
        let public = [(key.id().to_string(), public)].into();
        Self { name, key, verify_key, public }
    }

    /// The identity of a server.
    pub fn of(server: usize) -> &'static Self {
        &IDENTITIES[server]
    }
}

/// The keys of these many servers: for the servers, and for who checks them.
pub fn keys(count: usize) -> (Keyring, PublicKeyMap) {
    let (mut keyring, mut public) = (Keyring::default(), PublicKeyMap::new());
    for it in &IDENTITIES[..count] {
        keyring.insert(it.name.clone(), it.key.id().to_owned(), it.verify_key.clone());
        public.insert(it.name.to_string(), it.public.clone());
    }
    (keyring, public)
}
