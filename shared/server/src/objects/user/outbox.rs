//! The outbox: what must still be done elsewhere for what was committed here. Rooms must show a
//! new profile, forget who has forgotten them, and let go of a closed account; the list of accounts
//! must be brought up to date.
//!
//! An entry is written with its cause in one batch, and removed when it has been done: at least
//! once, also after a crash. There is one entry for each kind and what it is about; a later one
//! replaces an earlier one, also while that is under way. What fails is put off by itself, for
//! longer each time, and holds up no other entry. A room may refuse (the user may have left it):
//! that is an answer. Entries of a kind that this program does not know stay for the program that
//! does.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, Either},
    stream,
};
use http::StatusCode;
use ruma::{OwnedDeviceId, OwnedMxcUri, RoomId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::{Due, State, User, limits};
use crate::{
    Error, Result,
    messages::{Ask as _, Caller, RawJson, room},
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::{
        global::{
            accounts::{self, ListedAccount},
            registration_tokens,
        },
        user::outbox::{self, Entry, NO_ROOM, NewEntry},
    },
};

/// What may have to be done. The fields are what is stored of it; what can be read when it is
/// done is not among them.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Effect {
    /// Bring the list of accounts up to date, and what is spent of registration tokens.
    ListAccount {},
    /// Leave every room, and forget it.
    Leave {
        /// The device that closed the account; empty where a room tells of a membership later.
        device_id: OwnedDeviceId,
    },
    /// Show the profile in every joined room.
    UpdateProfile {},
    /// Tell every joined room that the keys of devices, or the devices, have changed.
    ChangeDevices {},
    /// Have a room forget the user.
    Forget {},
    /// Tell other servers that the user has left a room that is not here.
    TurnDown {
        /// What the membership says.
        content: RawJson,
    },
}

/// Names of effects in the store. Never changed: rows are found by them.
const LIST_ACCOUNT: &str = "list_account";
const LEAVE: &str = "leave";
const UPDATE_PROFILE: &str = "update_profile";
const CHANGE_DEVICES: &str = "change_devices";
const FORGET: &str = "forget";
const TURN_DOWN: &str = "turn_down";
const KINDS: &[&str] = &[LIST_ACCOUNT, LEAVE, UPDATE_PROFILE, CHANGE_DEVICES, FORGET, TURN_DOWN];

impl Effect {
    fn kind(&self) -> &'static str {
        match self {
            Self::ListAccount {} => LIST_ACCOUNT,
            Self::Leave { .. } => LEAVE,
            Self::UpdateProfile {} => UPDATE_PROFILE,
            Self::ChangeDevices {} => CHANGE_DEVICES,
            Self::Forget {} => FORGET,
            Self::TurnDown { .. } => TURN_DOWN,
        }
    }
}

/// What entries of the kind [`LEAVE`] store.
#[derive(Deserialize)]
struct Leave {
    device_id: OwnedDeviceId,
}

impl User {
    /// The statement that writes an effect of the account, for every room it concerns.
    pub(super) fn outbox_entry(
        &self,
        state: &State,
        effect: &Effect,
        agenda: &mut AgendaPlan<Due>,
    ) -> Result<Stmt> {
        self.write_effect(state, effect, agenda, |scope, entry| match effect {
            Effect::ListAccount {} => outbox::upsert(scope, NO_ROOM, entry),
            Effect::Leave { .. } | Effect::Forget {} | Effect::TurnDown { .. } => {
                outbox::upsert_all(scope, entry)
            }
            Effect::UpdateProfile {} | Effect::ChangeDevices {} => {
                outbox::upsert_joined(scope, entry)
            }
        })
    }

    /// The statement that writes an effect on one room.
    pub(super) fn outbox_entry_about(
        &self,
        state: &State,
        effect: &Effect,
        room_id: &RoomId,
        agenda: &mut AgendaPlan<Due>,
    ) -> Result<Stmt> {
        let write = |scope, entry: NewEntry<'_>| outbox::upsert(scope, room_id.as_str(), entry);
        self.write_effect(state, effect, agenda, write)
    }

