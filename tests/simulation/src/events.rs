//! Whether what a server has accepted is by whom it says: by ruma's own verification.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{
    CanonicalJsonObject, RoomVersionId,
    canonical_json::redact,
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet, Verified, verify_event},
};

use crate::{inspect::Event, network::ALTERED, world::World};

/// Verifies events, each once.
#[derive(Debug)]
pub struct Verifier {
    keys: PublicKeyMap,
    verified: BTreeSet<String>,
}

impl Verifier {
    /// Knows the keys of all servers.
    pub fn new(world: &World) -> Self {
        let mut keys = PublicKeyMap::new();
        let mut add = |host: &str, id: &str, key: &str| {
            let key = Base64::parse(key).expect("base64");
            keys.insert(host.to_owned(), PublicKeySet::from([(id.to_owned(), key)]));
        };
        for server in &world.servers {
            let process = server.process().expect("a running server");
            let own = process.cx.server.keys();
            add(&server.name, own.current.id().as_str(), &own.current.public_base64());
        }
        if let Some(evil) = &world.evil {
            add(&evil.peer.name, &evil.peer.key_id(), &evil.peer.public_key());
        }
        Self { keys, verified: BTreeSet::new() }
    }

    /// Checks an event that a server has accepted.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&mut self, event: &Event, rules: &RoomVersionRules) -> Result<(), String> {
        if self.verified.contains(&event.json) {
            return Ok(());
        }
        let text = &event.json;
        if text.contains(ALTERED) {
            return Err(format!("{} says what nobody has signed: {text}", event.id));
        }
        let object: CanonicalJsonObject =
            serde_json::from_str(text).map_err(|error| format!("{}: {error}", event.id))?;
        match verify_event(&self.keys, &object, rules) {
            Ok(Verified::All) => {}
            Ok(Verified::Signatures) => {
                let redacted = redact(object.clone(), &rules.redaction, None);
                let mut redacted = redacted.map_err(|error| error.to_string())?;
                let mut object = object;
                for it in [&mut redacted, &mut object] {
                    it.remove("unsigned");
                }
                if redacted != object {
                    return Err(format!("{} is not what was hashed: {text}", event.id));
                }
            }
            Err(error) => return Err(format!("{}: {error}: {text}", event.id)),
        }
        self.verified.insert(text.clone());
        Ok(())
    }
}

/// The rules of a room version.
pub fn rules(version: &str) -> RoomVersionRules {
    let version = RoomVersionId::try_from(version).expect("a room version");
    version.rules().expect("a known room version")
}

/// Which events are named as coming before which.
pub fn previous(events: &[Event]) -> BTreeMap<String, Vec<String>> {
    let of = |event: &Event| -> Option<(String, Vec<String>)> {
        let json: serde_json::Value = serde_json::from_str(&event.json).ok()?;
        let names = json["prev_events"].as_array()?.iter();
        let names = names.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        Some((event.id.clone(), names))
    };
    events.iter().filter_map(of).collect()
}
