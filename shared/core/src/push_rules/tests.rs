//! Which rules there are after which changes, and what events come to by them.

use ruma::{
    event_id, events::TimelineEventType, events::room::power_levels::RoomPowerLevels,
    push::PushConditionPowerLevelsCtx, room_id, room_version_rules::AuthorizationRules, user_id,
};

use super::{
    evaluate::{Budget, Context, Evaluator, Level},
    *,
};
use crate::notify;

fn ann() -> &'static UserId {
    user_id!("@ann:a.example")
}

#[expect(clippy::needless_pass_by_value, reason = "rules are made where they are put")]
fn put(rules: &UserRules, kind: &str, id: &str, rule: JsonValue) -> Result<UserRules, Refusal> {
    let mut new = NewRule::default();
    if let Some(conditions) = rule.get("conditions") {
        new.conditions = serde_json::from_value(conditions.clone()).unwrap();
    }
    let text = |name: &str| rule.get(name).and_then(JsonValue::as_str).map(str::to_owned);
    (new.pattern, new.before, new.after) = (text("pattern"), text("before"), text("after"));
    let actions = rule.get("actions").cloned().unwrap_or_else(|| json!(["notify"]));
    new.actions = serde_json::from_value(actions).unwrap();
    rules.change(ann(), (&kind.into(), id), Change::Put(new))
}

fn ids(rules: &UserRules, kind: &str) -> Vec<String> {
    let all = render(&rules.all(ann())).unwrap();
    let ids = all[kind].as_array().unwrap().iter();
    ids.map(|it| it["rule_id"].as_str().unwrap().to_owned()).collect()
}

/// Where this fails, the rules have changed: [`SERVER_DEFAULT_VERSION`] goes up, so that clients
/// are told.
#[test]
fn the_server_default_rules_of_this_version() {
    let rules = render(&UserRules::default().all(ann())).unwrap();
    let text = include_str!("tests/server_default.json");
    let known: JsonValue = serde_json::from_str(text).unwrap();
    assert_eq!(rules, known["rules"], "{rules:#}");
    assert_eq!(known["version"], SERVER_DEFAULT_VERSION);
}

#[test]
fn every_kind_of_rules_is_there() {
    let rules = render(&UserRules::default().all(ann())).unwrap();
    let kinds: std::collections::BTreeSet<_> =
        rules.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(kinds, KINDS.into());
    assert_eq!(rules["room"], json!([]));
    assert_eq!(rules["override"][0]["rule_id"], ".m.rule.master");
}

/// Version 1.17 of the specification took them out.
#[test]
fn no_rule_looks_for_names_in_the_text() {
    let rules = render(&UserRules::default().all(ann())).unwrap().to_string();
    for id in ["contains_display_name", "contains_user_name", "roomnotif"] {
        assert!(!rules.contains(id), "{id}");
    }
}

#[test]
fn where_a_rule_is_put() {
    let rule = |before: &str, after: &str| {
        let mut rule = json!({ "pattern": "x" });
        if !before.is_empty() {
            rule["before"] = json!(before);
        }
        if !after.is_empty() {
            rule["after"] = json!(after);
        }
        rule
    };
    let three = || {
        let mut rules = UserRules::default();
        for id in ["c", "b", "a"] {
            rules = put(&rules, "content", id, rule("", "")).unwrap();
        }
        rules
    };
    let cases = [
        ("the first", "n", "", "", vec!["n", "a", "b", "c"]),
        ("before one", "n", "b", "", vec!["a", "n", "b", "c"]),
        ("after one", "n", "", "b", vec!["a", "b", "n", "c"]),
        ("after the last", "n", "", "c", vec!["a", "b", "c", "n"]),
        ("between", "n", "c", "a", vec!["a", "b", "n", "c"]),
        ("one that is there, as it is", "b", "", "", vec!["a", "b", "c"]),
        ("the first, after the last", "a", "", "c", vec!["b", "c", "a"]),
        ("the first, after the next", "a", "", "b", vec!["b", "a", "c"]),
        ("the last, before the first", "c", "a", "", vec!["c", "a", "b"]),
        ("the first, before the last", "a", "c", "", vec!["b", "a", "c"]),
    ];
    for (name, id, before, after, expected) in cases {
        let rules = put(&three(), "content", id, rule(before, after)).unwrap();
        assert_eq!(ids(&rules, "content"), expected, "{name}");
        let stored = serde_json::to_string(&rules).unwrap();
        let rules: UserRules = serde_json::from_str(&stored).unwrap();
        assert_eq!(ids(&rules, "content"), expected, "{name}, stored");
    }
    let unknown = |it: &str| Refusal::UnknownNeighbour(it.to_owned());
    let refused = |id, before, after| put(&three(), "content", id, rule(before, after)).err();
    assert_eq!(refused("n", "x", ""), Some(unknown("x")));
    assert_eq!(refused("n", "", "x"), Some(unknown("x")));
    assert_eq!(refused("a", "", "a"), Some(unknown("a")));
    assert!(matches!(refused("n", "a", "c"), Some(Refusal::Invalid(_))), "the wrong way round");
}