    fn write_effect(
        &self,
        state: &State,
        effect: &Effect,
        agenda: &mut AgendaPlan<Due>,
        write: impl FnOnce(i64, NewEntry<'_>) -> Stmt,
    ) -> Result<Stmt> {
        let now_ms = self.host.clock().now_ms();
        let command = serde_json::to_string(effect)?;
        let (kind, seq) = (effect.kind(), state.seq + 1);
        // It is tried at once; this is for when that comes to nothing.
        agenda.set(Due::Outbox, now_ms + limits::OUTBOX_RETRY_MS);
        Ok(write(self.scope(), NewEntry { kind, command: &command, seq, due_ms: now_ms }))
    }

    /// The statement that takes all effects of a kind back.
    pub(super) fn nothing_to_do(&self, effect: &Effect) -> Stmt {
        outbox::remove_kind(self.scope(), effect.kind())
    }

    /// Drains the outbox when the reply has been given.
    pub(super) fn drain_outbox_later(self: &Arc<Self>) {
        self.drain_outbox_and_drop(());
    }

    /// Drains the outbox while the reply is given, and then drops something.
    fn drain_outbox_and_drop(self: &Arc<Self>, guard: impl Send + 'static) {
        let user = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            if let Err(error) = user.drain_outbox().await {
                // The agenda has it.
                tracing::warn!(%error, user_id = %user.id, "the outbox could not be drained");
            }
            drop(guard);
        }));
    }

    /// As [`Self::drain_outbox_later`]; the reply waits a moment for it, so that a client finds
    /// what it has changed.
    pub(super) async fn drain_outbox_soon(self: &Arc<Self>) {
        let (done, is_done) = oneshot::channel::<()>();
        self.drain_outbox_and_drop(done);
        let wait = self.host.sleep(Duration::from_millis(limits::OUTBOX_WAIT_MS));
        future::select(is_done, wait).await;
    }

    /// Does what may be tried, for a bounded number of rounds, and says in the agenda when to go
    /// on.
    pub(super) async fn drain_outbox(&self) -> Result<()> {
        let _turn = self.outbox.lock().await;
        let (sql, scope) = (self.sql(), self.scope());
        for _ in 0..limits::OUTBOX_ROUNDS {
            let (now_ms, limit) = (self.host.clock().now_ms(), limits::OUTBOX_PER_ROUND);
            let entries = outbox::list_due(sql, scope, KINDS, now_ms, limit).await?;
            if entries.is_empty() {
                break;
            }
            let profile = self.profile_in_rooms().await?;
            let stmts = stream::iter(entries)
                .map(|entry| self.attempt(entry, &profile))
                .buffer_unordered(limits::OUTBOX_AT_ONCE)
                .collect()
                .await;
            self.host.commit(stmts, None).await?;
        }
        // Entries are written under the same lock: none is missed.
        let mut state = self.lock().await?;
        let mut agenda = AgendaPlan::default();
        match outbox::find_next_due_ms(sql, scope, KINDS).await? {
            Some(due_ms) => agenda.set(Due::Outbox, due_ms),
            None if state.agenda.at_ms(Due::Outbox).is_none() => return Ok(()),
            None => agenda.clear(Due::Outbox),
        }
        self.write(&mut state, Vec::new(), agenda).await
    }

    /// Tries one entry in a bounded time, and gives the statement that records what became of it.
    async fn attempt(&self, entry: Entry, profile: &InRooms) -> Stmt {
        let work = async {
            match entry.kind.as_str() {
                LIST_ACCOUNT => self.list_account().await,
                LEAVE => self.leave(&entry).await,
                CHANGE_DEVICES => self.tell_devices_changed(&entry).await,
                FORGET => self.forget_in_room(&entry).await,
                TURN_DOWN => self.tell_turned_down(&entry).await,
                _ => self.update_profile(&entry, profile).await,
            }
        };
        let timeout = self.host.sleep(Duration::from_millis(limits::OUTBOX_ATTEMPT_MS));
        let outcome = match future::select(Box::pin(work), timeout).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Error::internal("it took too long")),
        };
        match outcome {
            Ok(()) => outbox::remove(self.scope(), &entry),
            // A refusal is an answer too.
            Err(error) if is_answer(&error) => outbox::remove(self.scope(), &entry),
            Err(error) => {
                let (kind, about) = (&entry.kind, &entry.about);
                // What it says may be another server's words.
                let status = error.status().as_u16();
                tracing::warn!(status, user_id = %self.id, kind, about, "an effect failed");
                let doublings = entry.attempts.min(limits::OUTBOX_RETRY_DOUBLINGS);
                let later_ms = limits::OUTBOX_RETRY_MS << doublings;
                let due_ms = self.host.clock().now_ms() + later_ms;
                outbox::update_failed(self.scope(), &entry, due_ms)
            }
        }
    }

    async fn list_account(&self) -> Result<()> {
        let mut state = self.lock().await?;
        let Some(account) = self.account(&mut state).await?.account.clone() else { return Ok(()) };
        drop(state);
        let listed = ListedAccount {
            is_admin: account.is_admin,
            created_at_ms: account.created_at_ms,
            deactivated_at_ms: account.deactivated_at_ms,
        };
        let mut stmts = vec![accounts::upsert(&self.id, &listed)];
        let token_hash = account.registration_token.iter();
        stmts.extend(token_hash.map(|it| registration_tokens::update_spent(it, &self.id)));
        self.host.global().batch(stmts).await?;
        Ok(())
    }

    async fn leave(&self, entry: &Entry) -> Result<()> {
        let Leave { device_id } = command(entry)?;
        let leave = room::ChangeMembership {
            caller: Caller { user_id: self.id.clone(), device_id },
            target: self.id.clone(),
            action: room::MembershipAction::Leave,
            reason: None,
            displayname: None,
            avatar_url: None,
            is_direct: false,
        };
        match self.ask_room(entry, leave.into_command()).await {
            Err(Error::UnknownRoom) => self.leave_elsewhere(entry).await?,
            // Whoever has left may be refused.
            Err(error) if !is_answer(&error) => return Err(error),
            _ => {}
        }
        // Nobody comes back to forget the room. One that has not let go of the user is asked again.
        match self.forget_in_room(entry).await {
            Err(Error::Api { status: StatusCode::BAD_REQUEST, message, .. }) => {
                Err(Error::internal(message))
            }
            other => other,
        }
    }

    async fn forget_in_room(&self, entry: &Entry) -> Result<()> {
        let forget = room::Forget { user_id: self.id.clone() };
        self.ask_room(entry, forget.into_command()).await
    }

    async fn update_profile(&self, entry: &Entry, profile: &InRooms) -> Result<()> {
        let (displayname, avatar_url) = profile.clone();
        let user_id = self.id.clone();
        let update = room::UpdateProfile { user_id, displayname, avatar_url };
        self.ask_room(entry, update.into_command()).await
    }

    pub(super) async fn ask_room(&self, entry: &Entry, command: room::Command) -> Result<()> {
        let room_id = <&RoomId>::try_from(entry.about.as_str()).map_err(Error::internal)?;
        self.host.objects().room(room_id, command).await?;
        Ok(())
    }
}

