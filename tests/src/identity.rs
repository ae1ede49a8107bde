//! An identity server: it knows who has which address, keeps invitations of whom it does not know,
//! and signs for who turns out to be meant. Skerry meets it at its name, with TLS.

use crate::{
    Client, Request, Server, Value, encode, json,
    remote::{Asked, Remote},
    unique,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where it answers.
const V2: &str = "/_matrix/identity/v2/";

/// What it knows.
#[derive(Default)]
struct Known {
    /// Hashes of addresses, and whose they are.
    bound: BTreeMap<String, String>,
    pepper: String,
}

/// A running identity server. It ends when it is dropped.
pub struct IdentityServer {
    remote: Remote,
    known: Arc<Mutex<Known>>,
    /// Its own key, and the one that it makes for invitations.
    keys: [Arc<Ed25519KeyPair>; 2],
}

impl std::fmt::Debug for IdentityServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IdentityServer").field(&self.remote).finish()
    }
}

fn key() -> Arc<Ed25519KeyPair> {
    let document = Ed25519KeyPair::generate();
    Arc::new(Ed25519KeyPair::from_der(&document, "0".to_owned()).expect("a key"))
}

fn public(key: &Ed25519KeyPair) -> String {
    Base64::<Standard, _>::new(key.public_key()).encode()
}

fn hash(address: &str, pepper: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{address} email {pepper}")))
}

impl IdentityServer {
    /// Starts one that knows nobody.
    pub fn start() -> Self {
        let known = Known { pepper: unique("pepper"), ..Known::default() };
        let server = Self {
            remote: Remote::start_without_keys(),
            known: Arc::new(Mutex::new(known)),
            keys: [key(), key()],
        };
        server.answer_lookups();
        server.keep_invitations();
        server.say_what_is_valid();
        server
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.remote.peer.name
    }

    /// From now on paths of it that begin so are answered so.
    pub fn answer(&self, path: &str, answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) {
        self.remote.answer(&format!("{V2}{path}"), answer);
    }

    /// What it was asked of paths that begin so.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.remote.asked(&format!("{V2}{path}"))
    }

    fn answer_lookups(&self) {
        let known = self.known.clone();
        self.answer("hash_details", move |_| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            (200, json!({ "lookup_pepper": known.pepper, "algorithms": ["none", "sha256"] }))
        });
        let known = self.known.clone();
        self.answer("lookup", move |asked| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let asked: Value = serde_json::from_slice(&asked.body).expect("JSON");
            if asked["pepper"] != known.pepper.as_str() {
                return (400, json!({ "errcode": "M_INVALID_PEPPER", "error": "another one" }));
            }
            let hashes = asked["addresses"].as_array().expect("addresses").iter();
            let hashes = hashes.filter_map(Value::as_str);
            let found = hashes.filter_map(|it| Some((it, known.bound.get(it)?)));
            (200, json!({ "mappings": found.collect::<BTreeMap<_, _>>() }))
        });
    }

    fn keep_invitations(&self) {
        let keys: Vec<_> = ["pubkey/isvalid", "pubkey/ephemeral/isvalid"]
            .iter()
            .zip(&self.keys)
            .map(|(path, key)| {
                json!({ "public_key": public(key),
                    "key_validity_url": format!("https://{}{V2}{path}", self.name()) })
            })
            .collect();
        self.answer("store-invite", move |_| {
            (
                200,
                json!({ "token": unique("token"), "public_keys": keys,
                "display_name": "s...@h..." }),
            )
        });
    }

    fn say_what_is_valid(&self) {
        let keys: Vec<_> = self.keys.iter().map(|it| encode(&public(it))).collect();
        self.answer("pubkey/", move |asked| {
            let is_known = keys.iter().any(|it| asked.path.ends_with(&format!("public_key={it}")));
            (200, json!({ "valid": is_known }))
        });
    }

    /// An address is a user's from now on.
    pub fn bind(&self, address: &str, user: &str) {
        let mut known = self.known();
        let hash = hash(address, &known.pepper);
        known.bound.insert(hash, user.to_owned());
    }

    /// What a client says that invites an address by way of it, and its token there.
    pub fn invite(&self, address: &str) -> (Value, String) {
        let token = unique("a token of the identity server");
        let body = json!({ "id_server": self.name(), "id_access_token": token, "medium": "email",
            "address": address });
        (body, token)
    }

    /// What it signs for the user whose address was invited by this token.
    pub fn sign(&self, user: &str, token: &str) -> Value {
        self.sign_with(&self.keys[1], &json!({ "mxid": user, "token": token }))
    }

    /// The same with its own key.
    pub fn sign_itself(&self, user: &str, token: &str) -> Value {
        self.sign_with(&self.keys[0], &json!({ "mxid": user, "token": token }))
    }

    /// What a client is given to join with.
    pub fn sign_join(&self, sender: &str, user: &str, token: &str) -> Value {
        let signed = json!({ "sender": sender, "mxid": user, "token": token });
        self.sign_with(&self.keys[1], &signed)
    }

    fn sign_with(&self, key: &Ed25519KeyPair, value: &Value) -> Value {
        let mut object = crate::peer::object(value);
        sign_json(self.name(), key, &mut object).expect("JSON that can be signed");
        serde_json::to_value(object).expect("JSON")
    }

    /// It tells a server that an address is its user's, who was invited by these: room, who has
    /// invited, and what is signed.
    pub fn tell(
        server: &Server,
        address: &str,
        user: &str,
        invites: &[(&str, &str, &Value)],
    ) -> Request {
        let invite = |(room, sender, signed): &(&str, &str, &Value)| {
            json!({ "medium": "email", "address": address, "mxid": user, "room_id": room,
                "sender": sender, "signed": signed })
        };
        let invites: Vec<_> = invites.iter().map(invite).collect();
        let body = json!({ "medium": "email", "address": address, "mxid": user,
            "invites": invites });
        Client::new(server.url()).request("PUT", "/_matrix/federation/v1/3pid/onbind").json(&body)
    }
}
