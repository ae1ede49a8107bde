//! What events come to by a user's rules ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-rules

use std::ops::RangeBounds as _;

use ruma::{
    EventId, RoomId, UInt, UserId,
    power_levels::NotificationPowerLevelsKey,
    push::{
        Action, AnyPushRuleRef, PushCondition, PushConditionPowerLevelsCtx, RoomMemberCountIs,
        Ruleset, ScalarJsonValue,
    },
};
use serde_json::Value as JsonValue;

pub use super::level::Level;
use super::{CountingRules, glob::Glob, property::Path};

/// Bytes of text that are compared with patterns for one [`Budget`], about, each as often as there
/// are patterns: some tens of milliseconds.
pub const MAX_COMPARED_BYTES: u64 = 16 << 20;

/// The property that says that an event mentions the whole room.
const MENTIONS_ROOM: &str = r"content.m\.mentions.room";

/// What one read may still compare.
#[derive(Debug)]
pub struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_COMPARED_BYTES)
    }
}

impl Budget {
    /// So many bytes.
    #[cfg(test)]
    pub(super) fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A text is compared with a pattern; none: too much has been.
    fn compare(&mut self, text: &str) -> Option<()> {
        // Looking for a property costs something too.
        self.0 = self.0.checked_sub(text.len() as u64 + 16)?;
        Some(())
    }
}

/// What rules ask of the room of an event.
#[derive(Debug)]
pub struct Context<'a> {
    /// The room.
    pub room_id: &'a RoomId,
    /// Joined members.
    pub member_count: u64,
    /// What the user is called in the room.
    pub display_name: Option<&'a str>,
    /// Who has which power; none: nobody is known to have any.
    pub power_levels: Option<&'a PushConditionPowerLevelsCtx>,
}

/// A user's rules in one room, ready for events.
#[derive(Debug)]
pub struct Evaluator {
    /// Those that are enabled, up to the first that always matches.
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    conditions: Vec<Condition>,
    actions: Vec<Action>,
    level: Level,
}

#[derive(Debug)]
enum Condition {
    /// A text is this pattern.
    Matches(Path, Glob),
    /// What is said has this pattern among its words.
    Says(Path, Glob),
    Is(Path, ScalarJsonValue),
    Contains(Path, ScalarJsonValue),
    SaysDisplayName(Path),
    MemberCount(RoomMemberCountIs),
    MayNotify(NotificationPowerLevelsKey),
    /// It is not known, and holds for nothing.
    Unknown,
}

impl Evaluator {
    /// The rules of a user, for one room; none: the server-default ones.
    pub fn new(rules: Option<&CountingRules>, user_id: &UserId, room_id: &RoomId) -> Self {
        match rules {
            Some(rules) => Self::of(&rules.all(user_id), room_id),
            None => Self::of(&Ruleset::server_default(user_id), room_id),
        }
    }

    /// All of these rules, for one room.
    fn of(rules: &Ruleset, room_id: &RoomId) -> Self {
        let mut compiled = Vec::new();
        for rule in rules {
            let Some(conditions) = conditions(rule, room_id).filter(|_| rule.enabled()) else {
                continue;
            };
            let is_last = conditions.is_empty();
            let actions = rule.actions().to_vec();
            compiled.push(Rule { conditions, level: Level::of(&actions), actions });
            if is_last {
                break;
            }
        }
        Self { rules: compiled }
    }

    /// What every event comes to, where that is the same for all.
    pub fn constant(&self) -> Option<Level> {
        self.rules.first().filter(|it| it.conditions.is_empty()).map(|it| it.level)
    }

    /// Whether [`Context::display_name`] is asked for.
    pub fn asks_for_display_name(&self) -> bool {
        self.conditions().any(|it| matches!(it, Condition::SaysDisplayName(_)))
    }

    /// Whether [`Context::power_levels`] are asked for by events that do not mention the room.
    pub fn asks_for_powers(&self) -> bool {
        let mentions = Path::parse(MENTIONS_ROOM);
        self.rules.iter().any(|rule| {
            let has = |is: &dyn Fn(&Condition) -> bool| rule.conditions.iter().any(is);
            has(&|it| matches!(it, Condition::MayNotify(_)))
                && !has(&|it| matches!(it, Condition::Is(path, _) if *path == mentions))
        })
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.rules.iter().flat_map(|it| &it.conditions)
    }

    /// What an event of somebody else comes to. None: the budget is used up.
    pub fn evaluate(
        &self,
        event: (&EventId, &str),
        context: &Context<'_>,
        budget: &mut Budget,
    ) -> Option<Level> {
        self.matching(event, context, budget).map(|(level, _)| level)
    }

    /// The actions that follow from an event of somebody else. None: the budget is used up.
    pub fn actions(
        &self,
        event: (&EventId, &str),
        context: &Context<'_>,
        budget: &mut Budget,
    ) -> Option<Vec<Action>> {
        self.matching(event, context, budget).map(|(_, actions)| actions.to_vec())
    }

