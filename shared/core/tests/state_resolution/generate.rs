//! Rooms that grow at random from a seed, in forks that meet again.

use ruma::{OwnedUserId, RoomVersionId, UserId};
use serde_json::{Value, json};
use skerry_core::engine::{Num, Verdict};

use crate::{
    oracle::Chains,
    room::{Draft, Room, State, mix},
};

/// splitmix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in `percent` of all cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end + 1));
        }
    }
}

/// A growing room.
pub(crate) struct Growing {
    pub(crate) room: Room,
    pub(crate) chains: Chains,
    pub(crate) dice: Dice,
    users: Vec<OwnedUserId>,
    forks: Vec<Fork>,
    /// States that were true somewhere once.
    past: Vec<State>,
    /// Events that were rejected where they were sent.
    rejected: Vec<Num>,
    now: u64,
}

/// One line of the room's history.
#[derive(Clone)]
struct Fork {
    state: State,
    prev: Num,
    depth: u64,
}

impl Growing {
    /// A room with a creator and some members.
    pub(crate) fn new(version: &RoomVersionId, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let users: Vec<_> = (0..4 + dice.below(8))
            .map(|it| UserId::parse(format!("@u{it}:s{}", it % 3)).unwrap())
            .collect();
        let room = Room::new(version, &users[0], seed);
        let state = State::from([(room.key(0), 0)]);
        let forks = vec![Fork { state, prev: 0, depth: 1 }];
        let mut new = Self {
            room,
            chains: Chains::new(),
            dice,
            users,
            forks,
            past: Vec::new(),
            rejected: Vec::new(),
            now: 1,
        };
        let creator = new.users[0].clone();
        new.send(0, Draft::member(&creator, &creator, "join"));
        if new.dice.chance(95) {
            let levels = new.power_levels(&creator);
            new.send(0, levels);
        }
        if new.dice.chance(95) {
            let rules = json!({ "join_rule": "public" });
            new.send(0, Draft::new(&creator, "m.room.join_rules", "", rules));
        }
        for user in new.users.clone() {
            if new.dice.chance(60) {
                new.send(0, Draft::member(&user, &user, "join"));
            }
        }
        new
    }

    /// Lets something happen.
    pub(crate) fn step(&mut self) {
        let fork = self.dice.below(self.forks.len());
        match self.dice.below(100) {
            0..8 if self.forks.len() < 6 => {
                let new = self.forks[fork].clone();
                self.forks.push(new);
            }
            // A fork that begins in the past.
            8..11 if self.forks.len() < 6 && !self.past.is_empty() => {
                let state = self.dice.pick(&self.past).clone();
                let prev = state.values().copied().max().unwrap();
                self.forks.push(Fork { state, prev, depth: 2 + self.dice.below(20) as u64 });
            }
            11..14 if self.forks.len() > 1 => drop(self.forks.swap_remove(fork)),
            _ => {
                let draft = self.draft(fork);
                self.send(fork, draft);
            }
        }
    }

    /// The forks' states, and a way to let them meet in one.
    pub(crate) fn meet(&mut self, state: State) {
        let end = 1 + self.dice.below(self.forks.len());
        self.forks.truncate(end);
        self.forks[0].state = state;
        self.forks[0].depth += 3;
    }

    /// States to be resolved: of the forks, as they are, or as one that lies or errs tells them.
    pub(crate) fn states(&mut self) -> (Vec<State>, bool) {
        let mut states: Vec<_> = self.forks.iter().map(|it| it.state.clone()).collect();
        let honest = self.dice.chance(40);
        if !honest {
            while states.len() < 2 || (states.len() < 6 && self.dice.chance(40)) {
                states.push(self.dice.pick(&self.past).clone());
            }
            if self.dice.chance(60) {
                let wrong = self.dice.below(states.len());
                self.falsify(&mut states[wrong]);
            }
        }
        self.dice.shuffle(&mut states);
        (states, honest)
    }

    /// Puts old events in the place of newer ones, and leaves some out.
    fn falsify(&mut self, state: &mut State) {
        for (key, num) in std::mem::take(state) {
            if num == 0 || self.dice.chance(75) {
                state.insert(key, num);
            } else if self.dice.chance(85) {
                let events: Vec<_> =
                    self.past.iter().filter_map(|it| it.get(&key).copied()).collect();
                if !events.is_empty() {
                    state.insert(key, *self.dice.pick(&events));
                }
            }
        }
        if !self.rejected.is_empty() && self.dice.chance(20) {
            let num = *self.dice.pick(&self.rejected);
            state.insert(self.room.key(num), num);
        }
    }

