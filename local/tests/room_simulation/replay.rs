//! Does again what a simulated server did.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Display,
    sync::Arc,
};

use ruma::{OwnedEventId, OwnedUserId, RoomId};
use serde_json::value::RawValue as RawJsonValue;
use skerry::{
    messages::{
        RawJson, ServerKey,
        room::{GivenState, Join, Kind, Outcome, Receive, Stage},
    },
    ports::{Row, Sql as _, Stmt},
    store::room::{events, graph, meta, state},
};
use skerry_core::{
    Pdu, SigningKey,
    engine::{Mode, StateAt, Verdict},
};

use super::{
    client::Client,
    host::SCOPE,
    own_room,
    room::Stand,
    simulation::{
        store::{Map, Step, Store},
        world::World,
    },
};

#[path = "together.rs"]
mod together;

/// What was done, so that a run shows what it covers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub rooms: usize,
    pub events: usize,
    /// Those that came in one go with others.
    pub together: usize,
    /// Batches of them that failed.
    pub failed: usize,
    /// Events that came before those they follow.
    pub woken: usize,
    pub outliers: usize,
    pub history: usize,
    pub told: usize,
    /// History that nothing led to by the end.
    pub early: usize,
    /// Replays that ended where an event builds on such history.
    pub cut: usize,
}

/// How a room is told events that came one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each by itself; now and then what comes next comes before it.
    Turned,
    /// Each by itself, in order.
    Each,
    /// As many at once as may come at once; now and then their batch fails.
    Together,
}

/// Does again what a server did, and compares what it came to. Gives what its store has by then,
/// unless the replay ended early.
pub async fn replay(
    world: &World,
    server: usize,
    way: Way,
    tally: &mut Tally,
) -> Option<Vec<Vec<Row>>> {
    let store = world.servers[server].room.as_ref()?;
    // Who does what it should not also has events of its own that nobody else takes for events.
    if !world.is_honest(server) || !matches!(store.journal.first(), Some(Step::Join { .. })) {
        return None;
    }
    let mut replay = Replay::new(world, server, store).await;
    let mut steps = store.journal.iter().peekable();
    tally.rooms += 1;
    while let Some(step) = steps.next() {
        if env::var("SKERRY_TELL").is_ok() {
            println!("{}: {step:?}", replay.at);
        }
        // Now and then, in two of three rooms.
        if !world.seed.is_multiple_of(3) && steps.len().is_multiple_of(7) {
            replay.stand.crash();
        }
        match step {
            Step::Join { pdu, state, events } => replay.join(world, pdu, state, events).await,
            Step::Outlier(pdu, verdict) => {
                let told = Told { pdu, given: &[], verdict: *verdict };
                replay.receive(Kind::Outlier, &[told]).await;
                tally.outliers += 1;
            }
            Step::Event { given, mode: Mode::Live, .. }
                if way == Way::Together && given.is_empty() =>
            {
                if !replay.go_on_together(world, step, &mut steps, tally).await {
                    tally.cut += 1;
                    return None;
                }
            }
            Step::Event { pdu, given, mode: Mode::Live, verdict, current } => {
                let told = Told { pdu, given, verdict: *verdict };
                // Now and then what comes next comes before it.
                let is_turned = way == Way::Turned && steps.len().is_multiple_of(3);
                let next = steps.peek().filter(|_| is_turned);
                let next = next.and_then(|it| child(it, pdu, given.is_empty()));
                let mut current: &Map = current;
                match (replay.live(told, next.map(|it| it.0)).await, next) {
                    (Live::Cut, _) => {
                        tally.cut += 1;
                        return None;
                    }
                    (Live::BothHere, Some((_, after))) => {
                        current = after;
                        steps.next();
                        tally.woken += 1;
                    }
                    _ => {}
                }
                replay.look(current, &pdu.event_id, steps.len()).await;
                tally.events += 1;
                tally.told += usize::from(!given.is_empty());
            }
            Step::Event { pdu, given, verdict, current, .. } => {
                replay.later.push(Told { pdu, given, verdict: *verdict });
                // History is told as a connected part.
                if !matches!(steps.peek(), Some(Step::Event { mode: Mode::History, .. })) {
                    replay.history().await;
                    replay.look(current, "history", steps.len()).await;
                }
                tally.history += 1;
            }
        }
    }
    replay.is_ahead = false;
    replay.look(store.current(), "all", 0).await;
    replay.compare().await;
    replay.check_positions().await;
    tally.early += replay.later.len();
    Some(together::dump(&replay.stand).await)
}