#[test]
fn rules_of_the_user_stand_behind_the_master_and_before_the_others() {
    let rules = put(&UserRules::default(), "override", "b", json!({})).unwrap();
    let rules = put(&rules, "override", "c", json!({ "after": "b" })).unwrap();
    let rules = put(&rules, "override", "a", json!({ "before": "b" })).unwrap();
    assert_eq!(ids(&rules, "override")[..4], [".m.rule.master", "a", "b", "c"]);
    assert_eq!(ids(&rules, "override")[4], ".m.rule.suppress_notices");
    let master =
        rules.change(ann(), (&RuleKind::Override, ".m.rule.master"), Change::SetEnabled(true));
    assert_eq!(ids(&master.unwrap(), "override")[..2], [".m.rule.master", "a"]);
    for other in [".m.rule.master", ".m.rule.suppress_notices"] {
        let refused = put(&rules, "override", "d", json!({ "before": other }));
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{other}");
    }
}

#[test]
fn what_is_no_rule() {
    let nothing = UserRules::default();
    let long = "x".repeat(256);
    let cases = [
        ("a server-default one", "override", ".m.rule.x", json!({})),
        ("a slash", "override", "a/b", json!({})),
        ("a backslash", "override", "a\\b", json!({})),
        ("no pattern", "content", "a", json!({})),
        ("no room", "room", "a", json!({})),
        ("no user", "sender", "a", json!({})),
        ("no kind", "device", "a", json!({})),
        ("a long ID", "override", &long, json!({})),
        ("a long pattern", "content", "a", json!({ "pattern": long })),
        (
            "a long pattern of a condition",
            "override",
            "a",
            json!({ "conditions": [{ "kind": "event_match", "key": "type", "pattern": long }] }),
        ),
    ];
    for (name, kind, id, rule) in cases {
        assert!(put(&nothing, kind, id, rule).is_err(), "{name}");
    }
    let change = |id, change| nothing.change(ann(), (&RuleKind::Override, id), change).err();
    assert_eq!(change("a", Change::Remove), Some(Refusal::NotFound));
    assert_eq!(change("a", Change::SetEnabled(true)), Some(Refusal::NotFound));
    assert_eq!(change("a", Change::SetActions(Vec::new())), Some(Refusal::NotFound));
    assert!(matches!(change(".m.rule.master", Change::Remove), Some(Refusal::Invalid(_))));
}

#[test]
fn only_what_differs_is_kept() {
    let set = |rules: &UserRules, kind: RuleKind, id: &str, enabled| {
        rules.change(ann(), (&kind, id), Change::SetEnabled(enabled)).unwrap()
    };
    let master = ".m.rule.master";
    let rules = set(&UserRules::default(), RuleKind::Override, master, true);
    let stored = serde_json::to_value(&rules).unwrap();
    assert_eq!(stored["override"].as_array().unwrap().len(), 1, "{stored}");
    let rules = set(&rules, RuleKind::Override, master, false);
    assert!(rules.is_default());
    let rules = put(&rules, "room", "!room:a.example", json!({ "actions": [] })).unwrap();
    let rules = set(&rules, RuleKind::Room, "!room:a.example", false);
    let stored = serde_json::to_value(&rules).unwrap();
    assert_eq!(stored.as_object().unwrap().len(), 1, "{stored}");
    let again = put(&rules, "room", "!room:a.example", json!({})).unwrap();
    let all = render(&again.all(ann())).unwrap();
    assert_eq!(all["room"][0]["enabled"], false, "it is as it was");
    let removed = rules.change(ann(), (&RuleKind::Room, "!room:a.example"), Change::Remove);
    assert!(removed.unwrap().is_default());
}

