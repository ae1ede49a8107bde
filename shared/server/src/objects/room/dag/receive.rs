//! Events of other servers ([spec]): checked, decided by the engine, written.
//!
//! What waits for events it names is kept, a bounded number of it, and received when they come.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu

use std::sync::Arc;

use ruma::{ServerSigningKeyId, room_version_rules::RoomVersionRules};
use skerry_core::receipt::{self, Keyring, Unverified, Verified};

use crate::{
    Result, known_keys,
    messages::{
        RawJson, ServerKey,
        room::{Kind, Outcome, Receive, Received},
    },
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake},
        loaded::{Loaded, in_memory},
    },
    server::Server,
};

impl Room {
    /// Receives events of other servers.
    pub(crate) async fn receive(self: &Arc<Self>, command: Receive) -> Result<Vec<Received>> {
        let rules = {
            let room = self.read().await?;
            if let Some(origin) = &command.origin
                && !self.is_let_in(&room, origin).await?
            {
                let reason = "the room keeps this server out";
                return Ok(dropped(&command.events, reason));
            }
            room.rules.clone()
        };
        let verified = self.verify(&command.events, &command.keys, &rules);
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.engine_memory.trim();
        let mut intake = Intake { hands_on: command.hand_on, ..Intake::default() };
        let events = self.receive_all(room, verified, &command, &mut intake).await;
        room.engine_memory.trim();
        // Also when not all of them could be received.
        self.deliver_changes(guard, intake.changed).await;
        events
    }

    async fn receive_all(
        &self,
        room: &mut Loaded,
        verified: Vec<std::result::Result<Verified, Received>>,
        command: &Receive,
        intake: &mut Intake,
    ) -> Result<Vec<Received>> {
        let mut outcomes: Vec<Option<Received>> = Vec::with_capacity(verified.len());
        let mut arrived = Vec::new();
        for it in verified {
            outcomes.push(match it {
                Ok(Verified { pdu, redacted }) => {
                    arrived.push((outcomes.len(), Arc::new(pdu), redacted));
                    None
                }
                Err(received) => Some(received),
            });
        }
        intake.given = match self.given_states(room, &command.states).await? {
            Ok(given) => given,
            Err(missing) => {
                // What the states are made of must come first.
                let outcome = Outcome::Waits { auth: missing, prev: Vec::new() };
                let received = arrived.into_iter().map(|(at, pdu, _)| {
                    let event_id = Some(pdu.event_id.clone());
                    (at, Received { event_id, outcome: outcome.clone() })
                });
                return Ok(finish(outcomes, received));
            }
        };
        // Mostly in the order in which they build on each other, so that few have to wait.
        arrived.sort_by_key(|(_, pdu, _)| pdu.depth);
        if command.kind != Kind::Outlier {
            let pdus: Vec<_> = arrived.iter().map(|(_, pdu, _)| Arc::clone(pdu)).collect();
            intake.gap_positions = self.gap_positions_with_waiting(room, &pdus).await?;
        }
        let mut done = Vec::with_capacity(arrived.len());
        for (at, pdu, redacted) in arrived {
            let event_id = Some(pdu.event_id.clone());
            let arrived = Arrived { pdu, kind: command.kind };
            let outcome = match self.receive_event(room, arrived, intake).await? {
                Outcome::Accepted { .. } => Outcome::Accepted { redacted },
                other => other,
            };
            done.push((at, Received { event_id, outcome }));
        }
        Ok(finish(outcomes, done.into_iter()))
    }

    /// Checks format, signatures and content hash.
    pub(crate) fn verify(
        &self,
        events: &[RawJson],
        keys: &[ServerKey],
        rules: &RoomVersionRules,
    ) -> Vec<std::result::Result<Verified, Received>> {
        let keyring = self.keyring(keys);
        let mut outcomes: Vec<_> = Vec::with_capacity(events.len());
        let mut formed = Vec::new();
        for json in events {
            outcomes.push(match receipt::read(json, &self.id, rules) {
                Ok(received) => {
                    formed.push((outcomes.len(), received.pdu.event_id.clone(), received));
                    None
                }
                Err(dropped) => Some(Err(Received {
                    event_id: receipt::event_id(json, rules),
                    outcome: Outcome::Dropped { reason: dropped.to_string() },
                })),
            });
        }
        let mut named = Vec::with_capacity(formed.len());
        let mut received = Vec::with_capacity(formed.len());
        for (at, event_id, it) in formed {
            named.push((at, event_id));
            received.push(it);
        }
        let checked = receipt::verify_all(received, &keyring, rules);
        for ((at, event_id), checked) in named.into_iter().zip(checked) {
            let checked = checked.map_err(|unverified| Received {
                event_id: Some(event_id),
                outcome: match unverified {
                    Unverified::NeedsKeys(keys) => Outcome::NeedsKeys { keys },
                    Unverified::Dropped(it) => Outcome::Dropped { reason: it.to_string() },
                },
            });
            if let Some(slot) = outcomes.get_mut(at) {
                *slot = Some(checked);
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// The keys that came with events, and this server's own. One that is no key is as good as
    /// none.
    fn keyring(&self, keys: &[ServerKey]) -> Keyring {
        let mut keyring = Keyring::default();
        let keys = keys.iter().filter(|it| it.server != self.server.name).cloned();
        for it in keys.chain(own_keys(&self.server)) {
            if let Some(key) = known_keys::decode(&it) {
                keyring.insert(it.server, it.key_id, key);
            }
        }
        keyring
    }
}

/// Events that are not even looked at.
fn dropped(events: &[RawJson], reason: &str) -> Vec<Received> {
    let dropped =
        |_| Received { event_id: None, outcome: Outcome::Dropped { reason: reason.to_owned() } };
    events.iter().map(dropped).collect()
}

/// The keys that this server's own events are signed with.
fn own_keys(server: &Server) -> Vec<ServerKey> {
    let keys = server.keys();
    let key = |key_id: &ServerSigningKeyId, key: &str, expired_ms| ServerKey {
        server: server.name.clone(),
        key_id: key_id.to_owned(),
        key: key.to_owned(),
        valid_until_ms: u64::MAX,
        expired_ms,
    };
    let old = keys.old.iter().map(|it| key(&it.id, &it.public_base64, Some(it.expired_ms)));
    old.chain([key(keys.current.id(), &keys.current.public_base64(), None)]).collect()
}

/// Puts outcomes where their events were.
fn finish(
    mut outcomes: Vec<Option<Received>>,
    done: impl Iterator<Item = (usize, Received)>,
) -> Vec<Received> {
    for (at, received) in done {
        if let Some(slot) = outcomes.get_mut(at) {
            *slot = Some(received);
        }
    }
    outcomes.into_iter().flatten().collect()
}
