//! The authorization rules of every room version, rule by rule ([spec]).
//!
//! A case is a state, an event, and the versions that allow it. Each runs in every version.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#authorization-rules

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "auth_rules/events.rs"]
mod events;
#[path = "auth_rules/membership.rs"]
mod membership;
#[path = "auth_rules/power.rs"]
mod power;

use std::{collections::BTreeMap, sync::Arc};

use ruma::{EventId, RoomId, room_version_rules::RoomVersionRules};
use serde_json::{Value as JsonValue, json};
use skerry_core::{
    Pdu,
    authorize::{self, StateKey},
    room_version,
};

/// Whether a version (1 to 12) allows a case.
type Allowed = fn(u8) -> bool;

const ALWAYS: Allowed = |_| true;
const NEVER: Allowed = |_| false;

/// An event or a piece of state: type, state key, sender, content.
type Item = (&'static str, Option<&'static str>, &'static str, JsonValue);

/// What it is about, the versions that allow it, how the state differs from [`Room::new`], and
/// the event.
type Case = (&'static str, Allowed, Vec<Item>, Item);

/// A room with one user of each kind, as a version has it.
struct Room {
    version: u8,
    rules: RoomVersionRules,
    state: BTreeMap<StateKey, Arc<Pdu>>,
}

impl Room {
    fn new(version: u8) -> Self {
        let id = version.to_string().as_str().try_into().unwrap();
        let rules = room_version::rules(&id).unwrap();
        let mut room = Self { version, rules, state: BTreeMap::new() };
        let create = json!({ "creator": "@creator:x.y", "room_version": id });
        room.set(&("m.room.create", Some(""), "@creator:x.y", create));
        let levels = json!({ "users": { "@admin:x.y": 100, "@mod:x.y": 50, "@mod2:x.y": 50 } });
        room.set(&("m.room.power_levels", Some(""), "@creator:x.y", levels));
        let members = [
            ("@creator:x.y", "join"),
            ("@admin:x.y", "join"),
            ("@mod:x.y", "join"),
            ("@mod2:x.y", "join"),
            ("@user:x.y", "join"),
            ("@far:away", "join"),
            ("@invited:x.y", "invite"),
            ("@knocking:x.y", "knock"),
            ("@left:x.y", "leave"),
            ("@banned:x.y", "ban"),
        ];
        for (user, membership) in members {
            room.set(&("m.room.member", Some(user), user, json!({ "membership": membership })));
        }
        room
    }

    fn id(&self) -> &'static str {
        match self.version {
            12.. => "!create",
            _ => "!room:x.y",
        }
    }

    /// Puts a state event in place, or takes it away where the content is null.
    fn set(&mut self, item: &Item) {
        let key = (item.0.to_owned(), item.1.unwrap().to_owned());
        if item.3.is_null() {
            self.state.remove(&key);
            return;
        }
        let id = match item.0 {
            "m.room.create" if self.version >= 12 => "$create".to_owned(),
            _ => format!("${}{}:x.y", item.0, item.1.unwrap().replace(':', "_")),
        };
        let pdu = self.pdu(&id, item, &json!({}));
        self.state.insert(key, Arc::new(pdu));
    }

    /// An event as if it had passed the checks before these. `fields` are put over it.
    fn pdu(&self, id: &str, item: &Item, fields: &JsonValue) -> Pdu {
        let mut event = json!({
            "auth_events": [], "content": item.3, "depth": 9, "origin_server_ts": 1,
            "prev_events": ["$before:x.y"], "room_id": self.id(), "sender": item.2, "type": item.0,
        });
        if let Some(state_key) = item.1 {
            event["state_key"] = json!(state_key);
        }
        if item.0 == "m.room.create" {
            event["prev_events"] = json!([]);
        }
        for (name, value) in fields.as_object().unwrap() {
            event[name] = value.clone();
        }
        let room_id = RoomId::parse(self.id()).unwrap();
        Pdu::from_stored(EventId::parse(id).unwrap(), &room_id, event.to_string().into()).unwrap()
    }

    /// The state that authorizes an event; none where its content breaks the rules of its type.
    fn authorizing(&self, pdu: &Pdu) -> Option<Vec<(StateKey, Arc<Pdu>)>> {
        let state_key = pdu.state_key.as_deref();
        let event_type = pdu.event_type.to_string();
        let needed =
            authorize::needed_state(&event_type, &pdu.sender, state_key, &pdu.content, &self.rules);
        let found = |it: StateKey| Some((it.clone(), Arc::clone(self.state.get(&it)?)));
        Some(needed.ok()?.into_iter().filter_map(found).collect())
    }

    /// Whether an event is allowed by the state alone and, with the auth events that belong to
    /// it, by all rules. Both have to say the same.
    fn allows(&self, item: &Item, fields: &JsonValue) -> bool {
        let mut pdu = self.pdu("$event:x.y", item, fields);
        let Some(state) = self.authorizing(&pdu) else {
            return false;
        };
        pdu.auth_events = state
            .iter()
            .filter(|it| authorize::is_auth_event(&it.0, &self.rules))
            .map(|it| it.1.event_id.clone())
            .collect();
        let by_all = authorize::check(&pdu, &state, &self.rules).is_ok();
        let fetch = |event_type: &ruma::events::StateEventType, key: &str| {
            self.state.get(&(event_type.to_string(), key.to_owned())).map(|it| &**it)
        };
        let by_state = authorize::check_by_state(&pdu, fetch, &self.rules).is_ok();
        let has_create = self.state.contains_key(&("m.room.create".to_owned(), String::new()));
        assert!(by_all == by_state || !has_create);
        by_all
    }
}

/// Runs cases in every version.
fn run(cases: &[Case]) {
    run_with(cases, &json!({}));
}

/// Runs cases whose events have these fields too.
fn run_with(cases: &[Case], fields: &JsonValue) {
    let mut wrong = Vec::new();
    for (name, allowed, state, event) in cases {
        for version in 1..=12 {
            let mut room = Room::new(version);
            for item in state {
                room.set(item);
            }
            let is_allowed = room.allows(event, fields);
            if is_allowed != allowed(version) {
                wrong.push(format!("version {version}: {name}: allowed: {is_allowed}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A state event of the creator.
fn state(event_type: &'static str, content: JsonValue) -> Item {
    (event_type, Some(""), "@creator:x.y", content)
}

/// The join rule of the room.
fn join_rule(rule: &str) -> Item {
    state("m.room.join_rules", json!({ "join_rule": rule }))
}

/// The power levels of the room, by which these are the users.
fn levels(content: JsonValue) -> Item {
    let mut content = content;
    if content.get("users").is_none() {
        content["users"] = json!({ "@admin:x.y": 100, "@mod:x.y": 50, "@mod2:x.y": 50 });
    }
    state("m.room.power_levels", content)
}

/// A membership event.
fn member(sender: &'static str, target: &'static str, membership: &str) -> Item {
    ("m.room.member", Some(target), sender, json!({ "membership": membership }))
}

/// A message.
fn message(sender: &'static str) -> Item {
    ("m.room.message", None, sender, json!({ "body": "hi" }))
}
