//! Servers that do what they should not.

use std::sync::Arc;

use ruma::OwnedUserId;
use serde_json::json;
use skerry_core::{
    Pdu,
    engine::{Event, Verdict},
};

use super::{
    actions::{Wish, changed_levels, wish},
    server::{Draft, Message, auth_events, craft},
    store::{Map, Store},
    world::{World, object},
};

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Sends events of other servers' users, signed by itself.
    ForgesSenders,
    /// Sends events that name an old part of the room, where its users could do more.
    CitesOldState,
    /// Sends different power levels to different servers.
    SplitsPower,
    /// Sends an event that is not allowed, and events that cite it.
    CitesRejected,
    /// Sends the child of an event that it never shows.
    Withholds,
    /// Sends what is no event.
    SendsRubbish,
    /// Sends different events in the same place to different servers.
    Equivocates,
    /// Lies about the state of the room.
    LiesAboutState,
    /// Sends further create events, and events that come from nowhere.
    CreatesAgain,
    /// Sends events that are allowed by what they cite, but not where they stand.
    CitesStaleAuth,
    /// Splits the room into many forks.
    Floods,
    /// Cites events that do not authorize, twice or at all.
    CitesWrongly,
    /// Never answers.
    IsSilent,
}

impl Behavior {
    /// All.
    pub const ALL: [Self; 13] = [
        Self::ForgesSenders,
        Self::CitesOldState,
        Self::SplitsPower,
        Self::CitesRejected,
        Self::Withholds,
        Self::SendsRubbish,
        Self::Equivocates,
        Self::LiesAboutState,
        Self::CreatesAgain,
        Self::CitesStaleAuth,
        Self::Floods,
        Self::CitesWrongly,
        Self::IsSilent,
    ];
}

/// One server misbehaves once.
pub fn attack(world: &mut World, server: usize) {
    let behavior = *world.rng.pick(&world.behaviors[server].clone()).unwrap();
    if world.servers[server].room.is_none() {
        return;
    }
    let user = world.rng.pick(&world.servers[server].users).unwrap().clone();
    let attack = Attack { server, user };
    match behavior {
        Behavior::ForgesSenders => attack.forge(world),
        Behavior::CitesOldState => attack.cite_old_state(world),
        Behavior::SplitsPower => attack.split_power(world),
        Behavior::CitesRejected => attack.cite_rejected(world),
        Behavior::Withholds => attack.withhold(world),
        Behavior::SendsRubbish => attack.send_rubbish(world),
        Behavior::Equivocates => attack.equivocate(world),
        Behavior::CreatesAgain => attack.create_again(world),
        Behavior::CitesStaleAuth => attack.cite_stale_auth(world),
        Behavior::Floods => attack.flood(world),
        Behavior::CitesWrongly => attack.cite_wrongly(world),
        Behavior::LiesAboutState | Behavior::IsSilent => {}
    }
}

/// The answer of a server that misbehaves.
pub fn answer(world: &mut World, server: usize, request: &Message) -> Option<Message> {
    let behaviors = world.behaviors[server].clone();
    if behaviors.contains(&Behavior::IsSilent) {
        return None;
    }
    let mut answer = world.servers[server].answer(request)?;
    let withheld = world.withheld.clone();
    let shown = |it: &Arc<str>, world: &mut World| {
        world.read(it).is_none_or(|it| !withheld.contains(&it.event_id))
    };
    match &mut answer {
        Message::Events(events) | Message::Auth(events) => {
            events.retain(|it| shown(it, world));
        }
        Message::State { state, events, .. } => {
            events.retain(|it| shown(it, world));
            if behaviors.contains(&Behavior::LiesAboutState) {
                world.lied = true;
                let room = world.servers[server].room.as_ref()?;
                for _ in 0..=world.rng.below(4) {
                    if state.is_empty() {
                        break;
                    }
                    let at = world.rng.below(state.len());
                    match world.rng.percent(50) {
                        true => drop(state.remove(at)),
                        false => {
                            let any = room.get(world.rng.below(room.events.len()) as u64);
                            state[at] = any.pdu.event_id.clone();
                        }
                    }
                }
            }
        }
        Message::Event(_)
        | Message::Missing { .. }
        | Message::AuthOf(_)
        | Message::StateBefore(_) => {}
    }
    Some(answer)
}