    /// What the first rule says that matches. None: the budget is used up.
    fn matching(
        &self,
        (event_id, json): (&EventId, &str),
        context: &Context<'_>,
        budget: &mut Budget,
    ) -> Option<(Level, &[Action])> {
        if let Some(rule) = self.rules.first().filter(|it| it.conditions.is_empty()) {
            return Some((rule.level, &rule.actions));
        }
        // What cannot be read has no properties.
        let event = Event { event_id, json: serde_json::from_str(json).unwrap_or_default() };
        for rule in &self.rules {
            if matches(rule, &event, context, budget)? {
                return Some((rule.level, &rule.actions));
            }
        }
        Some((Level::Nothing, &[]))
    }
}

/// Whether all conditions of a rule hold; none: the budget is used up.
fn matches(rule: &Rule, event: &Event<'_>, cx: &Context<'_>, budget: &mut Budget) -> Option<bool> {
    for condition in &rule.conditions {
        if !holds(condition, event, cx, budget)? {
            return Some(false);
        }
    }
    Some(true)
}

/// Whether a condition holds; none: the budget is used up.
fn holds(
    condition: &Condition,
    event: &Event<'_>,
    cx: &Context<'_>,
    budget: &mut Budget,
) -> Option<bool> {
    let mut compare = |path: &Path, matches: &dyn Fn(&str) -> bool| match event.text(path, cx) {
        Some(text) => budget.compare(text).map(|()| matches(text)),
        None => Some(false),
    };
    Some(match condition {
        Condition::Matches(path, glob) => compare(path, &|text| glob.matches(text))?,
        Condition::Says(path, glob) => compare(path, &|text| glob.matches_words(text))?,
        Condition::SaysDisplayName(path) => match cx.display_name.filter(|it| !it.is_empty()) {
            Some(name) => compare(path, &|text| {
                Glob::literal(name).is_some_and(|name| name.matches_words(text))
            })?,
            None => false,
        },
        Condition::Is(path, value) => match (event.text(path, cx), value) {
            (Some(text), ScalarJsonValue::String(value)) => text == value,
            _ => path.find(&event.json).is_some_and(|it| is(it, value)),
        },
        Condition::Contains(path, value) => {
            let list = path.find(&event.json).and_then(JsonValue::as_array);
            list.is_some_and(|list| list.iter().any(|it| is(it, value)))
        }
        Condition::MemberCount(count) => count.contains(&UInt::new_saturating(cx.member_count)),
        Condition::MayNotify(key) => {
            let sender = event.json.get("sender").and_then(JsonValue::as_str);
            let sender = sender.and_then(|it| <&UserId>::try_from(it).ok());
            sender
                .zip(cx.power_levels)
                .is_some_and(|(it, powers)| powers.has_sender_notification_permission(it, key))
        }
        Condition::Unknown => false,
    })
}

/// An event, read.
struct Event<'a> {
    event_id: &'a EventId,
    json: JsonValue,
}

impl Event<'_> {
    /// A property that is a text.
    fn text<'a>(&'a self, path: &Path, context: &Context<'a>) -> Option<&'a str> {
        match path {
            Path::RoomId => Some(context.room_id.as_str()),
            Path::EventId => Some(self.event_id.as_str()),
            Path::In(_) => path.find(&self.json)?.as_str(),
        }
    }
}

/// When a rule matches; none: in other rooms.
fn conditions(rule: AnyPushRuleRef<'_>, room_id: &RoomId) -> Option<Vec<Condition>> {
    match rule {
        AnyPushRuleRef::Override(it) | AnyPushRuleRef::Underride(it) => {
            Some(it.conditions.iter().map(condition).collect())
        }
        AnyPushRuleRef::Content(it) => Some(vec![event_match("content.body", &it.pattern)]),
        AnyPushRuleRef::Room(it) => (it.rule_id == *room_id).then(Vec::new),
        AnyPushRuleRef::Sender(it) => {
            let sender = ScalarJsonValue::from(it.rule_id.as_str());
            Some(vec![Condition::Is(Path::parse("sender"), sender)])
        }
        _ => None,
    }
}

#[expect(deprecated, reason = "the condition on the display name is what old clients have set")]
fn condition(condition: &PushCondition) -> Condition {
    match condition {
        PushCondition::EventMatch(it) => event_match(&it.key, &it.pattern),
        PushCondition::EventPropertyIs(it) => Condition::Is(Path::parse(&it.key), it.value.clone()),
        PushCondition::EventPropertyContains(it) => {
            Condition::Contains(Path::parse(&it.key), it.value.clone())
        }
        PushCondition::ContainsDisplayName => {
            Condition::SaysDisplayName(Path::parse("content.body"))
        }
        PushCondition::RoomMemberCount(it) => Condition::MemberCount(it.is),
        PushCondition::SenderNotificationPermission(it) => Condition::MayNotify(it.key.clone()),
        _ => Condition::Unknown,
    }
}

fn event_match(key: &str, pattern: &str) -> Condition {
    match Glob::new(pattern) {
        Some(glob) if key == "content.body" => Condition::Says(Path::parse(key), glob),
        Some(glob) => Condition::Matches(Path::parse(key), glob),
        None => Condition::Unknown,
    }
}

fn is(found: &JsonValue, value: &ScalarJsonValue) -> bool {
    match value {
        ScalarJsonValue::Null => found.is_null(),
        ScalarJsonValue::Bool(value) => found.as_bool() == Some(*value),
        ScalarJsonValue::Integer(value) => found.as_i64() == Some((*value).into()),
        ScalarJsonValue::String(value) => found.as_str() == Some(value),
    }
}