/// What membership events repeat of the profile.
type InRooms = (Option<String>, Option<OwnedMxcUri>);

/// Whether asking again changes nothing: where a room's policy server cannot be asked, it may.
pub(super) fn is_answer(error: &Error) -> bool {
    error.is_refusal() && !error.status().is_server_error()
}

/// What an entry stores besides its kind.
fn command<T: DeserializeOwned>(entry: &Entry) -> Result<T> {
    serde_json::from_str(&entry.command).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn what_is_stored_of_an_effect_is_read_again() {
        let effects = [
            (Effect::ListAccount {}, "{}"),
            (Effect::Leave { device_id: "D".into() }, r#"{"device_id":"D"}"#),
            (Effect::UpdateProfile {}, "{}"),
            (Effect::ChangeDevices {}, "{}"),
            (Effect::Forget {}, "{}"),
            (Effect::TurnDown { content: to_raw_value(&1).unwrap() }, r#"{"content":1}"#),
        ];
        for (effect, json) in effects {
            assert!(KINDS.contains(&effect.kind()));
            assert_eq!(serde_json::to_string(&effect).unwrap(), json);
        }
        let leave: Leave = serde_json::from_str(r#"{"device_id":"D","newer":1}"#).unwrap();
        assert_eq!(leave.device_id, "D");
    }
}
