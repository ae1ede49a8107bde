//! What members of a room do.

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::{Value, json};

use super::{rng::Rng, store::Store, world::World};

/// An event as a user wants it.
#[derive(Clone, Debug)]
pub struct Wish {
    pub event_type: &'static str,
    pub state_key: Option<String>,
    pub content: Value,
    pub redacts: Option<OwnedEventId>,
}

impl Wish {
    fn state(event_type: &'static str, state_key: &str, content: Value) -> Self {
        Self { event_type, state_key: Some(state_key.to_owned()), content, redacts: None }
    }

    /// A change of someone's membership.
    pub fn member(user: &OwnedUserId, membership: &str) -> Self {
        Self::state("m.room.member", user.as_str(), json!({"membership": membership}))
    }

    /// A message.
    pub fn message(text: u64) -> Self {
        let content = json!({"body": text.to_string(), "msgtype": "m.text"});
        Self { event_type: "m.room.message", state_key: None, content, redacts: None }
    }

    /// A topic.
    pub fn topic(text: u64) -> Self {
        Self::state("m.room.topic", "", json!({"topic": text.to_string()}))
    }

    /// Power levels.
    pub fn levels(content: Value) -> Self {
        Self::state("m.room.power_levels", "", content)
    }
}

/// The power levels of a room with one change.
pub fn changed_levels(rng: &mut Rng, room: &Store, users: &[OwnedUserId]) -> Value {
    let current = room.current_event("m.room.power_levels", "");
    let mut content: Value = current
        .and_then(|it| serde_json::from_str(it.pdu.content.get()).ok())
        .unwrap_or_else(|| json!({}));
    if !content["users"].is_object() {
        content["users"] = json!({});
    }
    let level = [0, 25, 50, 75, 100][rng.below(5)];
    match rng.below(8) {
        0 => content["ban"] = json!(level),
        1 => content["state_default"] = json!(level),
        2 => content["events"] = json!({"m.room.topic": level}),
        3 => content["users_default"] = json!([0, 0, 50][rng.below(3)]),
        4 => content["invite"] = json!(level),
        _ => content["users"][rng.pick(users).unwrap().as_str()] = json!(level),
    }
    content
}

/// Something a user may want, allowed or not.
pub fn wish(rng: &mut Rng, room: &Store, user: &OwnedUserId, users: &[OwnedUserId]) -> Wish {
    let other = rng.pick(users).unwrap();
    let text = rng.next() % 1_000_000;
    match rng.below(100) {
        0..28 => Wish::message(text),
        28..42 => Wish::topic(text),
        42..46 => Wish::state("m.room.name", "", json!({"name": text.to_string()})),
        46..51 => Wish::member(user, "leave"),
        51..57 => Wish::member(other, "invite"),
        57..63 => Wish::member(other, "leave"),
        63..71 => Wish::member(other, "ban"),
        71..83 => Wish::levels(changed_levels(rng, room, users)),
        83..88 => {
            let rule = ["public", "public", "invite", "knock"][rng.below(4)];
            Wish::state("m.room.join_rules", "", json!({"join_rule": rule}))
        }
        88..92 => Wish::member(user, "knock"),
        92..95 => Wish::member(user, "join"),
        _ => {
            let target = room.get(rng.below(room.events.len()) as u64).pdu.event_id.clone();
            let content = json!({"redacts": target});
            let (event_type, redacts) = ("m.room.redaction", Some(target));
            Wish { event_type, state_key: None, content, redacts }
        }
    }
}

/// A user of a server that does as it should acts; or joins, if none of its server is in the room.
pub fn act(world: &mut World, server: usize) {
    let users: Vec<_> = world.servers.iter().flat_map(|it| it.users.clone()).collect();
    let user = world.rng.pick(&world.servers[server].users).unwrap().clone();
    if world.servers[server].room.is_none() || !world.servers[server].is_in_room() {
        let residents: Vec<_> = (0..world.servers.len())
            .filter(|it| *it != server && world.is_honest(*it) && world.servers[*it].is_in_room())
            .collect();
        if let Some(through) = world.rng.pick(&residents).copied() {
            world.join_remote(server, &user, through);
        }
        return;
    }
    let joined = world.servers[server].joined().any(|it| *it == user);
    let room = world.servers[server].room.as_ref().unwrap();
    let wish = match joined {
        true => wish(&mut world.rng, room, &user, &users),
        false => Wish::member(&user, "join"),
    };
    let key = wish.state_key.as_deref();
    world.send(server, &user, wish.event_type, key, wish.content, wish.redacts);
}
