//! What it costs to let forks of a room meet: this project's state resolution, from the integers
//! that a room holds, beside ruma's, from the state maps and auth chains that it needs.
//!
//! A conflict of rooms as they are: nearly all of it members who come and change their profiles,
//! two percent of it bans, kicks, join rules and power levels.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has nothing to measure"
)]
#![expect(clippy::cast_possible_truncation, reason = "rooms of benches are small")]

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/state_resolution/oracle.rs"]
mod oracle;
#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/state_resolution/room.rs"]
mod room;

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ruma::{OwnedUserId, RoomVersionId, UserId};
use serde_json::json;
use skerry_core::{
    engine::{KeyId, Num},
    state_res::{self, Conflict},
};

use crate::{
    oracle::Prepared,
    room::{Draft, Room, State},
};

/// A user who may do everything, and twenty who may ban.
const MODERATORS: usize = 20;

/// What happens to whom in a fork.
enum Act {
    Profile,
    Join,
    Ban,
    Kick,
    JoinRules,
    PowerLevels,
}

/// A room with its forks.
struct Forked {
    room: Room,
    states: Vec<State>,
    keys: [KeyId; 3],
    users: Vec<OwnedUserId>,
}

impl Forked {
    fn new(version: &RoomVersionId, forks: usize, conflicts: usize, members: usize) -> Self {
        let users: Vec<_> = (0..members + conflicts)
            .map(|it| UserId::parse(format!("@user{it}:server{}.example", it % 97)).unwrap())
            .collect();
        let mut room = Room::new(version, &users[0], 7);
        let keys = [
            room.key_of("m.room.create", ""),
            room.key_of("m.room.power_levels", ""),
            room.key_of("m.room.join_rules", ""),
        ];
        let mut new = Self { states: vec![State::from([(keys[0], 0)])], room, keys, users };
        new.member(0, 0, 0, "join", 0);
        new.power_levels(0, 50);
        new.join_rules(0, 0);
        for user in 1..members {
            new.member(0, user, user, "join", 0);
        }
        for user in (0..members).step_by(3) {
            new.member(0, user, user, "join", 1);
        }
        new.states = vec![new.states[0].clone(); forks];
        for index in 0..conflicts {
            new.act(index, forks, members);
        }
        new
    }

    /// Makes one key a conflict. Those who act and those who are acted on are not the same.
    fn act(&mut self, index: usize, forks: usize, members: usize) {
        let fork = index % forks;
        let act = match index {
            25 => Act::PowerLevels,
            75 => Act::JoinRules,
            it if it % 100 == 25 => Act::Ban,
            it if it % 100 == 75 => Act::Kick,
            it if it % 5 == 0 && members + it < self.users.len() => Act::Join,
            _ => Act::Profile,
        };
        let user = MODERATORS + 1 + index * 7 % (members - MODERATORS - 1);
        let moderator = 1 + index % MODERATORS;
        match act {
            Act::PowerLevels => self.power_levels(fork, 60),
            Act::JoinRules => self.join_rules(fork, index),
            Act::Ban => self.member(fork, moderator, user, "ban", 2),
            Act::Kick => self.member(fork, moderator, user, "leave", 2),
            Act::Join => self.member(fork, members + index, members + index, "join", 0),
            Act::Profile => {
                self.member(fork, user, user, "join", 2);
                if index.is_multiple_of(2) {
                    self.member((fork + 1) % forks, user, user, "join", 3);
                }
            }
        }
    }

    fn member(&mut self, fork: usize, by: usize, of: usize, membership: &str, name: u64) {
        let content = json!({
            "membership": membership,
            "displayname": format!("User {of} as {name}"),
            "avatar_url": "mxc://server.example/abcdefghijklmnopqrstuvwx",
        });
        let (by, of) = (self.users[by].clone(), self.users[of].clone());
        let (own, target) = (self.member_key(&by), self.member_key(&of));
        let mut needed = vec![self.keys[1], own];
        if own != target {
            needed.push(target);
        }
        if membership == "join" {
            needed.push(self.keys[2]);
        }
        self.insert(fork, &needed, Draft::new(&by, "m.room.member", of.as_str(), content));
    }

