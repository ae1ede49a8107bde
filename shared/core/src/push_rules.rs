//! Push rules ([spec]): which a user has, how they are changed, and how much of that is kept.
//!
//! Kept is what differs from the server-default rules: so a user gets what a later version of the
//! specification changes of those, and who has never changed a rule has nothing stored.
//!
//! The rules, and how they are ordered, are ruma's. What an event comes to by them is found out by
//! [`evaluate`] and not by ruma, which writes all paths of an event out, makes a regular expression
//! anew for each pattern and event, and fails for large ones: events and patterns are others'.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-rules

pub mod as_text;
mod counting;
pub mod evaluate;
mod glob;
mod level;
mod property;
#[cfg(test)]
mod tests;

use ruma::{
    RoomId, UserId,
    api::client::push::RuleKind,
    push::{
        Action, AnyPushRuleRef, InsertPushRuleError, NewConditionalPushRule, NewPatternedPushRule,
        NewPushRule, NewSimplePushRule, PushCondition, Ruleset,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as JsonValue, json, value::to_raw_value};

pub use self::counting::CountingRules;

/// Which server-default rules these are. Goes up whenever they change, so that clients are told;
/// a test has their text.
pub const SERVER_DEFAULT_VERSION: u64 = 1;

/// Rules that a user may add.
pub const MAX_RULES: usize = 1_000;

/// Bytes of all that a user changes of the server-default rules, as JSON: a room rule for each of
/// a thousand rooms fits.
pub const MAX_BYTES: usize = 192 * 1024;

/// Bytes of a rule's ID.
pub const MAX_RULE_ID_BYTES: usize = 255;

/// Bytes of a pattern.
pub const MAX_PATTERN_BYTES: usize = 255;

/// The kinds of rules. Each is always there, which ruma leaves out where it has no rules.
const KINDS: [&str; 5] = ["content", "override", "room", "sender", "underride"];

/// What a user's rules have that the server-default ones have not: the rules that the user has
/// added, and the server-default ones that they have changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserRules(#[serde(with = "as_text")] Ruleset);

/// A change of a user's rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A rule is added, or another one takes its place.
    Put(NewRule),
    /// A rule that the user has added goes.
    Remove,
    /// A rule matches, or does not.
    SetEnabled(bool),
    /// What follows from a match.
    SetActions(Vec<Action>),
}

/// A rule that a user adds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NewRule {
    /// When it matches: of override and underride rules.
    pub conditions: Vec<PushCondition>,
    /// What the text of a message must have: of content rules.
    pub pattern: Option<String>,
    /// What follows from a match.
    pub actions: Vec<Action>,
    /// The rule that comes right after it.
    pub before: Option<String>,
    /// The rule that comes right before it.
    pub after: Option<String>,
}

/// Why rules are not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such rule.
    #[error("the push rule does not exist")]
    NotFound,
    /// The rule that another one is to stand beside does not exist.
    #[error("before/after rule not found: {0}")]
    UnknownNeighbour(String),
    /// What is asked for is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// It would be too much.
    #[error("{0}")]
    TooLarge(&'static str),
}

impl UserRules {
    /// Whether they are the server-default rules.
    pub fn is_default(&self) -> bool {
        self.0.iter().next().is_none()
    }

    /// All rules of a user, in their order.
    pub fn all(&self, user_id: &UserId) -> Ruleset {
        let mut all = self.0.clone();
        all.update_with_server_default(Ruleset::server_default(user_id));
        all
    }

    /// What all rules of a user differ in from the server-default ones.
    fn of(mut all: Ruleset, user_id: &UserId) -> Self {
        let default = Ruleset::server_default(user_id);
        let is_changed = |rule: AnyPushRuleRef<'_>| !is_in(rule, &default);
        all.override_.retain(|it| is_changed(AnyPushRuleRef::Override(it)));
        all.content.retain(|it| is_changed(AnyPushRuleRef::Content(it)));
        all.underride.retain(|it| is_changed(AnyPushRuleRef::Underride(it)));
        Self(all)
    }

