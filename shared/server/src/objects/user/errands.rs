//! What the user's rooms must be asked: to show a new profile, to let go of a closed account.
//!
//! Each is a row in the store, written with its cause in one batch, and removed when the room has
//! answered: at least once, also after a crash. A room may refuse (the user may have left it);
//! only a room that fails is asked again.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedMxcUri, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{User, limits};
use crate::{
    Result,
    messages::{Ask as _, Caller, room, user},
    ports::Stmt,
    store::user::{
        account_data, devices, filters,
        outbox::{self, Errand},
    },
};

/// A command for a room, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Command {
    UpdateProfile { displayname: Option<String>, avatar_url: Option<OwnedMxcUri> },
    Leave { caller: Caller },
}

impl Command {
    fn into_message(self, user_id: OwnedUserId) -> room::Command {
        match self {
            Self::UpdateProfile { displayname, avatar_url } => {
                room::UpdateProfile { user_id, displayname, avatar_url }.into_command()
            }
            Self::Leave { caller } => {
                let leave = room::ChangeMembership {
                    caller,
                    target: user_id,
                    action: room::MembershipAction::Leave,
                    reason: None,
                    displayname: None,
                    avatar_url: None,
                    is_direct: false,
                };
                leave.into_command()
            }
        }
    }
}

impl User {
    /// Carries a new profile into every joined room.
    pub(super) async fn update_profile(
        self: &Arc<Self>,
        profile: user::UpdateProfile,
    ) -> Result<()> {
        let user::UpdateProfile { displayname, avatar_url } = profile;
        let command = serde_json::to_string(&Command::UpdateProfile { displayname, avatar_url })?;
        let mut state = self.lock().await?;
        let stmts = vec![outbox::insert_joined(self.scope(), &command, state.seq + 1)];
        self.commit(&mut state, stmts, Some(self.retry_at_ms(0))).await?;
        drop(state);
        self.run_errands_later();
        Ok(())
    }

    /// The account is gone: removes what is private and leaves all rooms.
    pub(super) async fn deactivate(self: &Arc<Self>, caller: Caller) -> Result<()> {
        let command = serde_json::to_string(&Command::Leave { caller })?;
        let scope = self.scope();
        let mut state = self.lock().await?;
        let stmts = vec![
            outbox::insert_all(scope, &command, state.seq + 1),
            account_data::remove_all(scope),
            devices::remove_all(scope),
            filters::remove_all(scope),
        ];
        state.ignored_users = None;
        self.commit_and_wake(&mut state, stmts, Some(self.retry_at_ms(0))).await?;
        drop(state);
        self.run_errands_later();
        Ok(())
    }

    /// When to try again what has failed so often: each time twice as late.
    fn retry_at_ms(&self, attempts: u64) -> u64 {
        let doublings = attempts.min(limits::ERRAND_RETRY_DOUBLINGS);
        self.host.clock().now_ms() + (limits::ERRAND_RETRY_MS << doublings)
    }

    fn run_errands_later(self: &Arc<Self>) {
        let user = Arc::clone(self);
        self.host.defer(Box::pin(async move {
            if let Err(error) = user.run_errands().await {
                // The alarm goes on.
                tracing::warn!(%error, user_id = %user.id, "errands could not be run");
            }
        }));
    }

    /// Asks rooms, round by round, until there is nothing left to do or a room fails.
    pub(super) async fn run_errands(&self) -> Result<()> {
        let _turn = self.errands.lock().await;
        loop {
            let limit = limits::ERRANDS_PER_ROUND;
            let errands = outbox::list(self.sql(), self.scope(), limit).await?;
            if errands.is_empty() {
                return Ok(());
            }
            let outcomes: Vec<_> = stream::iter(errands)
                .map(|errand| self.run_errand(errand))
                .buffer_unordered(limits::ERRANDS_AT_ONCE)
                .collect()
                .await;
            let attempts = outcomes.iter().filter_map(|it| it.failed_attempts).min();
            let stmts = outcomes.into_iter().map(|it| it.stmt).collect();
            let retry = attempts.map(|it| self.retry_at_ms(it));
            self.host.commit(stmts, retry).await?;
            if retry.is_some() {
                return Ok(());
            }
        }
    }

    async fn run_errand(&self, errand: Errand) -> Outcome {
        let scope = self.scope();
        let done = |errand| Outcome { stmt: outbox::remove(scope, errand), failed_attempts: None };
        let Ok(command) = serde_json::from_str::<Command>(&errand.command) else {
            tracing::error!(user_id = %self.id, room_id = %errand.room_id, "an unknown errand");
            return done(&errand);
        };
        let message = command.into_message(self.id.clone());
        match self.host.objects().room(&errand.room_id, message).await {
            // A refusal is an answer too.
            Ok(_) => done(&errand),
            Err(error) if error.is_refusal() => done(&errand),
            Err(error) if errand.attempts >= limits::ERRAND_ATTEMPTS => {
                let room_id = &errand.room_id;
                tracing::error!(%error, user_id = %self.id, %room_id, "an errand is given up");
                done(&errand)
            }
            Err(error) => {
                let room_id = &errand.room_id;
                tracing::warn!(%error, user_id = %self.id, %room_id, "an errand failed");
                let stmt = outbox::update_failed(scope, &errand);
                Outcome { stmt, failed_attempts: Some(errand.attempts) }
            }
        }
    }
}

/// What became of an errand.
struct Outcome {
    stmt: Stmt,
    /// How often it had failed before, if it failed.
    failed_attempts: Option<u64>,
}