    fn power_levels(&mut self, fork: usize, level: i64) {
        let mut users: BTreeMap<_, _> =
            self.users[1..=MODERATORS].iter().map(|it| (it.as_str(), level)).collect();
        if !self.room.rules.authorization.explicitly_privilege_room_creators {
            users.insert(self.users[0].as_str(), 100);
        }
        let content = json!({
            "ban": 50, "kick": 50, "redact": 50, "invite": 0, "users_default": 0,
            "events": { "m.room.name": 50, "m.room.topic": 50, "m.room.avatar": 50 },
            "users": users,
        });
        self.of_creator(fork, "m.room.power_levels", content);
    }

    fn join_rules(&mut self, fork: usize, change: usize) {
        self.of_creator(
            fork,
            "m.room.join_rules",
            json!({ "join_rule": "public", "change": change }),
        );
    }

    fn of_creator(&mut self, fork: usize, event_type: &'static str, content: serde_json::Value) {
        let creator = self.users[0].clone();
        let needed = [self.keys[1], self.member_key(&creator)];
        self.insert(fork, &needed, Draft::new(&creator, event_type, "", content));
    }

    fn member_key(&mut self, user: &UserId) -> KeyId {
        self.room.key_of("m.room.member", user.as_str())
    }

    fn insert(&mut self, fork: usize, needed: &[KeyId], draft: Draft) {
        let create = !self.room.rules.authorization.room_create_event_id_as_room_id;
        let state = &mut self.states[fork];
        let auth: Vec<Num> = create
            .then_some(&self.keys[0])
            .into_iter()
            .chain(needed)
            .filter_map(|key| state.get(key).copied())
            .collect();
        let mut draft = draft.at(1_700_000_000_000 + self.room.events.len() as u64);
        if state.len() == 1 {
            draft.prev = vec![0];
        }
        let num = self.room.insert(draft, auth);
        state.insert(self.room.key(num), num);
    }
}

/// The same conflict, resolved by both.
fn compare(criterion: &mut Criterion, version: &RoomVersionId, members: usize) {
    let mut group = criterion.benchmark_group(format!("state_res/v{version}/{members}"));
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    for forks in [2, 10] {
        for conflicts in [50, 500, 5_000] {
            if conflicts > members {
                continue;
            }
            let forked = Forked::new(version, forks, conflicts, members);
            let room = &forked.room;
            let (unconflicted, conflict) = room::split(&forked.states);
            let prepared = Prepared::new(room, &forked.states);
            let mut by_key = vec![None; room.keys.len()];
            for (key, num) in &unconflicted {
                by_key[key.0 as usize] = Some(*num);
            }
            let ours = || ours(room, &conflict, &by_key);
            let ruma = prepared.resolve(room, prepared.chains.clone());
            let same = room::merge(unconflicted.clone(), &ours()) == prepared.state(room, &ruma);
            assert!(same, "{forks} forks, {conflicts} conflicts");
            let name = format!("{forks} forks");
            group.bench_function(BenchmarkId::new(format!("skerry, {name}"), conflicts), |it| {
                it.iter(|| black_box(ours()));
            });
            group.bench_function(BenchmarkId::new(format!("ruma, {name}"), conflicts), |it| {
                let chains = || prepared.chains.clone();
                let resolve = |chains| black_box(prepared.resolve(room, chains));
                it.iter_batched(chains, resolve, BatchSize::PerIteration);
            });
        }
    }
}

fn ours(room: &Room, conflict: &Conflict, by_key: &[Option<Num>]) -> BTreeMap<KeyId, Option<Num>> {
    let unconflicted = |key: KeyId| Some(by_key[key.0 as usize]);
    state_res::resolve(&room.rules, 0, conflict, &unconflicted, room).expect("all in memory")
}

fn benches(criterion: &mut Criterion) {
    for members in [1_000, 10_000, 100_000] {
        compare(criterion, &RoomVersionId::V11, members);
    }
    compare(criterion, &RoomVersionId::V12, 10_000);
}

criterion_group!(state_res, benches);
criterion_main!(state_res);