/// A program that comes later may have other server-default rules.
#[test]
fn server_default_rules_that_change_reach_who_has_changed_theirs() {
    let stored = json!({
        "override": [
            { "rule_id": ".m.rule.gone", "default": true, "enabled": false, "actions": [] },
            { "rule_id": "own", "default": false, "enabled": true, "actions": [] },
            {
                "rule_id": ".m.rule.suppress_notices", "default": true, "enabled": false,
                "actions": ["notify"], "conditions": [],
            },
        ],
    });
    let rules: UserRules = serde_json::from_value(stored).unwrap();
    assert_eq!(ids(&rules, "override").len(), ids(&UserRules::default(), "override").len() + 1);
    let all = render(&rules.all(ann())).unwrap();
    assert_eq!(all["override"][1]["rule_id"], "own");
    let notices = &all["override"][2];
    assert_eq!(notices["rule_id"], ".m.rule.suppress_notices");
    assert_eq!((&notices["enabled"], &notices["actions"]), (&json!(false), &json!(["notify"])));
    assert_eq!(notices["conditions"].as_array().unwrap().len(), 1, "that is the new one's");
}

/// Clients find the rules that they have set by them.
#[test]
fn historical_actions_are_kept_and_nothing_comes_of_them() {
    let actions = json!(["dont_notify", "coalesce"]);
    let rules = put(&UserRules::default(), "override", "a", json!({ "actions": actions })).unwrap();
    assert_eq!(render(&rules.all(ann())).unwrap()["override"][1]["actions"], actions);
    assert_eq!(level(&rules, &message("hello"), 3), Level::Nothing);
    let actions = json!(["dont_notify", "notify"]);
    let rules = put(&UserRules::default(), "override", "a", json!({ "actions": actions })).unwrap();
    assert_eq!(level(&rules, &message("hello"), 3), Level::Notify);
}

#[test]
fn t1d_there_are_only_so_many_rules() {
    let mut rules = UserRules::default();
    let simple = |number: usize| format!("!{number}:a.example");
    let all = (0..MAX_RULES).map(|number| {
        let rule_id = simple(number);
        json!({ "rule_id": rule_id, "default": false, "enabled": true, "actions": [] })
    });
    rules.0.room.extend(all.map(|it| serde_json::from_value(it).unwrap()));
    let more = put(&rules, "room", "!more:a.example", json!({}));
    assert!(matches!(more, Err(Refusal::TooLarge(_))));
    put(&rules, "room", &simple(7), json!({ "actions": [] })).unwrap();
    rules.change(ann(), (&RuleKind::Room, &simple(7)), Change::Remove).unwrap();
}

#[test]
fn t1d_rules_have_only_so_many_bytes() {
    let mut rules = UserRules::default();
    let condition = json!({ "kind": "event_match", "key": "x".repeat(60_000), "pattern": "x" });
    let large = json!({ "conditions": [condition] });
    for id in ["a", "b", "c"] {
        rules = put(&rules, "override", id, large.clone()).unwrap();
    }
    let more = put(&rules, "override", "d", large);
    assert!(matches!(more, Err(Refusal::TooLarge(_))));
    put(&rules, "override", "a", json!({})).unwrap();
}

/// What an event comes to by rules, as [`Evaluator`] finds out.
fn level(rules: &UserRules, event: &JsonValue, members: u64) -> Level {
    let room_id = room_id!("!room:a.example");
    let powers = RoomPowerLevels::new(
        ruma::events::room::power_levels::RoomPowerLevelsSource::None,
        &AuthorizationRules::V1,
        [user_id!("@admin:a.example").to_owned()],
    );
    let powers = PushConditionPowerLevelsCtx::from(powers);
    let context = Context {
        room_id,
        member_count: members,
        display_name: Some("Ann (she?)"),
        power_levels: Some(&powers),
    };
    let counting = rules.counting(ann(), 1).and_then(|it| it.in_room(room_id));
    let wire = serde_json::to_string(&counting).unwrap();
    let counting: Option<CountingRules> = serde_json::from_str(&wire).unwrap();
    let evaluator = Evaluator::new(counting.as_ref(), ann(), room_id);
    let at = (event_id!("$event"), &*event.to_string());
    evaluator.evaluate(at, &context, &mut Budget::default()).unwrap()
}

fn message(body: &str) -> JsonValue {
    json!({
        "type": "m.room.message", "sender": "@bob:a.example",
        "content": { "msgtype": "m.text", "body": body },
    })
}

