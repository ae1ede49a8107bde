//! State resolution: which state a room has where its forks meet, in the three versions of the
//! algorithm: [version 1], [version 2] and [version 2.1].
//!
//! The spec defines it on whole states and whole auth chains. Here only what differs between the
//! forks is given, and everything else is asked of the [`View`] where it matters, so that the work
//! grows with the conflict and not with the room. The result is the same. Events are integers;
//! their IDs decide only between events that are equal in everything else.
//!
//! [version 1]: https://spec.matrix.org/v1.19/rooms/v1/#state-resolution
//! [version 2]: https://spec.matrix.org/v1.19/rooms/v2/#state-resolution
//! [version 2.1]: https://spec.matrix.org/v1.19/rooms/v12/#state-resolution

mod checks;
mod citers;
mod conflict;
mod conflicted;
mod context;
mod forks;
mod mainline;
mod power;
mod v1;

use std::{collections::BTreeMap, sync::Arc};

use ruma::room_version_rules::RoomVersionRules;

pub use self::conflict::{Column, Conflict};
use self::{checks::Checks, context::Context};
use crate::engine::{Event, Incomplete, KeyId, Num, Verdict, View};

/// The events of the keys in conflict in the resolved state; none: the key is absent there.
///
/// Every other key keeps its unconflicted event. The rare key that no fork has, but that an event
/// in the auth difference brings back, is in the result too: step 5 of the algorithm replaces only
/// keys that the unconflicted state map has.
///
/// `create` is the room's create event. `unconflicted` answers for keys that are not in the
/// conflict: the event that all forks have.
///
/// # Errors
///
/// [`Incomplete`] when something was not in memory: it is noted then, as much as could be told.
pub fn resolve(
    rules: &RoomVersionRules,
    create: Num,
    conflict: &Conflict,
    unconflicted: &dyn Fn(KeyId) -> Option<Option<Num>>,
    view: &impl View,
) -> Result<BTreeMap<KeyId, Option<Num>>, Incomplete> {
    resolve_those(rules, create, conflict, unconflicted, view, |_| true)
}

/// The same, as if no event that is rejected were in any auth chain.
///
/// # Errors
///
/// As [`resolve`].
pub(crate) fn resolve_without_rejected(
    rules: &RoomVersionRules,
    create: Num,
    conflict: &Conflict,
    unconflicted: &dyn Fn(KeyId) -> Option<Option<Num>>,
    view: &impl View,
) -> Result<BTreeMap<KeyId, Option<Num>>, Incomplete> {
    let not_rejected = |it: &Event| it.verdict != Verdict::Rejected;
    resolve_those(rules, create, conflict, unconflicted, view, not_rejected)
}

/// Resolves those events of the full conflicted set that count.
fn resolve_those(
    rules: &RoomVersionRules,
    create: Num,
    conflict: &Conflict,
    unconflicted: &dyn Fn(KeyId) -> Option<Option<Num>>,
    view: &impl View,
    counts: impl Fn(&Event) -> bool,
) -> Result<BTreeMap<KeyId, Option<Num>>, Incomplete> {
    let cx = Context::new(rules, create, conflict, unconflicted, view)?;
    let Some(v2) = rules.state_res.v2_rules() else { return v1::resolve(&cx) };
    let mut full = conflicted::full_set(&cx, v2.consider_conflicted_state_subgraph)?;
    full.retain(|it| counts(it));
    let (power, rest) = power::split(full);
    let power = power::sort(&cx, &power)?;
    let from_unconflicted = !v2.begin_iterative_auth_checks_with_empty_state_map;
    let mut checks = Checks::new(&cx, from_unconflicted);
    checks.apply(&power)?;
    let rest = mainline::sort(&cx, rest, &checks)?;
    checks.apply(&rest)?;
    checks.finish()
}

/// A list of events, in the order in which they are to be checked.
type Sorted = Vec<Arc<Event>>;
