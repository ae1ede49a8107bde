//! What of a user's rules decides which events count for them: as rooms are given it.

use ruma::{
    RoomId, UserId,
    push::{
        Action, AnyPushRuleRef, ConditionalPushRule, HighlightTweakValue, PushCondition, Ruleset,
        Tweak,
    },
};
use serde::{Deserialize, Serialize};

use super::{UserRules, glob::Glob, kind_of, level::Level};

/// The rules of a user as far as they decide whether events notify and are highlighted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CountingRules {
    rules: UserRules,
    /// Goes up when the user changes their rules.
    pub revision: u64,
}

impl CountingRules {
    /// Without rules that match nothing, sounds, and server-default rules that notify as ever.
    pub(super) fn new(rules: &Ruleset, user_id: &UserId, revision: u64) -> Option<Self> {
        let default = Ruleset::server_default(user_id);
        let counts = |rule: AnyPushRuleRef<'_>| {
            if !rule.is_server_default() {
                return rule.enabled();
            }
            default.get(kind_of(rule), rule.rule_id()).is_some_and(|it| {
                it.enabled() != rule.enabled()
                    || Level::of(it.actions()) != Level::of(rule.actions())
            })
        };
        let mut rules = rules.clone();
        rules.override_.retain(|it| counts(AnyPushRuleRef::Override(it)));
        rules.content.retain(|it| counts(AnyPushRuleRef::Content(it)));
        rules.room.retain(|it| counts(AnyPushRuleRef::Room(it)));
        rules.sender.retain(|it| counts(AnyPushRuleRef::Sender(it)));
        rules.underride.retain(|it| counts(AnyPushRuleRef::Underride(it)));
        Self { rules: UserRules(without_sounds(rules)), revision }.unless_default()
    }

    /// All rules, with all that their actions say.
    pub(super) fn whole(rules: UserRules) -> Self {
        Self { rules, revision: 0 }
    }

    fn unless_default(self) -> Option<Self> {
        (!self.rules.is_default()).then_some(self)
    }

    /// Those that may match in one room; none where the server-default rules are all that may.
    pub fn in_room(&self, room_id: &RoomId) -> Option<Self> {
        let UserRules(all) = &self.rules;
        // Conditions that hold for all of the room are none.
        let in_room = |rule: &ConditionalPushRule| {
            let may_match =
                !rule.conditions.iter().any(|it| is_of_room(it, room_id) == Some(false));
            may_match.then(|| {
                let mut rule = rule.clone();
                if !rule.default {
                    rule.conditions.retain(|it| is_of_room(it, room_id).is_none());
                }
                rule
            })
        };
        let mut rules = Ruleset::new();
        rules.override_ = all.override_.iter().filter_map(in_room).collect();
        rules.content.clone_from(&all.content);
        rules.room.extend(all.room.get(room_id.as_str()).cloned());
        rules.sender.clone_from(&all.sender);
        rules.underride = all.underride.iter().filter_map(in_room).collect();
        Self { rules: UserRules(rules), revision: self.revision }.unless_default()
    }

    /// All rules of the user that may match.
    pub(super) fn all(&self, user_id: &UserId) -> Ruleset {
        self.rules.all(user_id)
    }
}

/// Whether a condition holds in this room, where it asks for nothing but that.
fn is_of_room(condition: &PushCondition, room_id: &RoomId) -> Option<bool> {
    match condition {
        PushCondition::EventMatch(it) if it.key == "room_id" => {
            // Most clients name a room by its ID: somebody may have a thousand such rules.
            let is_id = it.pattern.is_ascii() && !it.pattern.contains(['*', '?']);
            Some(match is_id {
                true => it.pattern.eq_ignore_ascii_case(room_id.as_str()),
                false => Glob::new(&it.pattern).is_some_and(|it| it.matches(room_id.as_str())),
            })
        }
        _ => None,
    }
}

/// The rules with what decides of their actions.
fn without_sounds(mut rules: Ruleset) -> Ruleset {
    macro_rules! without_sounds {
        ($($kind:ident),+) => {
            $(rules.$kind = rules.$kind.into_iter().map(|mut rule| {
                rule.actions = actions(Level::of(&rule.actions));
                rule
            }).collect();)+
        };
    }
    without_sounds!(override_, content, room, sender, underride);
    rules
}

fn actions(level: Level) -> Vec<Action> {
    match level {
        Level::Nothing => Vec::new(),
        Level::Notify => vec![Action::Notify],
        Level::Highlight => {
            vec![Action::Notify, Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes))]
        }
    }
}