/// An event that the room is told.
#[derive(Clone, Copy)]
struct Told<'a> {
    pdu: &'a Arc<Pdu>,
    given: &'a [(OwnedEventId, Vec<OwnedEventId>)],
    /// What it is in the simulation.
    verdict: Verdict,
}

/// What became of an event and the one that follows it.
enum Live {
    /// The event is here.
    Here,
    /// Both are.
    BothHere,
    /// The room lacks history that it was told too early.
    Cut,
}

struct Replay<'a> {
    stand: Stand,
    clients: Vec<Client>,
    /// History that is to be told, and that which nothing here has led to yet.
    later: Vec<Told<'a>>,
    keys: Vec<ServerKey>,
    room_id: &'a RoomId,
    /// The room has judged an outlier before the simulation did, for an event that came early.
    is_ahead: bool,
    /// Names the replay.
    at: String,
    store: &'a Store,
}

/// An event that can only be decided after this one, and the current state from then on.
///
/// What only cites it waits for it as well, or has it judged, unless that needs a state that is
/// given with it.
fn child<'a>(step: &'a Step, parent: &Pdu, is_judgeable: bool) -> Option<(&'a Arc<Pdu>, &'a Map)> {
    match step {
        Step::Event { pdu, given, mode: Mode::Live, current, .. } => {
            let cites = is_judgeable && pdu.auth_events.contains(&parent.event_id);
            let builds_on = cites || pdu.prev_events.contains(&parent.event_id);
            (given.is_empty() && builds_on).then_some((pdu, &**current))
        }
        _ => None,
    }
}

