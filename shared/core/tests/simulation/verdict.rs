//! What must hold once everything that servers know has reached all of them.

use std::{collections::BTreeMap, mem, sync::Arc};

use ruma::{OwnedEventId, OwnedUserId, UserId};
use skerry_core::engine::Verdict;

use super::{actions::Wish, oracle, server::Message, world::World};

/// Rounds in which every server speaks, until all agree.
const MAX_ROUNDS: usize = 8;

/// Servers tell each other all they know, then speak until they agree.
pub fn heal(world: &mut World) {
    world.run_until_quiet();
    exchange(world);
    for _ in 0..MAX_ROUNDS {
        if disagreement(world, &in_touch(world)).is_none() {
            return;
        }
        all_speak(world, &participants(world));
    }
}

/// These servers speak until they agree.
fn agree(world: &mut World, servers: &[usize]) {
    for _ in 0..MAX_ROUNDS {
        if disagreement(world, servers).is_none() {
            return;
        }
        all_speak(world, servers);
    }
}

fn all_speak(world: &mut World, servers: &[usize]) {
    for server in servers {
        let user = world.servers[*server].joined().next().cloned();
        user.and_then(|user| speak(world, *server, &user));
    }
}

/// Each server that does as it should sends its forward extremities to all others.
fn exchange(world: &mut World) {
    for from in 0..world.servers.len() {
        let Some(room) = &world.servers[from].room else { continue };
        if !world.is_honest(from) {
            continue;
        }
        let extremities: Vec<_> =
            room.extremities.iter().map(|it| Arc::clone(room.get(*it))).collect();
        for to in (0..world.servers.len()).filter(|it| *it != from) {
            for it in &extremities {
                let json = Arc::from(&*it.pdu.json);
                world.post(from, to, &Message::Event(json));
            }
        }
        world.run_until_quiet();
    }
}

/// A member sends a message, which comes to all servers, also to those that the member's server
/// does not think are in the room.
fn speak(world: &mut World, server: usize, user: &UserId) -> Option<OwnedEventId> {
    let wish = Wish::message(world.next_unique());
    if !world.send(server, user, wish.event_type, None, wish.content, None) {
        return None;
    }
    let room = world.servers[server].room.as_ref().unwrap();
    let event = &room.get(room.timeline.last().unwrap().0).pdu;
    let (id, json) = (event.event_id.clone(), Arc::<str>::from(&*event.json));
    for to in (0..world.servers.len()).filter(|it| *it != server) {
        world.post(server, to, &Message::Event(Arc::clone(&json)));
    }
    world.run_until_quiet();
    Some(id)
}

/// The servers that do as they should and have a member in the room.
pub fn participants(world: &World) -> Vec<usize> {
    (0..world.servers.len())
        .filter(|it| world.is_honest(*it) && world.servers[*it].is_in_room())
        .collect()
}

/// The largest group of servers whose members take each other for joined.
///
/// A server outside of it is one that the rest soft-fails: say, its user joined on a fork where
/// that was allowed, and left on another. It goes on by itself until its user joins again; nothing
/// in the protocol brings it back.
pub fn in_touch(world: &World) -> Vec<usize> {
    let all = participants(world);
    let sees = |one: usize, other: usize| {
        world.servers[one].takes_for_joined(world.servers[other].joined().next().unwrap())
    };
    let group = |one: usize| -> Vec<usize> {
        all.iter().copied().filter(|it| sees(one, *it) && sees(*it, one)).collect()
    };
    all.iter()
        .map(|it| group(*it))
        .max_by_key(|it| (it.len(), !it.contains(&0)))
        .unwrap_or_default()
}

/// Where two servers have different current states.
fn disagreement(world: &World, all: &[usize]) -> Option<String> {
    let (first, others) = all.split_first()?;
    let state = |server: usize| {
        let room = world.servers[server].room.as_ref().unwrap();
        room.named(room.current())
    };
    let expected = state(*first);
    others.iter().find_map(|it| {
        let other = state(*it);
        let differing: BTreeMap<_, _> = expected
            .keys()
            .chain(other.keys())
            .filter(|it| expected.get(*it) != other.get(*it))
            .map(|it| (it, (expected.get(it), other.get(it))))
            .collect();
        (!differing.is_empty()).then(|| format!("servers {first} and {it}: {differing:?}"))
    })
}

