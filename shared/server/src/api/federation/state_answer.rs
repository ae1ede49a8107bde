//! Answers with the state of a room and its auth chain, which may be too large to be held: they go
//! out while the room is asked for them, part by part.

use bytes::Bytes;
use futures_util::stream;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName};
use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::{
    Result,
    api::{Cx, answer::Pieces},
    messages::{
        RawJson,
        room::{GetStatePdus, StateBefore},
    },
};

/// Numbers of events in one question to a room.
pub(super) const NUMBERS: usize = 10_000;

/// An answer that is being made up.
pub(super) struct StateAnswer {
    cx: Cx,
    room_id: OwnedRoomId,
    server: OwnedServerName,
    /// What is still to be said, the last first.
    left: Vec<Piece>,
}

enum Piece {
    /// JSON, as it is.
    Text(String),
    /// Events by number, with commas between them.
    Events { numbers: Vec<u64>, is_first: bool },
}

impl StateAnswer {
    /// Nothing but the arrays of the state and its auth chain, which is called `auth_chain`.
    pub(super) fn new(
        cx: Cx,
        room_id: OwnedRoomId,
        server: OwnedServerName,
        name: &str,
        before: StateBefore,
    ) -> Self {
        let left = vec![
            Piece::Text("]}".to_owned()),
            Piece::Events { numbers: before.state, is_first: true },
            Piece::Text(format!("],\"{name}\":[")),
            Piece::Events { numbers: before.auth_chain, is_first: true },
            Piece::Text("{\"auth_chain\":[".to_owned()),
        ];
        Self { cx, room_id, server, left }
    }

    /// The same with these further fields, which are an object that has some.
    pub(super) fn with(mut self, fields: &impl Serialize) -> Result<Self> {
        let fields = to_raw_value(fields)?;
        let fields = fields.get().strip_suffix('}').unwrap_or_default();
        self.left.pop();
        self.left.push(Piece::Text(format!("{fields},\"auth_chain\":[")));
        Ok(self)
    }

    /// The same within other JSON.
    pub(super) fn within(mut self, before: &str, behind: &str) -> Self {
        self.left.insert(0, Piece::Text(behind.to_owned()));
        self.left.push(Piece::Text(before.to_owned()));
        self
    }

    /// It goes out.
    pub(super) fn pieces(self) -> Pieces {
        Box::pin(stream::try_unfold(self, |mut answer| async move {
            Ok(answer.next().await?.map(|piece| (piece, answer)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(piece) = self.left.pop() {
            match piece {
                Piece::Text(text) => return Ok(Some(text.into())),
                Piece::Events { numbers, is_first } => {
                    let part = state_pdus(&self.cx, &self.room_id, &self.server, &numbers).await?;
                    if part.is_empty() {
                        continue;
                    }
                    let numbers = numbers.get(part.len()..).unwrap_or_default().to_vec();
                    self.left.push(Piece::Events { numbers, is_first: false });
                    return Ok(Some(joined(&part, is_first)));
                }
            }
        }
        Ok(None)
    }
}

/// Events with commas between them, and before the first unless it is the first of all.
fn joined(part: &[RawJson], is_first: bool) -> Bytes {
    let bytes: usize = part.iter().map(|it| it.get().len() + 1).sum();
    let mut text = String::with_capacity(bytes);
    for (index, event) in part.iter().enumerate() {
        if index > 0 || !is_first {
            text.push(',');
        }
        text.push_str(event.get());
    }
    text.into()
}

/// The first of these state events of a room, as many as one answer holds: none at the end.
pub(super) async fn state_pdus(
    cx: &Cx,
    room_id: &RoomId,
    server: &ServerName,
    numbers: &[u64],
) -> Result<Vec<RawJson>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = numbers.iter().take(NUMBERS).copied().collect();
    let question = GetStatePdus { server: server.to_owned(), numbers };
    cx.ports.objects.ask(room_id, question).await
}
