//! Events that came one after the other, told at once: what becomes of them is to be the same.

use std::{iter::Peekable, slice::Iter};

use skerry::{
    messages::room::{Kind, Outcome, Received},
    ports::{Row, Sql as _, Stmt},
};
use skerry_core::engine::{Mode, Verdict};

use super::{Replay, Tally, Told, raw, verdict};
use crate::{
    host::{Fate, SCOPE},
    room::Stand,
    simulation::{
        store::{Map, Step},
        world::World,
    },
};

/// Events that are told at once, at most.
const MOST_TOGETHER: usize = 12;

/// What a room's store has that does not depend on when others were told. In order.
const TABLES: [&str; 12] = [
    "SELECT version, taken, extremities, listed FROM room_meta WHERE scope = ?",
    "SELECT num, event_id, type, state_key, sender, verdict, moved_to, state_chain, state_group, \
     after_chain, after_group, auth_events, replaces, handed_on, redacted_by, notifies, mentions, \
     thread, sent_by, auth_content, json FROM room_events WHERE scope = ? ORDER BY num",
    "SELECT cited, citer FROM room_auth_edges WHERE scope = ? ORDER BY cited, citer",
    "SELECT chain, parent_chain, parent_group FROM room_state_chains WHERE scope = ? ORDER BY chain",
    "SELECT chain, type, state_key, state_group, event FROM room_state_deltas WHERE scope = ? \
     ORDER BY chain, type, state_key, state_group",
    "SELECT position, type, state_key, event, previous FROM room_state_log WHERE scope = ? \
     ORDER BY position, type, state_key",
    "SELECT user_id, membership, position, event FROM room_members WHERE scope = ? ORDER BY user_id",
    "SELECT server, joined, since, until FROM room_servers WHERE scope = ? ORDER BY server",
    "SELECT event_id, wanted_by, gap FROM room_missing WHERE scope = ? ORDER BY event_id, wanted_by",
    "SELECT gap, after, next FROM room_gaps WHERE scope = ? ORDER BY gap",
    "SELECT event_id, awaited FROM room_pending WHERE scope = ? ORDER BY event_id",
    "SELECT event_id, redaction FROM room_redactions WHERE scope = ? ORDER BY event_id, redaction",
];

/// What a room's store has, table by table.
pub async fn dump(stand: &Stand) -> Vec<Vec<Row>> {
    let mut tables = Vec::new();
    for text in TABLES {
        tables.push(stand.host.sqlite.rows(Stmt::new(text).bind(SCOPE)).await.unwrap());
    }
    tables
}

/// The event of a step that may be told at once with those before it, and the current state from
/// then on: a room takes what comes at once by depth.
fn follows<'a>(step: &'a Step, before: &[Told<'_>]) -> Option<(Told<'a>, &'a Map)> {
    match step {
        Step::Event { pdu, given, mode: Mode::Live, verdict, current } => {
            let is_next = before.last().is_none_or(|it| it.pdu.depth <= pdu.depth);
            let told = Told { pdu, given, verdict: *verdict };
            (given.is_empty() && is_next).then_some((told, &**current))
        }
        _ => None,
    }
}

impl<'a> Replay<'a> {
    /// Tells the event of a step, and with it some of the steps that come next. Whether the room
    /// could do it.
    pub async fn go_on_together(
        &mut self,
        world: &World,
        step: &'a Step,
        steps: &mut Peekable<Iter<'a, Step>>,
        tally: &mut Tally,
    ) -> bool {
        let (mut told, mut state) = (Vec::new(), None);
        let most = 1 + (world.seed as usize + steps.len()) % MOST_TOGETHER;
        let mut next = Some(step);
        while let Some((event, after)) = next.and_then(|it| follows(it, &told)) {
            if !told.is_empty() {
                steps.next();
            }
            told.push(event);
            state = Some(after);
            next = steps.peek().copied().filter(|_| told.len() < most);
        }
        if !self.tell_together(&told, world.seed as usize + steps.len(), tally).await {
            return false;
        }
        tally.events += told.len();
        self.look(state.unwrap(), "some at once", steps.len()).await;
        true
    }

    /// Tells events at once, some of them twice. Now and then a batch fails, and they are told
    /// again. Whether the room could do it.
    async fn tell_together(&mut self, told: &[Told<'a>], number: usize, tally: &mut Tally) -> bool {
        let mut events: Vec<_> = told.iter().map(|it| (*it, false)).collect();
        if number.is_multiple_of(3) {
            events.push((told[number % told.len()], true));
        }
        let fate = match number % 8 {
            1 => Some(Fate::Refused),
            2 => Some(Fate::WrittenAndFailed),
            _ => None,
        };
        if let Some(fate) = fate {
            self.stand.host.commit_after(number as u64 / 8 % 3, fate);
        }
        let mut tries = 0;
        let received = loop {
            match self.tell_all(&events).await {
                Ok(received) => break received,
                Err(error) if tries == 0 && fate.is_some() => println!("{}: {error}", self.at),
                Err(error) => panic!("{}: {error}", self.at),
            }
            tries += 1;
        };
        self.stand.host.commits_are_written();
        tally.together += if told.len() > 1 { told.len() } else { 0 };
        tally.failed += usize::from(fate.is_some());
        for ((told, is_again), received) in events.iter().zip(received) {
            let is_expected = match received.outcome {
                Outcome::Waits { .. } if !self.later.is_empty() => return false,
                Outcome::Known if *is_again || tries > 0 => true,
                Outcome::Known => {
                    self.is_ahead |= told.verdict != Verdict::Rejected;
                    true
                }
                _ => !is_again && verdict(&received.outcome) == Some(told.verdict),
            };
            let (json, expected) = (&told.pdu.json, told.verdict);
            assert!(is_expected, "{}: together, {expected:?}: {json} {received:?}", self.at);
        }
        true
    }

    async fn tell_all(&self, events: &[(Told<'a>, bool)]) -> skerry::Result<Vec<Received>> {
        let events = events.iter().map(|it| raw(it.0.pdu)).collect();
        let receive = self.to_receive(events, Kind::Live, Vec::new());
        let received = self.stand.ask(receive).await;
        self.stand.run_deferred().await;
        received
    }
}
