//! What is asked of a user's push rules.

use ruma::api::client::push::RuleKind;
use serde::{Deserialize, Serialize};
use skerry_core::push_rules::{Change, CountingRules, UserRules, as_text};

use super::{StreamPosition, UserId};

/// What the user has changed of the server-default push rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetPushRules {}

/// Change one push rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangePushRule {
    /// Of which kind it is.
    pub kind: RuleKind,
    /// Its ID.
    pub rule_id: String,
    /// What is changed.
    #[serde(with = "as_text")]
    pub change: Change,
}

/// The push rules of a user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PushRules {
    /// What they differ in from the server-default ones.
    pub rules: UserRules,
    /// When in the stream that changed.
    pub revision: StreamPosition,
}

impl PushRules {
    /// All of them, with what their actions say.
    pub fn whole(self) -> CountingRules {
        self.rules.into()
    }

    /// What rooms have to know of them to count.
    pub fn counting(&self, user_id: &UserId) -> Option<CountingRules> {
        self.rules.counting(user_id, self.revision)
    }
}