/// Checks all that must hold.
pub fn check(world: &mut World) {
    let seed = world.seed;
    let mut signed = mem::take(&mut world.signed);
    let mut checked = mem::take(&mut world.checked);
    for server in (0..world.servers.len()).filter(|it| world.is_honest(*it)) {
        let Some(room) = &world.servers[server].room else { continue };
        let before = if world.is_thorough() { 0 } else { checked[server] };
        if let Err(it) = oracle::check_visible(room, &world.keys, &mut signed, before) {
            panic!("seed {seed}, version {}, server {server}: {it}", world.version);
        }
        checked[server] = room.timeline.len();
        let comparable = !room.was_told && world.rules.state_res.v2_rules().is_some();
        if comparable
            && seed.is_multiple_of(4)
            && let Err(it) = oracle::check_from_scratch(room)
        {
            panic!("seed {seed}, version {}, server {server}: {it}", world.version);
        }
    }
    (world.signed, world.checked) = (signed, checked);
    if world.lied {
        return;
    }
    if let Some(it) = disagreement(world, &in_touch(world)) {
        panic!("seed {seed}, version {}: {it}", world.version);
    }
    same_rejections(world);
    goes_on(world);
}

/// Servers have rejected the same events, of those that both know with their states.
fn same_rejections(world: &World) {
    let seed = world.seed;
    let mut first: BTreeMap<OwnedEventId, (usize, bool)> = BTreeMap::new();
    for server in participants(world) {
        let room = world.servers[server].room.as_ref().unwrap();
        for num in &room.decided {
            let known = room.get(*num);
            let rejected = known.verdict == Verdict::Rejected;
            let id = known.pdu.event_id.clone();
            let (other, expected) = *first.entry(id).or_insert((server, rejected));
            assert_eq!(
                expected, rejected,
                "seed {seed}, version {}: {} is rejected by one of {other} and {server}",
                world.version, known.pdu.event_id
            );
        }
    }
}

/// What members say is accepted by all, and changes nothing.
///
/// By members that all take for joined: who was in touch may be so no more once another has
/// spoken. Say, two servers know of a join that the others have soft-failed. It loses against a
/// ban as long as both are conflicts beside another one; what is said ends that one, and the join
/// wins where it is known.
fn goes_on(world: &mut World) {
    let seed = world.seed;
    let group = in_touch(world);
    for server in group.iter().copied() {
        let all_see =
            |user: &&OwnedUserId| group.iter().all(|it| world.servers[*it].takes_for_joined(user));
        let Some(user) = world.servers[server].joined().find(all_see).cloned() else { continue };
        let Some(id) = speak(world, server, &user) else { continue };
        for server in group.iter().copied() {
            let room = world.servers[server].room.as_ref().unwrap();
            let verdict = room.by_id(&id).map(|it| it.verdict);
            assert_eq!(
                verdict,
                Some(Verdict::Accepted),
                "seed {seed}, version {}: server {server} does not see {id}",
                world.version
            );
        }
    }
    // Who has come back in touch by what was said now may hold what the others have soft-failed.
    let group: Vec<_> = in_touch(world).into_iter().filter(|it| group.contains(it)).collect();
    // And who has more extremities than an event may cite keeps some until the next one.
    agree(world, &group);
    if let Some(it) = disagreement(world, &group) {
        panic!("seed {seed}, version {}: after all spoke: {it}", world.version);
    }
}

/// Tells what the servers know, for whoever replays a seed with `SKERRY_TELL`.
pub fn tell(world: &World) {
    if std::env::var("SKERRY_TELL").is_err() {
        return;
    }
    let mut short: BTreeMap<OwnedEventId, usize> = BTreeMap::new();
    for server in &world.servers {
        let Some(room) = &server.room else { continue };
        println!(
            "== {} {:?} in room: {}, told: {}, waiting: {}",
            server.name,
            world.behaviors[server.index],
            server.is_in_room(),
            room.was_told,
            server.waiting.len()
        );
        for known in &room.events {
            let next = short.len();
            let mut name = |id: &OwnedEventId| *short.entry(id.clone()).or_insert(next);
            let own = name(&known.pdu.event_id);
            let known_ids: Vec<_> = known.pdu.prev_events.iter().map(|it| short.get(it)).collect();
            let auth_ids: Vec<_> = known.pdu.auth_events.iter().map(|it| short.get(it)).collect();
            println!(
                "{own:3} @{} {:?}{} {} {} {:?} {} prev {known_ids:?} auth {auth_ids:?} {}",
                u64::from(known.pdu.origin_server_ts.0) % 1_000_000,
                known.verdict,
                if known.states.is_some() { "" } else { " outlier" },
                known.pdu.sender,
                known.pdu.event_type,
                known.pdu.state_key,
                known.pdu.content.get().chars().take(90).collect::<String>(),
                if room.extremities.contains(&known.num) { "EXTREMITY" } else { "" },
            );
        }
        let current: Vec<_> =
            room.current().values().map(|it| short.get(&room.get(*it).pdu.event_id)).collect();
        println!("current {current:?}");
    }
}