/// One misdeed.
struct Attack {
    server: usize,
    user: OwnedUserId,
}

impl Attack {
    fn room<'a>(&self, world: &'a World) -> &'a Store {
        world.servers[self.server].room.as_ref().unwrap()
    }

    fn others(&self, world: &World) -> Vec<usize> {
        (0..world.servers.len()).filter(|it| *it != self.server).collect()
    }

    fn users(world: &World) -> Vec<OwnedUserId> {
        world.servers.iter().flat_map(|it| it.users.clone()).collect()
    }

    fn wish(&self, world: &mut World) -> Wish {
        let users = Self::users(world);
        let room = world.servers[self.server].room.as_ref().unwrap();
        wish(&mut world.rng, room, &self.user, &users)
    }

    fn head(&self, world: &World) -> (Vec<Arc<Event>>, Map) {
        let room = self.room(world);
        let prev = room.extremities.iter().take(10).map(|it| Arc::clone(room.get(*it)));
        (prev.collect(), (**room.current()).clone())
    }

    /// An old event and the state after it.
    fn old(&self, world: &mut World) -> (Vec<Arc<Event>>, Map) {
        let room = world.servers[self.server].room.as_ref().unwrap();
        match world.rng.pick(&room.decided).map(|it| room.get(*it)) {
            Some(it) => (vec![Arc::clone(it)], (**room.map(it.states.unwrap().after)).clone()),
            None => self.head(world),
        }
    }

    /// A state in which its user is joined, with other power levels or another membership.
    fn better_times(&self, world: &mut World, now: &Map) -> Map {
        for _ in 0..8 {
            let (_, state) = self.old(world);
            let room = self.room(world);
            let member = |map| room.event_in(map, "m.room.member", self.user.as_str());
            let levels = |map| room.event_in(map, "m.room.power_levels", "");
            let id = |it: Option<&Arc<Event>>| it.map(|it| it.num);
            let joined = member(&state).is_some_and(|it| it.pdu.content.get().contains("\"join\""));
            if joined
                && (id(member(&state)) != id(member(now)) || id(levels(&state)) != id(levels(now)))
            {
                return state;
            }
        }
        self.old(world).1
    }

    fn draft<'a>(&'a self, world: &mut World, wish: &'a Wish) -> Draft<'a> {
        Draft {
            sender: &self.user,
            event_type: wish.event_type,
            state_key: wish.state_key.as_deref(),
            content: object(wish.content.clone()),
            redacts: wish.redacts.clone(),
            unique: world.next_unique(),
        }
    }

    /// Makes an event in a place, authorized by a state.
    fn make(
        &self,
        world: &mut World,
        wish: &Wish,
        prev: &[Arc<Event>],
        state: &Map,
    ) -> Option<Arc<Pdu>> {
        let draft = self.draft(world, wish);
        let auth = auth_events(self.room(world), &draft, state)?;
        self.make_with(world, draft, prev, &auth)
    }

    fn make_with(
        &self,
        world: &mut World,
        draft: Draft<'_>,
        prev: &[Arc<Event>],
        auth: &[Arc<Event>],
    ) -> Option<Arc<Pdu>> {
        let server = &world.servers[self.server];
        let pdu = craft(self.room(world), draft, prev, auth, (&server.name, server.key))?;
        world.remember_signed(self.server, &pdu);
        Some(pdu)
    }

    fn send(&self, world: &mut World, pdu: &Arc<Pdu>, to: &[usize]) {
        for to in to {
            let json = Arc::from(&*pdu.json);
            world.post(self.server, *to, &Message::Event(json));
        }
    }

    /// Sends to some, at random; and remembers it itself.
    fn spread(&self, world: &mut World, pdu: &Arc<Pdu>) -> Arc<Event> {
        let mut to = self.others(world);
        to.retain(|_| world.rng.percent(75));
        self.send(world, pdu, &to);
        self.remember(world, pdu)
    }

    fn remember(&self, world: &mut World, pdu: &Arc<Pdu>) -> Arc<Event> {
        let server = &mut world.servers[self.server];
        let _ = server.process(pdu, &[]);
        let room = server.room.as_mut().unwrap();
        if let Some(known) = room.by_id(&pdu.event_id) {
            return Arc::clone(known);
        }
        let rules = room.rules.clone();
        let verdict = (Verdict::Rejected, None);
        let num = u64::MAX;
        Arc::new(Event::new(num, Arc::clone(pdu), [].into(), verdict, &rules, &mut room.keys))
    }

    fn forge(&self, world: &mut World) {
        let users = Self::users(world);
        let victim = world.rng.pick(&users).unwrap().clone();
        if victim.server_name() == world.servers[self.server].name {
            return;
        }
        let (prev, state) = self.head(world);
        let wish = self.wish(world);
        let forger = Attack { server: self.server, user: victim };
        let draft = forger.draft(world, &wish);
        let room = self.room(world);
        let Some(auth) = auth_events(room, &draft, &state) else { return };
        let own = &world.servers[self.server];
        let name = forger.user.server_name().to_owned();
        // By its own name, or by the name of the victim's server with its own key.
        let name = if draft.unique.is_multiple_of(2) { own.name.clone() } else { name };
        let forged = craft(room, draft, &prev, &auth, (&name, own.key));
        if let Some(forged) = forged {
            let to = self.others(world);
            self.send(world, &forged, &to);
        }
    }

    fn cite_old_state(&self, world: &mut World) {
        let (prev, state) = self.old(world);
        let wish = self.wish(world);
        if let Some(pdu) = self.make(world, &wish, &prev, &state) {
            self.spread(world, &pdu);
        }
    }

    fn split_power(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        for to in self.others(world) {
            let users = Self::users(world);
            let room = world.servers[self.server].room.as_ref().unwrap();
            let wish = Wish::levels(changed_levels(&mut world.rng, room, &users));
            if let Some(pdu) = self.make(world, &wish, &prev, &state) {
                self.send(world, &pdu, &[to]);
            }
        }
    }

    fn cite_rejected(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        let mut levels = json!({"users": {}});
        levels["users"][self.user.as_str()] = json!(100);
        levels["ban"] = json!(0);
        let Some(bad) = self.make(world, &Wish::levels(levels), &prev, &state) else { return };
        let bad = self.spread(world, &bad);
        let users = Self::users(world);
        let victim = world.rng.pick(&users).unwrap().clone();
        let wish = match world.rng.percent(50) {
            true => Wish::member(&victim, "ban"),
            false => Wish::topic(world.next_unique()),
        };
        let draft = self.draft(world, &wish);
        let Some(mut auth) = auth_events(self.room(world), &draft, &state) else { return };
        auth.retain(|it| it.pdu.event_type != bad.pdu.event_type);
        auth.push(Arc::clone(&bad));
        let prev = if world.rng.percent(50) { vec![bad] } else { prev };
        if let Some(pdu) = self.make_with(world, draft, &prev, &auth) {
            self.spread(world, &pdu);
        }
    }

    fn withhold(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        let wish = Wish::topic(world.next_unique());
        let Some(hidden) = self.make(world, &wish, &prev, &state) else { return };
        world.withheld.insert(hidden.event_id.clone());
        let hidden = self.remember(world, &hidden);
        let wish = Wish::message(world.next_unique());
        if let Some(shown) = self.make(world, &wish, &[hidden], &state) {
            self.spread(world, &shown);
        }
    }

    fn send_rubbish(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        let rubbish = ["", "{}", "[]", "{\"type\":\"m.room.message\"}", "\u{0}"];
        let giant = format!("{{\"content\":{{\"body\":\"{}\"}}}}", "x".repeat(70_000));
        let member = |content| Wish {
            event_type: "m.room.member",
            state_key: Some(self.user.to_string()),
            content,
            redacts: None,
        };
        let levels = |content| Wish::levels(content);
        let malformed = [
            member(json!({})),
            member(json!({"membership": 5})),
            member(json!({"membership": "join", "join_authorised_via_users_server": 7})),
            levels(json!({"users": {"nobody": "x"}})),
            levels(json!({"users": [], "ban": "high"})),
            Wish { state_key: None, ..member(json!({"membership": "join"})) },
            Wish {
                state_key: Some("not a user".to_owned()),
                ..member(json!({"membership": "ban"}))
            },
        ];
        let wish = malformed[world.rng.below(malformed.len())].clone();
        let draft = self.draft(world, &wish);
        let room = self.room(world);
        let keys = ["m.room.create", "m.room.power_levels", "m.room.member"];
        let v12 = room.rules.authorization.room_create_event_id_as_room_id;
        let auth: Vec<_> = keys
            .iter()
            .skip(usize::from(v12))
            .filter_map(|it| {
                let key = if *it == "m.room.member" { self.user.as_str() } else { "" };
                room.event_in(&state, it, key).cloned()
            })
            .collect();
        if let Some(pdu) = self.make_with(world, draft, &prev, &auth) {
            self.spread(world, &pdu);
        }
        for to in self.others(world) {
            let text = rubbish[world.rng.below(rubbish.len())];
            world.post(self.server, to, &Message::Event(Arc::from(text)));
            world.post(self.server, to, &Message::Event(Arc::from(giant.as_str())));
        }
    }

    fn equivocate(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        for to in self.others(world) {
            let wish = self.wish(world);
            if let Some(pdu) = self.make(world, &wish, &prev, &state) {
                self.send(world, &pdu, &[to]);
            }
        }
    }

    fn create_again(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        let content = json!({"creator": self.user, "room_version": world.version});
        let again = Wish {
            event_type: "m.room.create",
            state_key: Some(String::new()),
            content,
            redacts: None,
        };
        let message = self.wish(world);
        for (wish, prev) in [(&again, &prev[..]), (&again, &[]), (&message, &[])] {
            if let Some(pdu) = self.make(world, wish, prev, &state) {
                self.spread(world, &pdu);
            }
        }
    }

    fn cite_stale_auth(&self, world: &mut World) {
        let (prev, now) = self.head(world);
        let state = self.better_times(world, &now);
        let users = Self::users(world);
        let room = world.servers[self.server].room.as_ref().unwrap();
        let levels = Wish::levels(changed_levels(&mut world.rng, room, &users));
        let wish = if world.rng.percent(50) { levels } else { self.wish(world) };
        let Some(stale) = self.make(world, &wish, &prev, &state) else { return };
        let stale = self.spread(world, &stale);
        let wish = self.wish(world);
        let draft = self.draft(world, &wish);
        let Some(mut auth) = auth_events(self.room(world), &draft, &state) else { return };
        for it in &mut auth {
            if it.pdu.event_type == stale.pdu.event_type && it.pdu.state_key == stale.pdu.state_key
            {
                *it = Arc::clone(&stale);
            }
        }
        let prev = if world.rng.percent(50) { vec![stale] } else { prev };
        if let Some(pdu) = self.make_with(world, draft, &prev, &auth) {
            self.spread(world, &pdu);
        }
    }

    fn flood(&self, world: &mut World) {
        for _ in 0..12 {
            let (prev, state) = self.old(world);
            let wish = Wish::message(world.next_unique());
            if let Some(pdu) = self.make(world, &wish, &prev, &state) {
                self.spread(world, &pdu);
            }
        }
    }

    fn cite_wrongly(&self, world: &mut World) {
        let (prev, state) = self.head(world);
        let wish = self.wish(world);
        let draft = self.draft(world, &wish);
        let room = world.servers[self.server].room.as_ref().unwrap();
        let Some(mut auth) = auth_events(room, &draft, &state) else { return };
        match world.rng.below(3) {
            0 => auth.extend(auth.last().cloned()),
            1 => {
                auth.pop();
            }
            _ => auth.push(Arc::clone(room.get(world.rng.below(room.events.len()) as u64))),
        }
        if let Some(pdu) = self.make_with(world, draft, &prev, &auth) {
            self.spread(world, &pdu);
        }
    }
}