/// What a message comes to by one rule, and when that is disabled.
fn assert_level(name: &str, kind: &str, id: &str, rule: JsonValue, expected: Level) {
    let rules = put(&UserRules::default(), kind, id, rule).unwrap();
    let event = message("Cake for ANN (she?), please");
    assert_eq!(level(&rules, &event, 3), expected, "{name}");
    let disabled = rules.change(ann(), (&kind.into(), id), Change::SetEnabled(false));
    assert_eq!(level(&disabled.unwrap(), &event, 3), Level::Notify, "{name}, disabled");
}

#[test]
fn what_comes_of_a_message_by_rules_of_each_kind() {
    use Level::{Highlight, Nothing, Notify};
    let quiet = json!({ "actions": [] });
    let keyword = |pattern: &str| json!({ "pattern": pattern, "actions": ["notify", { "set_tweak": "highlight" }] });
    let cases = [
        ("a keyword", "content", "k", keyword("ca?e"), Highlight),
        ("another word", "content", "k", keyword("ake"), Notify),
        ("a muted room", "room", "!room:a.example", quiet.clone(), Nothing),
        ("another room", "room", "!other:a.example", quiet.clone(), Notify),
        ("a muted sender", "sender", "@bob:a.example", quiet.clone(), Nothing),
        ("another sender", "sender", "@eve:a.example", quiet.clone(), Notify),
        ("everything", "override", "x", quiet.clone(), Nothing),
        ("everything, by an underride", "underride", "x", quiet, Nothing),
    ];
    for (name, kind, id, rule, expected) in cases {
        assert_level(name, kind, id, rule, expected);
    }
}

#[test]
fn what_comes_of_a_message_by_conditions() {
    use Level::{Highlight, Nothing, Notify};
    let matching =
        |key: &str, pattern: &str| json!({ "kind": "event_match", "key": key, "pattern": pattern });
    let property = |kind: &str, key: &str, value: JsonValue| json!({ "kind": kind, "key": key, "value": value });
    let members = |is: &str| json!({ "kind": "room_member_count", "is": is });
    let quiet = [
        ("this room", json!([matching("room_id", "!room:a.example")]), Nothing),
        ("another room", json!([matching("room_id", "!other:a.example")]), Notify),
        ("rooms like this one", json!([matching("room_id", "!r*")]), Nothing),
        ("a condition of later times", json!([{ "kind": "org.example" }]), Notify),
        ("the event", json!([matching("event_id", "$EVENT")]), Nothing),
        ("what is no text", json!([matching("content", "*")]), Notify),
    ];
    for (name, conditions, expected) in quiet {
        let rule = json!({ "conditions": conditions, "actions": [] });
        assert_level(name, "override", "x", rule, expected);
    }
    let both = json!([matching("type", "m.room.*"), matching("sender", "@eve:*")]);
    let loud = [
        ("a small room", json!([members("<=3")]), Highlight),
        ("a large room", json!([members(">3")]), Notify),
        ("the user's name", json!([{ "kind": "contains_display_name" }]), Highlight),
        ("one of two", both, Notify),
        (
            "a property",
            json!([property("event_property_is", "content.msgtype", json!("m.text"))]),
            Highlight,
        ),
        ("another", json!([property("event_property_is", "content.msgtype", json!(1))]), Notify),
        (
            "no list",
            json!([property("event_property_contains", "content.msgtype", json!("m.text"))]),
            Notify,
        ),
    ];
    for (name, conditions, expected) in loud {
        let actions = json!(["notify", { "set_tweak": "highlight" }]);
        let rule = json!({ "conditions": conditions, "actions": actions });
        assert_level(name, "override", "x", rule, expected);
    }
    // What does not notify is not highlighted.
    let rule = json!({ "actions": [{ "set_tweak": "highlight" }] });
    assert_level("a highlight alone", "override", "x", rule, Nothing);
}