/// The first event with which a state is given that has one of the events before it: a state can
/// only be given of what is here.
fn names_earlier(events: &[Told<'_>]) -> Option<usize> {
    let is_earlier =
        |id: &OwnedEventId, at: usize| events[..at].iter().any(|it| it.pdu.event_id == *id);
    let names = |at: &usize| {
        events[*at].given.iter().flat_map(|(_, state)| state).any(|id| is_earlier(id, *at))
    };
    (1..events.len()).find(names)
}

fn raw(pdu: &Pdu) -> RawJson {
    RawJson::from(RawJsonValue::from_string(pdu.json.to_string()).unwrap())
}

fn verdict(outcome: &Outcome) -> Option<Verdict> {
    match outcome {
        Outcome::Accepted { .. } => Some(Verdict::Accepted),
        Outcome::SoftFailed { .. } => Some(Verdict::SoftFailed),
        Outcome::Rejected { .. } => Some(Verdict::Rejected),
        _ => None,
    }
}

impl<'a> Replay<'a> {
    async fn new(world: &World, server: usize, store: &'a Store) -> Self {
        let key = |it| SigningKey::from_seed([u8::try_from(it).unwrap() + 1; 32], "1").unwrap();
        let keys = (0..world.servers.len()).map(|it| ServerKey {
            server: world.servers[it].name.clone(),
            key_id: key(it).id().to_owned(),
            key: key(it).public_base64(),
            valid_until_ms: u64::MAX,
            expired_ms: None,
        });
        let name = world.servers[server].name.as_str();
        let room_id = &*store.get(store.create).pdu.room_id;
        let kinds = [(false, 2), (true, 2), (false, 20)];
        let of = |user: &OwnedUserId| {
            kinds.map(|(state_after, limit)| Client::new(user.clone(), state_after, limit))
        };
        Self {
            stand: Stand::empty(own_room::server(name, key(server)), room_id).await,
            clients: world.servers[server].users.iter().flat_map(of).collect(),
            later: Vec::new(),
            is_ahead: false,
            keys: keys.collect(),
            room_id,
            at: format!("SKERRY_SEED={}, version {}, {name}", world.seed, world.version),
            store,
        }
    }

    /// Tells an event, after the one that follows it.
    async fn live(&mut self, told: Told<'a>, next: Option<&'a Arc<Pdu>>) -> Live {
        let outcome = match next {
            Some(next) => Some(self.tell(next).await),
            None => None,
        };
        match outcome {
            // The event was an outlier that could be judged.
            Some(Outcome::Accepted { .. } | Outcome::SoftFailed { .. }) => return Live::BothHere,
            Some(Outcome::Waits { .. }) | None => {}
            // It is rejected, whatever comes before it, and will be told again.
            Some(_) => return self.live_alone(told).await,
        }
        match (self.live_alone(told).await, outcome) {
            (Live::Here, Some(_)) => Live::BothHere,
            (it, _) => it,
        }
    }

    async fn live_alone(&mut self, told: Told<'a>) -> Live {
        match self.receive(Kind::Live, &[told]).await {
            true => Live::Here,
            false => Live::Cut,
        }
    }

    async fn tell(&self, pdu: &Arc<Pdu>) -> Outcome {
        let receive = self.to_receive(vec![raw(pdu)], Kind::Live, Vec::new());
        self.stand.ask_to_the_end(receive).await.remove(0).outcome
    }

    fn to_receive(&self, events: Vec<RawJson>, kind: Kind, states: Vec<GivenState>) -> Receive {
        Receive { origin: None, hand_on: false, events, keys: self.keys.clone(), kind, states }
    }

    /// Tells what is known of the history.
    async fn history(&mut self) {
        let events = std::mem::take(&mut self.later);
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (part, others) = rest.split_at(names_earlier(rest).unwrap_or(rest.len()));
            self.receive(Kind::History, part).await;
            rest = others;
        }
    }

    /// Compares the current state, also with what clients make of `/sync`.
    async fn look(&mut self, current: &Map, after: impl Display, number: usize) {
        if self.is_ahead {
            return;
        }
        let group = state::find_head(&*self.stand.host.sqlite, SCOPE).await.unwrap();
        let (found, what) =
            (StateAt { chain: 0, group }, format!("the current state after {after}"));
        self.compare_state(found, current, &what).await;
        for (client, others) in self.clients.iter_mut().zip(2..) {
            // Each at other times.
            if number.is_multiple_of(others) {
                let synced = client.sync(&self.stand, self.store, current).await;
                synced.unwrap_or_else(|it| panic!("{}, after {after}: {it}", self.at));
            }
        }
    }

    async fn join(&self, world: &World, pdu: &Arc<Pdu>, state: &[OwnedEventId], all: &[Arc<Pdu>]) {
        let room_version = &world.version;
        let (state, rest): (Vec<_>, Vec<_>) =
            all.iter().partition(|it| state.contains(&it.event_id));
        let attempt = || "only".to_owned();
        for (begins, is_state, events) in [(true, true, state), (false, false, rest)] {
            let (events, keys) = (events.iter().map(|it| raw(it)).collect(), self.keys.clone());
            let (attempt, room_version) = (attempt(), room_version.clone());
            let stage = Stage { attempt, begins, room_version, events, is_state, keys };
            for it in self.stand.ask_to_the_end(stage).await {
                assert_eq!(verdict(&it.outcome), Some(Verdict::Accepted), "{}: {it:?}", self.at);
            }
        }
        let (room_version, keys) = (room_version.clone(), self.keys.clone());
        let join = Join { attempt: attempt(), room_version, event: raw(pdu), keys };
        let it = self.stand.ask_to_the_end(join).await;
        assert_eq!(verdict(&it.outcome), Some(Verdict::Accepted), "{}: {it:?}", self.at);
    }

    /// Whether the room could do it: it may lack history that it was told too early.
    async fn receive(&mut self, kind: Kind, told: &[Told<'a>]) -> bool {
        let given = told.iter().flat_map(|it| it.given);
        let states = given.map(|it| GivenState {
            before: it.0.clone(),
            state: it.1.clone(),
            is_hearsay: false,
        });
        let events = told.iter().map(|it| raw(it.pdu)).collect();
        let receive = self.to_receive(events, kind, states.collect());
        let received = self.stand.ask_to_the_end(receive).await;
        for (told, received) in told.iter().zip(received) {
            let is_expected = match received.outcome {
                Outcome::Dropped { .. } if kind == Kind::History => {
                    self.later.push(*told);
                    true
                }
                Outcome::Waits { .. } if !self.later.is_empty() => return false,
                Outcome::Known => {
                    // What waited for it had it judged. By the end the room is where it should be.
                    self.is_ahead |= told.verdict != Verdict::Rejected;
                    true
                }
                _ => verdict(&received.outcome) == Some(told.verdict),
            };
            let (json, expected) = (&told.pdu.json, told.verdict);
            assert!(is_expected, "{}: {kind:?}, {expected:?}: {json} {received:?}", self.at);
        }
        true
    }

    async fn compare(&self) {
        let (sql, store) = (&*self.stand.host.sqlite, self.store);
        let meta = meta::find(sql, SCOPE).await.unwrap().unwrap();
        let extremities = match meta.extremities {
            Some(nums) => events::list(sql, SCOPE, &nums).await.unwrap(),
            None => events::find_newest(sql, SCOPE).await.unwrap().into_iter().collect(),
        };
        let extremities: BTreeSet<_> = extremities.into_iter().map(|it| it.event_id).collect();
        let expected: BTreeSet<_> =
            store.extremities.iter().map(|it| store.get(*it).pdu.event_id.clone()).collect();
        assert_eq!(extremities, expected, "{}: the extremities", self.at);
        for num in &store.decided {
            let known = store.get(*num);
            let id = &known.pdu.event_id;
            if self.later.iter().any(|it| it.pdu.event_id == *id) {
                continue;
            }
            let found = graph::find_nums(sql, SCOPE, std::slice::from_ref(id)).await.unwrap();
            let row = graph::list(sql, SCOPE, &[found[0].1]).await.unwrap().remove(0);
            assert_eq!(row.verdict, known.verdict, "{}: {}", self.at, known.pdu.json);
            let (states, expected) = (row.states.unwrap(), known.states.unwrap());
            let what = format!("the state before {}", known.pdu.json);
            self.compare_state(states.before, store.map(expected.before), &what).await;
            let what = format!("the state after {}", known.pdu.json);
            self.compare_state(states.after, store.map(expected.after), &what).await;
        }
    }

    /// No two events that clients see stand at one position.
    async fn check_positions(&self) {
        let shared = "SELECT event_id FROM room_events WHERE verdict = 0 AND state_chain IS NOT NULL \
            GROUP BY coalesce(moved_to, num) HAVING count(*) > 1";
        let shared = self.stand.host.sqlite.rows(Stmt::new(shared)).await.unwrap();
        assert_eq!(shared.len(), 0, "{}: events at one position", self.at);
    }

    async fn compare_state(&self, at: StateAt, expected: &Map, what: &str) {
        let sql = &*self.stand.host.sqlite;
        let entries = graph::list_entries(sql, SCOPE, at).await.unwrap();
        let nums: Vec<_> = entries.iter().map(|it| it.1).collect();
        let ids: BTreeMap<_, _> = graph::list(sql, SCOPE, &nums)
            .await
            .unwrap()
            .into_iter()
            .map(|it| (it.num, it.event_id))
            .collect();
        let found: BTreeMap<_, _> =
            entries.into_iter().map(|(key, num)| (key, ids[&num].clone())).collect();
        assert_eq!(found, self.store.named(expected), "{}: {what} {at:?}", self.at);
    }
}