    /// The rules after a change of one.
    ///
    /// # Errors
    ///
    /// See [`Refusal`].
    pub fn change(
        &self,
        user_id: &UserId,
        (kind, rule_id): (&RuleKind, &str),
        change: Change,
    ) -> Result<Self, Refusal> {
        let mut all = self.all(user_id);
        match change {
            Change::Put(rule) => put(&mut all, kind, rule_id, rule)?,
            Change::Remove => remove(&mut all, kind, rule_id)?,
            Change::SetEnabled(enabled) => {
                let set = all.set_enabled(kind.clone(), rule_id, enabled);
                set.map_err(|_| Refusal::NotFound)?;
            }
            Change::SetActions(actions) => {
                let set = all.set_actions(kind.clone(), rule_id, actions);
                set.map_err(|_| Refusal::NotFound)?;
            }
        }
        let changed = Self::of(all, user_id);
        changed.check_size(self)?;
        Ok(changed)
    }

    /// Refuses what is too much. What is no more than before is not refused.
    fn check_size(&self, before: &Self) -> Result<(), Refusal> {
        let (rules, bytes) = self.size();
        let (rules_before, bytes_before) = before.size();
        if rules > MAX_RULES && rules > rules_before {
            return Err(Refusal::TooLarge("there are too many push rules: remove some of them"));
        }
        if bytes > MAX_BYTES && bytes > bytes_before {
            return Err(Refusal::TooLarge("the push rules are too large: remove some of them"));
        }
        Ok(())
    }

    /// How many rules the user has added, and the bytes of everything.
    fn size(&self) -> (usize, usize) {
        let rules = self.0.iter().filter(|it| !it.is_server_default()).count();
        (rules, self.bytes())
    }

    /// The bytes of all of it, as JSON.
    pub fn bytes(&self) -> usize {
        to_raw_value(&self.0).map_or(usize::MAX, |it| it.get().len())
    }

    /// What of them decides which events count, if anything does that the server-default rules
    /// decide otherwise. `revision`: of two versions of a user's rules the later one has a higher.
    pub fn counting(&self, user_id: &UserId, revision: u64) -> Option<CountingRules> {
        CountingRules::new(&self.0, user_id, revision)
    }
}

impl From<UserRules> for CountingRules {
    /// All of them, with all that their actions say.
    fn from(rules: UserRules) -> Self {
        Self::whole(rules)
    }
}

/// The rules as clients get them: with every kind of them.
///
/// # Errors
///
/// Rules that cannot be written as JSON.
pub fn render(rules: &Ruleset) -> serde_json::Result<JsonValue> {
    let mut rendered: JsonValue = serde_json::from_str(to_raw_value(rules)?.get())?;
    if let Some(rules) = rendered.as_object_mut() {
        for kind in KINDS {
            rules.entry(kind).or_insert_with(|| json!([]));
        }
    }
    Ok(rendered)
}

/// Whether a rule is among these as it is.
fn is_in(rule: AnyPushRuleRef<'_>, rules: &Ruleset) -> bool {
    let Some(other) = rules.get(kind_of(rule), rule.rule_id()) else { return false };
    let actions = |it: AnyPushRuleRef<'_>| to_raw_value(it.actions()).map(|it| it.to_string()).ok();
    rule.enabled() == other.enabled() && actions(rule) == actions(other)
}

fn kind_of(rule: AnyPushRuleRef<'_>) -> RuleKind {
    match rule {
        AnyPushRuleRef::Override(_) => RuleKind::Override,
        AnyPushRuleRef::Content(_) => RuleKind::Content,
        AnyPushRuleRef::Room(_) => RuleKind::Room,
        AnyPushRuleRef::Sender(_) => RuleKind::Sender,
        _ => RuleKind::Underride,
    }
}

