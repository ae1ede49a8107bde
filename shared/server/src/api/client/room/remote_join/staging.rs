//! Handing a room what a join is answered with, in parts, while it comes.
//!
//! **Invariant:** what is held of an answer is bounded: what has come last, the part that is being
//! made up, and [`HELD_BYTES`] of events whose keys are still looked for. Meanwhile the answer is
//! read on, so that a server which does not answer for its keys holds nothing up but its own.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    pin::pin,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{Either, select};
use ruma::{OwnedServerName, RoomId, RoomVersionId, ServerName};
use skerry_core::gather::Gather as _;

use super::{
    answer::{Answer, StateEvent},
    keys::Keys,
};
use crate::{
    Result,
    api::{
        Cx,
        remote::bad_answer,
        signers::{Signers, signers_of},
    },
    messages::{
        RawJson,
        room::{Join, Received, Stage},
    },
};

/// Events that a room is given at a time.
const PART: usize = 500;

/// Bytes of events that a room is given at a time, but for the last one.
const PART_BYTES: usize = 1024 * 1024;

/// Bytes of events whose keys are looked for while more is read.
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// Random bytes of the ID of an attempt.
const ATTEMPT_BYTES: usize = 16;

/// An event, and who has signed it.
struct Signed {
    event: RawJson,
    is_state: bool,
    signers: Signers,
}

/// Events that the room is to be given, all of the state or all of its auth chain.
#[derive(Default)]
struct Ready(VecDeque<Signed>);

/// An attempt to join by one answer.
pub(super) struct Attempt<'a> {
    cx: &'a Cx,
    room_id: &'a RoomId,
    room_version: &'a RoomVersionId,
    id: String,
    /// Whether the room has been given nothing yet.
    begins: bool,
    keys: Keys<'a>,
    /// Events that wait for the keys of a server.
    held: BTreeMap<OwnedServerName, Vec<Signed>>,
    held_bytes: usize,
    chain: Ready,
    state: Ready,
}

/// What comes first.
enum Next {
    Events(Option<Vec<StateEvent>>),
    Keys(Option<OwnedServerName>),
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        cx: &'a Cx,
        room_id: &'a RoomId,
        room_version: &'a RoomVersionId,
    ) -> Result<Self> {
        let mut bytes = [0; ATTEMPT_BYTES];
        cx.ports.random.fill(&mut bytes)?;
        Ok(Self {
            cx,
            room_id,
            room_version,
            id: URL_SAFE_NO_PAD.encode(bytes),
            begins: true,
            keys: Keys::new(cx),
            held: BTreeMap::new(),
            held_bytes: 0,
            chain: Ready::default(),
            state: Ready::default(),
        })
    }

    /// Gives the room all of an answer.
    pub(super) async fn stage(&mut self, answer: &mut Answer) -> Result<()> {
        let mut is_over = false;
        loop {
            let may_read = !is_over && self.held_bytes < HELD_BYTES;
            if !may_read && self.keys.is_idle() {
                break;
            }
            match self.next(answer, may_read).await? {
                Next::Events(Some(events)) => {
                    events.into_iter().try_for_each(|it| self.take(it))?;
                }
                Next::Events(None) => is_over = true,
                Next::Keys(server) => {
                    for it in server.and_then(|it| self.held.remove(&it)).into_iter().flatten() {
                        self.held_bytes -= it.event.get().len();
                        self.sort(it);
                    }
                }
            }
            while self.chain.is_full() || self.state.is_full() {
                self.stage_part().await?;
            }
        }
        while !(self.chain.0.is_empty() && self.state.0.is_empty()) {
            self.stage_part().await?;
        }
        match self.begins {
            true => Err(bad_answer(&"the room's state is empty")),
            false => Ok(()),
        }
    }

    async fn next(&mut self, answer: &mut Answer, may_read: bool) -> Result<Next> {
        let keys = &mut self.keys;
        let read = async {
            match may_read {
                true => answer.next().await,
                false => pending().await,
            }
        };
        let look = async {
            match keys.is_idle() {
                true => pending().await,
                false => keys.next().await,
            }
        };
        match select(pin!(read), pin!(look)).await {
            Either::Left((events, _)) => events.map(Next::Events),
            Either::Right((server, _)) => Ok(Next::Keys(server)),
        }
    }

    fn take(&mut self, StateEvent { event, is_state }: StateEvent) -> Result<()> {
        let signers = signers_of([&event]);
        self.keys.want(&signers)?;
        self.sort(Signed { event, is_state, signers });
        Ok(())
    }

    /// An event waits for keys, or is ready.
    fn sort(&mut self, signed: Signed) {
        match (self.keys.missing(&signed.signers), signed.is_state) {
            (Some(server), _) => {
                self.held_bytes += signed.event.get().len();
                let server = server.to_owned();
                self.held.entry(server).or_default().push(signed);
            }
            (None, true) => self.state.0.push_back(signed),
            (None, false) => self.chain.0.push_back(signed),
        }
    }

    async fn stage_part(&mut self) -> Result<()> {
        let is_state = !self.chain.is_full() && !self.state.0.is_empty();
        let part = if is_state { self.state.part() } else { self.chain.part() };
        let keys = self.keys.of(servers(part.iter().map(|it| &it.signers)));
        let stage = Stage {
            attempt: self.id.clone(),
            begins: std::mem::take(&mut self.begins),
            room_version: self.room_version.clone(),
            events: part.into_iter().map(|it| it.event).collect(),
            is_state,
            keys,
        };
        self.cx.ports.objects.ask(self.room_id, stage).await.map(drop)
    }

    /// Joins with what the room has been given.
    pub(super) async fn join(mut self, event: RawJson) -> Result<Received> {
        let signers = signers_of([&event]);
        self.keys.want(&signers)?;
        while self.keys.missing(&signers).is_some() {
            self.keys.next().await;
        }
        let keys = self.keys.of(servers([&signers]));
        let room_version = self.room_version.clone();
        let join = Join { attempt: self.id, room_version, event, keys };
        self.cx.ports.objects.ask(self.room_id, join).await
    }
}

impl Ready {
    fn is_full(&self) -> bool {
        let bytes: usize = self.0.iter().take(PART).map(|it| it.event.get().len()).sum();
        self.0.len() >= PART || bytes >= PART_BYTES
    }

    fn part(&mut self) -> Vec<Signed> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while part.len() < PART
            && bytes < PART_BYTES
            && let Some(it) = self.0.pop_front()
        {
            bytes += it.event.get().len();
            part.push(it);
        }
        part
    }
}

/// Who has signed these, each once.
fn servers<'s>(of: impl IntoIterator<Item = &'s Signers>) -> BTreeSet<&'s ServerName> {
    of.into_iter().flat_map(|it| it.keys()).map(|it| &**it).gather()
}