#[test]
fn what_is_relevant_in_a_room() {
    let room_id = room_id!("!room:a.example");
    let in_room = |rules: &UserRules| rules.counting(ann(), 1).and_then(|it| it.in_room(room_id));
    let rules = UserRules::default();
    assert!(in_room(&rules).is_none());
    let other = put(&rules, "room", "!other:a.example", json!({ "actions": [] })).unwrap();
    assert!(in_room(&other).is_none());
    let sound = json!(["notify", { "set_tweak": "sound", "value": "bell" }]);
    let louder = Change::SetActions(serde_json::from_value(sound).unwrap());
    let louder = other.change(ann(), (&RuleKind::Underride, ".m.rule.message"), louder);
    assert!(in_room(&louder.unwrap()).is_none(), "a sound decides nothing");
    let quiet = Change::SetActions(Vec::new());
    let quiet = rules.change(ann(), (&RuleKind::Underride, ".m.rule.message"), quiet).unwrap();
    assert!(in_room(&quiet).is_some());
    assert_eq!(level(&quiet, &message("hello"), 3), Level::Nothing);
    assert_eq!(level(&quiet, &message("hello"), 2), Level::Notify, "that is another rule");
    let muted = put(&rules, "room", "!room:a.example", json!({ "actions": [] })).unwrap();
    let evaluator = Evaluator::new(in_room(&muted).as_ref(), ann(), room_id);
    assert_eq!(evaluator.constant(), None, "mentions come first");
    let master = (&RuleKind::Override, ".m.rule.master");
    let master = muted.change(ann(), master, Change::SetEnabled(true)).unwrap();
    let evaluator = Evaluator::new(in_room(&master).as_ref(), ann(), room_id);
    assert_eq!(evaluator.constant(), Some(Level::Nothing));
}

/// Who has the server-default rules has their events counted by what [`notify`] made of them.
#[test]
fn the_server_default_rules_say_what_is_written_of_an_event() {
    let mention = json!({ "user_ids": ["@bob:a.example", "@ann:a.example"] });
    let edit = json!({ "rel_type": "m.replace", "event_id": "$other" });
    let contents = [
        json!({}),
        json!({ "msgtype": "m.text", "body": "ann" }),
        json!({ "msgtype": "m.notice" }),
        json!({ "msgtype": "M.NOTICE", "m.mentions": mention }),
        json!({ "m.mentions": mention }),
        json!({ "m.mentions": { "room": true } }),
        json!({ "m.mentions": { "room": "true" } }),
        json!({ "m.mentions": 5 }),
        json!({ "m.relates_to": edit }),
        json!({ "m.relates_to": edit, "m.mentions": mention }),
        json!({ "m.relates_to": edit, "m.mentions": { "room": true } }),
        json!({ "membership": "join" }),
    ];
    let types = [
        "m.room.message",
        "m.room.encrypted",
        "m.call.invite",
        "m.reaction",
        "m.room.tombstone",
        "m.room.server_acl",
        "m.room.member",
        "m.room.topic",
        "org.example",
    ];
    let states = [None, Some(""), Some("x")];
    let senders = ["@admin:a.example", "@bob:a.example"];
    for content in &contents {
        for (event_type, state_key) in types.iter().flat_map(|it| states.map(|state| (it, state))) {
            for sender in senders {
                let mut event = json!({ "type": event_type, "sender": sender, "content": content });
                if let Some(state_key) = state_key {
                    event["state_key"] = json!(state_key);
                }
                let raw = to_raw_value(content).unwrap();
                let event_type = TimelineEventType::from(*event_type);
                let may_notify = || sender.starts_with("@admin");
                let written = notify::evaluate(&event_type, &raw, state_key, may_notify);
                let is_loud =
                    written.highlight_all || written.highlights.iter().any(|it| *it == ann());
                let written = match is_loud {
                    true => Level::Highlight,
                    false if written.all => Level::Notify,
                    false => Level::Nothing,
                };
                assert_eq!(level(&UserRules::default(), &event, 3), written, "{event}");
            }
        }
    }
}

#[test]
fn t1b_only_so_much_is_compared() {
    let mut rules = UserRules::default();
    for number in 0..10 {
        let pattern = json!({ "pattern": format!("*x{number}*y") });
        rules = put(&rules, "content", &number.to_string(), pattern).unwrap();
    }
    let room_id = room_id!("!room:a.example");
    let context = Context { room_id, member_count: 3, display_name: None, power_levels: None };
    let evaluator = Evaluator::new(rules.counting(ann(), 1).as_ref(), ann(), room_id);
    let event = message(&"x".repeat(6_000)).to_string();
    let mut budget = Budget::of(1 << 20);
    let events = (0..1_000).take_while(|_| {
        let at = (event_id!("$event"), event.as_str());
        evaluator.evaluate(at, &context, &mut budget).is_some()
    });
    let most = (1 << 20) / 60_300;
    assert_eq!(events.count() as u64, most);
}
