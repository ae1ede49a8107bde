//! Events of other servers ([spec]): checked, decided by the engine, written.
//!
//! What waits for events it names is kept, a bounded number of it, and received when they come.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu

use std::sync::Arc;

use ruma::{OwnedEventId, ServerSigningKeyId, room_version_rules::RoomVersionRules};
use skerry_core::{
    Pdu,
    receipt::{self, Keyring, Unverified, Verified},
};

use crate::{
    Error, Result, known_keys,
    messages::{
        RawJson, ServerKey,
        room::{Kind, Outcome, Receive, Received},
    },
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake, Own},
        loaded::{Loaded, draft::Transaction, in_memory},
    },
    server::Server,
};

impl Room {
    /// Receives events of other servers.
    pub(crate) async fn receive(self: &Arc<Self>, command: Receive) -> Result<Vec<Received>> {
        let (rules, policy) = {
            let room = self.read().await;
            if matches!(room, Err(Error::UnknownRoom)) && command.origin.is_some() {
                drop(room);
                return self.keep_early(command).await;
            }
            let room = room?;
            if let Some(origin) = &command.origin
                && !self.is_let_in(&room, origin).await?
            {
                let reason = "the room keeps this server out";
                return Ok(dropped(&command.events, reason));
            }
            let policy = match command.kind {
                Kind::Live => self.policy_server(&room).await?,
                Kind::Outlier | Kind::History => None,
            };
            (room.rules.clone(), policy)
        };
        let mut verified = self.verify(&command.events, &command.keys, &rules);
        if let Some(policy) = policy {
            self.add_policy_signatures(&policy, &mut verified, &rules).await?;
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.engine_memory.trim(room.state);
        let mut intake = Intake { hands_on: command.hand_on, ..Intake::default() };
        let events = self.receive_all(room, verified, &command, &mut intake).await;
        intake.changed.append(&mut room.unwritten.take_untold());
        if self.doubt.is_ahead() {
            // What could not be written is no news.
            room.has_news = room.unwritten.had_news();
        }
        room.engine_memory.trim(room.state);
        // Also when not all of them could be received.
        self.deliver_changes(guard, intake.changed).await;
        if intake.lacks {
            self.fill_later();
        }
        events
    }

    /// Receives an event that this server has made for a user, and that another server has signed.
    /// One that the room does not accept by then is not kept.
    pub(crate) async fn receive_own(
        self: &Arc<Self>,
        pdu: Pdu,
        transaction: Option<Transaction>,
    ) -> Result<OwnedEventId> {
        let (event_id, sender) = (pdu.event_id.clone(), pdu.sender.clone());
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        room.engine_memory.trim(room.state);
        let mut intake = Intake::default();
        let own = Some(Own { transaction: transaction.clone() });
        let arrived = Arrived { pdu: Arc::new(pdu), kind: Kind::Live, own };
        let outcome = self.receive_event(room, arrived, &mut intake).await;
        room.engine_memory.trim(room.state);
        let repeated = match &outcome {
            Err(Error::Conflict) => self.repeated(&sender, transaction.as_ref()).await?,
            _ => None,
        };
        if let Some(repeated) = repeated {
            // It was refused for the transaction's key, and left nothing behind.
            self.doubt.clear();
            return Ok(repeated);
        }
        self.deliver_changes(guard, intake.changed).await;
        match outcome? {
            Outcome::Accepted { .. } | Outcome::Known => Ok(event_id),
            Outcome::SoftFailed { reason } | Outcome::Rejected { reason } => {
                Err(Error::forbidden(reason))
            }
            other => Err(Error::internal(format!("an own event became {other:?}"))),
        }
    }

    async fn receive_all(
        self: &Arc<Self>,
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
        let pdus: Vec<_> = arrived.iter().map(|(_, pdu, _)| Arc::clone(pdu)).collect();
        let received = self.receive_together(room, &pdus, command.kind, intake).await?;
        let done = arrived.into_iter().zip(received).map(|((at, pdu, redacted), outcome)| {
            let outcome = match outcome {
                Outcome::Accepted { .. } => Outcome::Accepted { redacted },
                other => other,
            };
            (at, Received { event_id: Some(pdu.event_id.clone()), outcome })
        });
        Ok(finish(outcomes, done))
    }

    /// Checks format, signatures and content hash.
    pub(crate) fn verify(
        &self,
        events: &[RawJson],
        keys: &[ServerKey],
        rules: &RoomVersionRules,
    ) -> Vec<std::result::Result<Verified, Received>> {
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
        let keyring = self.keyring(keys, &received);
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

    /// The keys that came with events, and this server's own where it is to have signed one of
    /// them. One that is no key is as good as none.
    fn keyring(&self, keys: &[ServerKey], events: &[receipt::Received]) -> Keyring {
        let mut keyring = Keyring::default();
        let is_own = |it: &receipt::Received| it.signers().any(|it| *it == self.server.name);
        let own = match events.iter().any(is_own) {
            true => own_keys(&self.server),
            false => Vec::new(),
        };
        let keys = keys.iter().filter(|it| it.server != self.server.name).cloned();
        for it in keys.chain(own) {
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
    let next = keys.next.iter().map(|it| key(&it.id, &it.public_base64, None));
    old.chain(next).chain([key(keys.current.id(), &keys.current.public_base64(), None)]).collect()
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
