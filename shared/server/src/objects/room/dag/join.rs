//! Joining a room that is on other servers: its state and auth chain come in parts, are verified
//! and staged, and then authorized in the order in which they build on each other. At no time is
//! more of them in memory than a page and what others are authorized by.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ruma::{OwnedEventId, api::error::ErrorKind, events::TimelineEventType};
use skerry_core::{
    Pdu,
    engine::{self, Known, Mode, Num, State, StateAt, Undecided, Verdict},
    receipt::Verified,
    room_version,
};

use crate::{
    Error, Result,
    messages::room::{Join, Outcome, Received, Stage},
    objects::room::{
        Room, limits,
        loaded::{
            Loaded,
            decided::{Decided, Place, new_known},
            graph::Graph,
            plan::Plan,
        },
    },
    store::room::{gaps, members, meta, staged, state},
};

/// The order in which staged events are authorized.
#[derive(Debug, Default)]
struct Order {
    /// Places of staged events, those that authorize others first.
    seqs: Vec<u32>,
    /// Whether others are authorized by an event, by place.
    is_cited: Vec<bool>,
    /// Auth events that have not been staged.
    missing: Vec<OwnedEventId>,
}

impl Room {
    /// Keeps a part of the state of a room that is being joined.
    pub(crate) async fn stage(self: &Arc<Self>, command: Stage) -> Result<Vec<Received>> {
        let Stage { room_version, events, is_state, keys } = command;
        let rules = room_version::rules(&room_version).ok_or_else(unsupported)?;
        let verified = self.verify(&events, &keys, &rules);
        let guard = self.lock().await;
        if guard.is_some() || self.load().await?.is_some() {
            return Err(Error::api(ErrorKind::RoomInUse, "this room exists already"));
        }
        let (sql, scope) = (self.sql(), self.scope());
        let mut seq = staged::count(sql, scope).await?;
        let mut stmts = Vec::new();
        let mut outcomes = Vec::with_capacity(verified.len());
        for it in verified {
            outcomes.push(match it {
                Ok(Verified { pdu, redacted }) => {
                    seq += 1;
                    stmts.push(staged::insert(scope, seq, &pdu.event_id, &pdu.json, is_state));
                    let outcome = Outcome::Accepted { redacted };
                    Received { event_id: Some(pdu.event_id), outcome }
                }
                Err(received) => received,
            });
        }
        if seq > limits::STAGED_EVENTS {
            return Err(Error::api(ErrorKind::TooLarge, "the room's state is too large"));
        }
        self.write_batch(stmts, None).await?;
        Ok(outcomes)
    }

    /// Begins the room with what has been staged.
    pub(crate) async fn join(self: &Arc<Self>, command: Join) -> Result<Received> {
        let Join { room_version, event, keys } = command;
        let rules = room_version::rules(&room_version).ok_or_else(unsupported)?;
        let mut verified = self.verify(std::slice::from_ref(&event), &keys, &rules);
        let pdu = match verified.pop() {
            Some(Ok(verified)) => Arc::new(verified.pdu),
            Some(Err(received)) => return Ok(received),
            None => return Err(Error::internal("one event was verified")),
        };
        let mut guard = self.lock().await;
        if guard.is_some() || self.load().await?.is_some() {
            return Err(Error::api(ErrorKind::RoomInUse, "this room exists already"));
        }
        let order = self.order().await?;
        let event_id = Some(pdu.event_id.clone());
        if !order.missing.is_empty() {
            let outcome = Outcome::Waits { auth: order.missing, prev: Vec::new() };
            return Ok(Received { event_id, outcome });
        }
        // What a crash left of an earlier try.
        self.write_batch(meta::remove_beginnings(self.scope()).into(), None).await?;
        let mut room = Loaded::empty(room_version, rules);
        let create = self.authorize_staged(&mut room, &order).await?;
        let (outcome, plan) = self.begin(&mut room, create, &pdu).await?;
        let Some(plan) = plan else {
            return Ok(Received { event_id, outcome });
        };
        room.gaps = gaps::list(self.sql(), self.scope()).await?;
        *guard = Some(room);
        self.deliver_plan(guard, plan).await;
        Ok(Received { event_id, outcome })
    }

