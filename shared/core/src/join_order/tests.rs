//! Orders of joins: in tables, and by chance.

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedEventId;

use super::*;

const LIMITS: Limits = Limits { events: 1_000, citations: 10_000 };

fn id(name: &str) -> OwnedEventId {
    format!("${name}").try_into().unwrap()
}

/// An order of events, given as `name: those it names`; the one called `create` is the create
/// event. The place of each is its position in the list, from one.
fn told(limits: Limits, events: &[&str]) -> Result<JoinOrder, TooLarge> {
    let mut order = JoinOrder::new(limits);
    for (place, event) in (1..).zip(events) {
        let (name, named) = event.split_once(':').unwrap();
        let named: Vec<_> = named.split_whitespace().map(id).collect();
        order.add(place, &id(name), named.iter().map(|it| &**it), name == "create")?;
    }
    Ok(order)
}

fn finished(events: &[&str]) -> Vec<u32> {
    let order = told(LIMITS, events).unwrap();
    assert!(order.is_complete(), "{events:?}");
    order.finish()
}

#[test]
fn events_come_after_those_that_authorize_them() {
    let cases: [(&str, &[&str], &[u32]); 9] = [
        ("nothing", &[], &[]),
        ("the create event alone", &["create:"], &[1]),
        ("in order already", &["create:", "join:create", "rules:create join"], &[1, 2, 3]),
        ("backward", &["rules:create join", "join:create", "create:"], &[3, 2, 1]),
        ("events that name nobody follow the create event", &["a:", "create:", "b:a"], &[2, 1, 3]),
        ("an event that came twice has one place", &["create:", "a:create", "a:create"], &[1, 2]),
        ("one that is named twice counts twice", &["a:create create", "create:"], &[2, 1]),
        ("circles are left out", &["create:", "a:b", "b:a", "c:create", "d:a c", "e:e"], &[1, 4]),
        (
            "a create event that names others comes first",
            &["a:", "create:a", "b:create"],
            &[2, 1, 3],
        ),
    ];
    for (name, events, order) in cases {
        assert_eq!(finished(events), order, "{name}");
    }
}

#[test]
fn what_is_named_and_has_not_come_is_missing() {
    let mut order = told(LIMITS, &["create:", "a:create x", "b:a y", "c:create"]).unwrap();
    assert!(!order.is_complete());
    for (name, is_missing) in [("x", true), ("y", true), ("a", false), ("unheard", false)] {
        assert_eq!(order.is_missing(&id(name)), is_missing, "{name}");
    }
    order.set_known(&id("x"));
    order.set_known(&id("x"));
    order.set_known(&id("unheard"));
    assert!(!order.is_complete(), "one is missing still");
    order.set_known(&id("y"));
    assert!(order.is_complete());
    assert_eq!(order.finish(), [1, 2, 4, 3], "known events hold nobody up");
}

#[test]
fn what_names_a_missing_event_is_left_out() {
    let order = told(LIMITS, &["create:", "a:create x", "b:a", "c:create"]).unwrap();
    assert_eq!(order.finish(), [1, 4]);
}

#[test]
fn whether_there_is_a_create_event_is_known() {
    assert!(!told(LIMITS, &["a:"]).unwrap().has_create());
    assert!(told(LIMITS, &["a:", "create:"]).unwrap().has_create());
}

#[test]
fn more_than_the_limits_is_refused() {
    let limits = Limits { events: 3, citations: 4 };
    let cases: [(&str, &[&str], bool); 5] = [
        ("as many events as there may be", &["a:", "b:", "c:", "a:"], true),
        ("one more", &["a:", "b:", "c:", "d:"], false),
        ("one more that is only named", &["a:", "b:", "c:d"], false),
        ("as many citations as there may be", &["a:b c", "b:a c"], true),
        ("one more citation", &["a:b c", "b:a c", "c:a"], false),
    ];
    for (name, events, is_taken) in cases {
        assert_eq!(told(limits, events).is_ok(), is_taken, "{name}");
    }
    let message = told(limits, &["a:b c d"]).unwrap_err().to_string();
    assert_eq!(message, "the state and the auth chain are larger than 3 events");
}

/// splitmix64: the same run for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((it ^ (it >> 31)) >> 1).unwrap() % limit.max(1)
    }

    fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.below(last + 1));
        }
    }
}

/// What the order must have, found the slow way: whoever names none but those that are in it.
fn orderable(events: &BTreeMap<usize, Vec<usize>>) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([0]);
    loop {
        let next: Vec<_> = events
            .iter()
            .filter(|(own, named)| {
                !found.contains(own) && named.iter().all(|it| found.contains(it))
            })
            .map(|(own, _)| *own)
            .collect();
        if next.is_empty() {
            return found;
        }
        found.extend(next);
    }
}

#[test]
fn however_events_come_each_follows_those_that_authorize_it() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let size = 1 + dice.below(24);
        let has_circles = dice.below(3) == 0;
        let events: BTreeMap<usize, Vec<usize>> = (0..size)
            .map(|own| {
                let upto = if has_circles && dice.below(6) == 0 { size } else { own };
                let named = if own == 0 { 0 } else { dice.below(5) };
                (own, (0..named).map(|_| dice.below(upto)).collect())
            })
            .collect();
        let mut coming: Vec<usize> = events.keys().copied().collect();
        let again = dice.below(size);
        coming.extend(events.keys().take(again).copied());
        dice.shuffle(&mut coming);
        let mut order = JoinOrder::new(LIMITS);
        let name = |it: usize| id(&it.to_string());
        for own in coming {
            let named: Vec<_> = events[&own].iter().map(|it| name(*it)).collect();
            let place = u32::try_from(own).unwrap();
            order.add(place, &name(own), named.iter().map(|it| &**it), own == 0).unwrap();
        }
        assert!(order.is_complete(), "seed {seed}");
        let order: Vec<_> =
            order.finish().into_iter().map(|it| usize::try_from(it).unwrap()).collect();
        let mut seen = BTreeSet::new();
        for own in &order {
            assert!(seen.insert(*own), "seed {seed}: {own} comes once");
            let late: Vec<_> = events[own].iter().filter(|it| !seen.contains(it)).collect();
            assert!(late.is_empty(), "seed {seed}: {own} before {late:?}");
        }
        assert_eq!(order.first(), Some(&0), "seed {seed}");
        assert_eq!(seen, orderable(&events), "seed {seed}");
    }
}

/// As many events and citations as a sixteenth of what a room takes, so that the tables are as
/// full as theirs.
#[test]
fn memory_at_the_limits_is_what_is_said() {
    let limits = Limits { events: 28_000, citations: 250_000 };
    let mut order = JoinOrder::new(limits);
    let ids: Vec<_> = (0..limits.events).map(|it| id(&it.to_string())).collect();
    for (own, event_id) in ids.iter().enumerate() {
        let named = (0..8).map(|it| &*ids[(own + it) % ids.len()]);
        order.add(u32::try_from(own).unwrap(), event_id, named, own == 0).unwrap();
    }
    let said = limits.events * 60 + limits.citations * 9;
    assert!(order.bytes() <= said, "{} bytes, {said} were said", order.bytes());
    println!("{} bytes an event", order.bytes() / limits.events);
}