    /// Sends an event where it is allowed; it is rejected or unsent elsewhere.
    fn send(&mut self, fork: usize, mut draft: Draft) {
        let state = self.forks[fork].state.clone();
        draft.prev = vec![self.forks[fork].prev];
        draft.depth = self.forks[fork].depth + 1;
        self.now += self.dice.below(3) as u64;
        draft.ts = match self.dice.below(10) {
            0 => self.now.saturating_sub(self.dice.below(50) as u64),
            1 => self.now + self.dice.below(50) as u64,
            _ => self.now,
        };
        // Some cite what authorized them once instead of what does now.
        let authorizing = match self.past.is_empty() || self.dice.chance(85) {
            true => state.clone(),
            false => self.mixed_with_past(&state),
        };
        let auth = self.room.auth_events(&authorizing, &draft);
        let mut named: State = auth.iter().map(|it| (self.room.key(*it), *it)).collect();
        named.insert(self.room.key(0), 0);
        if !self.room.is_allowed(&draft, &named) {
            return;
        }
        if !self.room.is_allowed(&draft, &state) {
            if self.dice.chance(30) {
                self.rejected.push(self.room.insert_judged(draft, auth, Verdict::Rejected));
            }
            return;
        }
        let num = self.room.insert(draft, auth);
        let key = self.room.key(num);
        let fork = &mut self.forks[fork];
        fork.state.insert(key, num);
        fork.prev = num;
        fork.depth += 1;
        self.past.push(fork.state.clone());
    }

    fn mixed_with_past(&mut self, state: &State) -> State {
        let past = self.dice.pick(&self.past).clone();
        let mut mixed = state.clone();
        for (key, num) in past {
            if self.dice.chance(50) {
                mixed.insert(key, num);
            }
        }
        mixed
    }

    fn draft(&mut self, fork: usize) -> Draft {
        let sender = self.dice.pick(&self.users).clone();
        // Things happen at all only when those who may do something do more than others.
        let sender = if self.dice.chance(35) { self.users[0].clone() } else { sender };
        let target = self.dice.pick(&self.users).clone();
        match self.dice.below(100) {
            0..14 => self.power_levels_from(fork, &sender),
            14..24 => self.join_rules(&sender),
            24..36 => Draft::member(&sender, &target, "ban"),
            36..46 => Draft::member(&sender, &target, "leave"),
            46..54 => Draft::member(&sender, &target, "invite"),
            54..58 => Draft::member(&sender, &sender, "leave"),
            58..62 if self.room.rules.authorization.knocking => {
                Draft::member(&sender, &sender, "knock")
            }
            62..66 if self.room.rules.authorization.restricted_join_rule => {
                let via = self.dice.pick(&self.users);
                let content = json!({
                    "membership": "join",
                    "join_authorised_via_users_server": via,
                });
                Draft::new(&sender, "m.room.member", sender.as_str(), content)
            }
            62..84 => Draft::member(&sender, &sender, "join"),
            84..92 => Draft::new(&sender, "m.room.topic", "", json!({ "topic": self.now })),
            92..96 => Draft::new(&sender, "m.room.power_levels", "other", json!({})),
            _ => Draft::new(&sender, "m.room.aliases", sender.server_name().as_str(), json!({})),
        }
    }

    fn join_rules(&mut self, sender: &UserId) -> Draft {
        let rule = *self.dice.pick(&["public", "public", "invite", "knock", "restricted"]);
        let content = match rule {
            "restricted" => json!({ "join_rule": rule, "allow": [] }),
            _ => json!({ "join_rule": rule }),
        };
        Draft::new(sender, "m.room.join_rules", "", content)
    }

    /// Levels as they were, with something changed.
    fn power_levels_from(&mut self, fork: usize, sender: &UserId) -> Draft {
        let key = self.room.key_of("m.room.power_levels", "");
        let Some(num) = self.forks[fork].state.get(&key).copied() else {
            return self.power_levels(sender);
        };
        let content = &self.room.events[num as usize].pdu.content;
        let mut content: Value = serde_json::from_str(content.get()).unwrap();
        for _ in 0..=self.dice.below(2) {
            let level = json!(*self.dice.pick(&[0, 25, 50, 50, 75, 100]));
            match self.dice.below(10) {
                0 => content["state_default"] = level,
                1 => content["kick"] = level,
                2 => content["ban"] = level,
                3 => content["invite"] = json!(*self.dice.pick(&[0, 50])),
                4 => content["users_default"] = json!(*self.dice.pick(&[0, 0, 25])),
                _ => {
                    let user = self.dice.pick(&self.users[1..]).to_string();
                    content["users"][user] = level;
                }
            }
        }
        Draft::new(sender, "m.room.power_levels", "", content)
    }

    fn power_levels(&mut self, sender: &UserId) -> Draft {
        let mut users = serde_json::Map::new();
        if !self.room.rules.authorization.explicitly_privilege_room_creators {
            users.insert(self.users[0].to_string(), json!(100));
        }
        for user in &self.users[1..] {
            if self.dice.chance(40) {
                users.insert(user.to_string(), json!(*self.dice.pick(&[25, 50, 75, 100])));
            }
        }
        Draft::new(sender, "m.room.power_levels", "", json!({ "users": users }))
    }
}
