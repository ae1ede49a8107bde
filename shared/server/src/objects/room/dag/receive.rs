//! Events of other servers ([spec]): checked, decided by the engine, written.
//!
//! What waits for events it names is kept, a bounded number of it, and received when they come.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu

use std::sync::Arc;

use ruma::room_version_rules::RoomVersionRules;
use skerry_core::receipt::{self, Keyring, Unverified, Verified, VerifyKey};

use crate::{
    Result,
    messages::{
        RawJson,
        room::{Kind, Outcome, Receive, Received, ServerKey},
    },
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake},
        loaded::{Loaded, in_memory},
    },
};

impl Room {
    /// Receives events of other servers.
    pub(crate) async fn receive(self: &Arc<Self>, command: Receive) -> Result<Vec<Received>> {
        let rules = self.read().await?.rules.clone();
        let verified = self.verify(&command.events, &command.keys, &rules);
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.engine_memory.trim();
        let mut intake = Intake::default();
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
                    event_id: None,
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
        for it in keys {
            let Ok(key) = VerifyKey::decode(&it.key) else { continue };
            let key = match it.expired_ms {
                Some(expired_ms) => VerifyKey::old(&key, expired_ms),
                None => VerifyKey::current(&key, it.valid_until_ms),
            };
            if let Ok(key) = key {
                keyring.insert(it.server.clone(), it.key_id.clone(), key);
            }
        }
        let own = &self.server.signing_key;
        if let Ok(key) = VerifyKey::decode(&own.public_base64())
            && let Ok(key) = VerifyKey::current(&key, u64::MAX)
        {
            keyring.insert(self.server.name.clone(), own.id().to_owned(), key);
        }
        keyring
    }
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