    /// Reads what has been staged, page by page, and finds an order.
    async fn order(&self) -> Result<Order> {
        let (sql, scope) = (self.sql(), self.scope());
        let mut index: HashMap<OwnedEventId, u32> = HashMap::new();
        let mut named: Vec<(u32, Box<[u32]>)> = Vec::new();
        let mut unknown: HashMap<OwnedEventId, u32> = HashMap::new();
        let mut after = 0;
        let mut creates = Vec::new();
        // Events get small integers as they are met, staged or only named.
        let mut next = 0;
        loop {
            let page = staged::page(sql, scope, after, limits::STAGED_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for it in page {
                let pdu = self.to_pdu(it.event_id, it.json)?;
                let mut number = |id: &OwnedEventId| {
                    *index.entry(id.clone()).or_insert_with(|| {
                        next += 1;
                        unknown.insert(id.clone(), next);
                        next
                    })
                };
                let own = number(&pdu.event_id);
                if is_create(&pdu) {
                    creates.push(own);
                }
                let auth: Box<[u32]> = pdu.auth_events.iter().map(&mut number).collect();
                let seq = u32::try_from(it.seq).map_err(Error::internal)?;
                if unknown.remove(&pdu.event_id).is_some() {
                    let place = usize::try_from(own).map_err(Error::internal)?;
                    if named.len() <= place {
                        named.resize(place + 1, (0, Box::default()));
                    }
                    if let Some(slot) = named.get_mut(place) {
                        *slot = (seq, auth);
                    }
                }
            }
        }
        if !unknown.is_empty() {
            let missing = unknown.into_keys().collect();
            return Ok(Order { missing, ..Order::default() });
        }
        if creates.is_empty() {
            return Err(Error::bad_json("the room's state has no create event"));
        }
        Ok(sort(&named, creates))
    }

    /// Authorizes what has been staged, each event by its auth events, and stores it as outliers.
    /// Gives the number of the create event.
    async fn authorize_staged(&self, room: &mut Loaded, order: &Order) -> Result<Num> {
        let mut create = None;
        let page_size = usize::try_from(limits::STAGED_PAGE).unwrap_or(usize::MAX);
        for page in order.seqs.chunks(page_size) {
            let seqs: Vec<u64> = page.iter().map(|it| u64::from(*it)).collect();
            let mut plan = Plan::new(room);
            let mut events: HashMap<u64, staged::Staged> =
                staged::list(self.sql(), self.scope(), &seqs)
                    .await?
                    .into_iter()
                    .map(|it| (it.seq, it))
                    .collect();
            for seq in seqs {
                let Some(it) = events.remove(&seq) else { continue };
                let pdu = self.to_pdu(it.event_id, it.json)?;
                let num = plan.next_position();
                if is_create(&pdu) {
                    create.get_or_insert(num);
                }
                let known = new_known(room, num, &pdu);
                let decision = self.decide(room, |it| {
                    // The create event comes first.
                    engine::decide_outlier(&it.graph, &it.rules, create.unwrap_or(num), &known)
                });
                let Ok((verdict, _, auth)) = decision.await? else {
                    return Err(Error::internal("a staged event waits"));
                };
                let is_cited = usize::try_from(seq)
                    .is_ok_and(|it| order.is_cited.get(it).copied().unwrap_or(false));
                self.insert_outlier(&mut plan, known, verdict, auth)?;
                // Only what others are authorized by is worth its memory.
                let known = plan.known.pop().filter(|_| is_cited || create == Some(num));
                if let Some(known) = known {
                    room.graph.insert(known);
                }
            }
            let stmts = std::mem::take(&mut plan.stmts);
            self.write_batch(stmts, None).await?;
            plan.apply(room);
        }
        create.ok_or_else(|| Error::bad_json("the room's state has no create event"))
    }

    /// The state before the join becomes the current state, and the join event its first change.
    async fn begin(
        &self,
        room: &mut Loaded,
        create: Num,
        pdu: &Arc<Pdu>,
    ) -> Result<(Outcome, Option<Plan>)> {
        let scope = self.scope();
        room.graph = Graph::default();
        room.head += 1;
        let first = StateAt { chain: 0, group: room.head };
        let local = format!(":{}", self.server.name);
        let mut stmts = vec![state::insert_first_chain(scope)];
        stmts.extend(state::insert_staged(scope, first.group, &local));
        self.write_batch(stmts, None).await?;
        room.state = first;
        (room.joined, room.invited) = members::count(self.sql(), scope).await?;
        let given: Vec<_> =
            pdu.prev_events.iter().map(|id| (id.clone(), State::from(first))).collect();
        let mut plan = Plan::new(room);
        plan.leave_gap(limits::FIRST_GAP);
        let num = plan.next_position();
        let known: Known = new_known(room, num, pdu);
        let decision = self.decide(room, |it| {
            engine::decide(
                &it.graph,
                &it.engine_head(create, &[]),
                &known,
                &given,
                Mode::Live,
                false,
            )
        });
        let decision = match decision.await? {
            Ok(decision) => decision,
            Err(Undecided::Waits { auth, prev }) => {
                return Ok((Outcome::Waits { auth, prev }, None));
            }
            // Nothing has a state yet.
            Err(Undecided::Incomplete | Undecided::Outliers(_)) => {
                return Err(Error::internal("no decision was made"));
            }
        };
        if decision.verdict != Verdict::Accepted {
            let reason = decision.reason.unwrap_or_default();
            return Ok((Outcome::Rejected { reason }, None));
        }
        let decided = Decided {
            known,
            is_stored: false,
            decision,
            place: Place::BehindGap(limits::FIRST_GAP),
            missing: pdu.prev_events.clone(),
            may_notify: false,
        };
        plan.stmts.push(meta::insert(scope, &room.version, false, None));
        plan.stmts.push(staged::remove_all(scope));
        self.enter(room, &mut plan, decided, None).await?;
        self.commit(room, &mut plan).await?;
        Ok((Outcome::Accepted { redacted: false }, Some(plan)))
    }
}

/// Whether an event could be a room's first.
fn is_create(pdu: &Pdu) -> bool {
    pdu.event_type == TimelineEventType::RoomCreate
        && pdu.prev_events.is_empty()
        && pdu.auth_events.is_empty()
}

fn unsupported() -> Error {
    Error::api(ErrorKind::UnsupportedRoomVersion, "this room version is not supported")
}

/// Sorts events so that each comes after those that authorize it. Events in a circle, which only
/// made-up IDs can be, are left out. `named`: by integer, the place and the auth events. The create
/// event comes first: it authorizes all others, whether they name it or not.
fn sort(named: &[(u32, Box<[u32]>)], creates: Vec<u32>) -> Order {
    let place = |it: u32| usize::try_from(it).unwrap_or(usize::MAX);
    let mut waits: Vec<usize> = named.iter().map(|(_, auth)| auth.len()).collect();
    let mut cited_by: Vec<Vec<u32>> = vec![Vec::new(); named.len()];
    let mut ready = VecDeque::from(creates);
    let first = ready.len();
    let most = named.iter().map(|(seq, _)| place(*seq)).max().unwrap_or(0);
    let mut is_cited = vec![false; most + 1];
    for (own, (seq, auth)) in (0_u32..).zip(named) {
        if *seq == 0 {
            continue;
        }
        if auth.is_empty() && !ready.iter().take(first).any(|it| *it == own) {
            ready.push_back(own);
        }
        for it in auth {
            if let Some(citers) = cited_by.get_mut(place(*it)) {
                citers.push(own);
            }
        }
    }
    let mut seqs = Vec::with_capacity(named.len());
    while let Some(own) = ready.pop_front() {
        let Some((seq, _)) = named.get(place(own)) else { continue };
        seqs.push(*seq);
        let citers = cited_by.get_mut(place(own)).map(std::mem::take).unwrap_or_default();
        if let Some(it) = is_cited.get_mut(place(*seq)) {
            *it = !citers.is_empty();
        }
        for citer in citers {
            if let Some(waits) = waits.get_mut(place(citer)) {
                *waits = waits.saturating_sub(1);
                if *waits == 0 {
                    ready.push_back(citer);
                }
            }
        }
    }
    Order { seqs, is_cited, missing: Vec::new() }
}
