//! Push rules ([`skerry_core::push_rules`]): the user's own, and those that all begin with.

use http::StatusCode;
use ruma::api::error::ErrorKind;
use skerry_core::push_rules::{Refusal, SERVER_DEFAULT_VERSION};

use super::{State, User, limits};
use crate::{
    Error, Result,
    messages::user::{ChangePushRule, PushRules},
    objects::held::Held,
    store::user::push_rules,
};

/// The server-default rules that clients were told of where nothing is stored.
const FIRST_SERVER_DEFAULT: u64 = 1;

/// A rule in memory takes some times the bytes that it has as JSON.
const BYTES_IN_MEMORY: usize = 4;

/// The rules in memory.
#[derive(Debug)]
pub(super) struct LoadedRules {
    rules: PushRules,
    #[expect(dead_code, reason = "it counts for as long as the rules are here")]
    held: Held,
}

impl LoadedRules {
    fn new(rules: PushRules) -> Self {
        let mut held = Held::of(&limits::USERS);
        if !rules.rules.is_default() {
            held.set(rules.rules.bytes() * BYTES_IN_MEMORY);
        }
        Self { rules, held }
    }
}

impl User {
    /// The push rules, read when they are asked for first. Where the server-default ones have
    /// changed since clients were told of them, that is news.
    pub(super) async fn push_rules<'a>(&self, state: &'a mut State) -> Result<&'a PushRules> {
        let loaded = match state.push_rules.take() {
            Some(loaded) => loaded,
            None => {
                let found = push_rules::find(self.sql(), self.scope()).await?;
                let (rules, told) =
                    found.unwrap_or_else(|| (PushRules::default(), FIRST_SERVER_DEFAULT));
                match told == SERVER_DEFAULT_VERSION {
                    true => LoadedRules::new(rules),
                    false => self.write_push_rules(state, rules).await?,
                }
            }
        };
        Ok(&state.push_rules.insert(loaded).rules)
    }

    /// What differs from the server-default rules.
    pub(super) async fn get_push_rules(&self) -> Result<Box<PushRules>> {
        let mut state = self.lock().await?;
        self.push_rules(&mut state).await.cloned().map(Box::new)
    }

    /// Changes one rule.
    pub(super) async fn change_push_rule(&self, it: ChangePushRule) -> Result<()> {
        let mut state = self.lock_in_use().await?;
        let before = &self.push_rules(&mut state).await?.rules;
        let rules = before.change(&self.id, (&it.kind, &it.rule_id), it.change).map_err(refuse)?;
        let rules = PushRules { rules, revision: 0 };
        let loaded = self.write_push_rules(&mut state, rules).await?;
        state.push_rules = Some(loaded);
        Ok(())
    }

    async fn write_push_rules(
        &self,
        state: &mut State,
        mut rules: PushRules,
    ) -> Result<LoadedRules> {
        rules.revision = state.seq + 1;
        let (scope, revision) = (self.scope(), rules.revision);
        let stmt = push_rules::upsert(scope, &rules.rules, SERVER_DEFAULT_VERSION, revision)?;
        self.commit(state, vec![stmt], None).await?;
        self.host.wake();
        Ok(LoadedRules::new(rules))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn refuse(refusal: Refusal) -> Error {
    let message = refusal.to_string();
    match refusal {
        Refusal::NotFound => Error::not_found(message),
        Refusal::UnknownNeighbour(_) => {
            Error::with_status(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message)
        }
        Refusal::Invalid(_) => Error::invalid_param(message),
        Refusal::TooLarge(_) => Error::api(ErrorKind::TooLarge, message),
    }
}