/// Adds a rule, or puts it in the place of the one that is there.
fn put(all: &mut Ruleset, kind: &RuleKind, rule_id: &str, mut new: NewRule) -> Result<(), Refusal> {
    let (before, after) = (new.before.take(), new.after.take());
    let rule = read(kind, rule_id, new)?;
    let old = all.get(kind.clone(), rule_id).map(AnyPushRuleRef::enabled);
    let is_moved = before.is_some() || after.is_some();
    if let Some(own) = before.iter().chain(&after).find(|it| *it == rule_id) {
        return Err(Refusal::UnknownNeighbour(own.clone()));
    }
    if is_moved && old.is_some() {
        // ruma counts a rule that is moved among those that it is moved between, and fails for
        // the last place.
        remove(all, kind, rule_id)?;
    }
    all.insert(rule, after.as_deref(), before.as_deref()).map_err(|error| match error {
        InsertPushRuleError::UnknownRuleId => {
            let named = after.iter().chain(&before);
            let missing = named.into_iter().find(|it| all.get(kind.clone(), it).is_none());
            Refusal::UnknownNeighbour(missing.cloned().unwrap_or_default())
        }
        other => Refusal::Invalid(other.to_string()),
    })?;
    if let Some(enabled) = old.filter(|_| is_moved) {
        let set = all.set_enabled(kind.clone(), rule_id, enabled);
        set.map_err(|_| Refusal::NotFound)?;
    }
    Ok(())
}

fn remove(all: &mut Ruleset, kind: &RuleKind, rule_id: &str) -> Result<(), Refusal> {
    match all.get(kind.clone(), rule_id) {
        None => Err(Refusal::NotFound),
        Some(rule) if rule.is_server_default() => {
            let message = "a server-default rule cannot be removed: it can be disabled";
            Err(Refusal::Invalid(message.to_owned()))
        }
        Some(_) => all.remove(kind.clone(), rule_id).map_err(|_| Refusal::NotFound),
    }
}

/// A new rule of a kind, as ruma has it.
fn read(kind: &RuleKind, rule_id: &str, new: NewRule) -> Result<NewPushRule, Refusal> {
    let NewRule { conditions, pattern, actions, .. } = new;
    let patterns = conditions.iter().filter_map(|it| match it {
        PushCondition::EventMatch(it) => Some(&it.pattern),
        _ => None,
    });
    if patterns.chain(&pattern).any(|it| it.len() > MAX_PATTERN_BYTES) {
        return Err(Refusal::TooLarge("the pattern of a push rule is too long"));
    }
    if rule_id.len() > MAX_RULE_ID_BYTES {
        return Err(Refusal::TooLarge("the ID of the push rule is too long"));
    }
    let invalid = |message: &str| Refusal::Invalid(message.to_owned());
    let id = rule_id.to_owned();
    Ok(match kind {
        RuleKind::Override => {
            NewPushRule::Override(NewConditionalPushRule::new(id, conditions, actions))
        }
        RuleKind::Underride => {
            NewPushRule::Underride(NewConditionalPushRule::new(id, conditions, actions))
        }
        RuleKind::Content => {
            let pattern = pattern.ok_or_else(|| invalid("a content rule has a pattern"))?;
            NewPushRule::Content(NewPatternedPushRule::new(id, pattern, actions))
        }
        RuleKind::Room => {
            let id = RoomId::parse(id).map_err(|_| invalid("a room rule is named by its room"))?;
            NewPushRule::Room(NewSimplePushRule::new(id, actions))
        }
        RuleKind::Sender => {
            let id = UserId::parse(id);
            let id = id.map_err(|_| invalid("a sender rule is named by its sender"))?;
            NewPushRule::Sender(NewSimplePushRule::new(id, actions))
        }
        _ => return Err(invalid("there is no such kind of push rules")),
    })
}
