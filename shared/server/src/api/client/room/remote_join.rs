//! Joining a room that is not here, by way of servers that are in it ([spec]).
//!
//! A server answers the event with the state of the room, which the room takes in parts while the
//! answer comes, and checks by itself. A request that came to no end is repeated by the client:
//! joining again is joining.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms

mod answer;
mod keys;
mod staging;

use std::time::Duration;

use ruma::{
    RoomVersionId, ServerName,
    api::federation::{
        event::get_room_state::v1::Request as GetState,
        membership::{
            create_join_event::v2::Request as SendJoin, prepare_join_event::v1::Request as MakeJoin,
        },
    },
};
use skerry_core::{Pdu, room_version};

use self::{answer::Answer, staging::Attempt};
use super::by_way::{self, MAKE_LIMITS, Wanted};
use crate::{
    Error, Result,
    api::{
        Cx,
        remote::{bad_answer, not_found, refused},
    },
    messages::{
        RawJson,
        room::{Expect, Outcome},
    },
    peers::Limits,
};

/// What the answer with the state of the room may take. It is never held whole.
const STATE_LIMITS: Limits =
    Limits { max_answer_bytes: 256 * 1024 * 1024, timeout: Duration::from_mins(5) };

/// Joins by way of the first server that can help.
///
/// # Errors
///
/// What the last server that refused has said; `M_NOT_FOUND`, where nobody could be asked or nobody
/// knows the room.
pub(super) async fn join(cx: &Cx, wanted: Wanted<'_>) -> Result<()> {
    let wanted = &wanted;
    by_way::first_of(cx, wanted, |server| async move { join_by(cx, &server, wanted).await }).await
}

async fn join_by(cx: &Cx, server: &ServerName, wanted: &Wanted<'_>) -> Result<()> {
    let peers = cx.peers();
    let (room_id, user_id) = (wanted.room_id, wanted.user_id);
    let mut make = MakeJoin::new(room_id.to_owned(), user_id.to_owned());
    make.ver = room_version::SUPPORTED.to_vec();
    let made = peers.ask(server, make, MAKE_LIMITS).await.map_err(not_found)?;
    let version = made.room_version.unwrap_or(RoomVersionId::V1);
    let join = by_way::complete(cx, wanted, &made.event, &by_way::rules_of(&version)?)?;
    let event: RawJson = serde_json::from_str(&join.json)?;
    let expect = Expect { room_version: version.clone() };
    cx.ports.objects.ask(room_id, expect).await?;
    // All members are asked for: what the specification has for rooms without is not built.
    let send = SendJoin::new(room_id.to_owned(), join.event_id.clone(), event);
    let response = peers.stream(server, send, STATE_LIMITS).await.map_err(refused)?;
    let mut answer = Answer::to_join(response);
    let mut attempt = Attempt::new(cx, room_id, &version)?;
    attempt.stage(&mut answer).await?;
    if answer.members_omitted {
        // Nothing is begun with a state that is not whole.
        attempt = Attempt::new(cx, room_id, &version)?;
        let state = GetState::new(join.event_id.clone(), room_id.to_owned());
        let response = peers.stream(server, state, STATE_LIMITS).await.map_err(refused)?;
        attempt.stage(&mut Answer::to_state(response)).await?;
    }
    let event = signed(&join, answer.event, &version)?;
    match attempt.join(event).await?.outcome {
        Outcome::Accepted { .. } | Outcome::Known => Ok(()),
        Outcome::SoftFailed { reason } | Outcome::Rejected { reason } => {
            Err(Error::forbidden(reason))
        }
        Outcome::Dropped { reason } => Err(bad_answer(&reason)),
        Outcome::Waits { .. } => Err(bad_answer(&"events that authorize others are missing")),
        Outcome::NeedsKeys { .. } => Err(bad_answer(&"keys that signed the join are missing")),
    }
}

/// The join as the other server has it, where that is the one that it was sent: somebody else may
/// have had to sign it too.
fn signed(join: &Pdu, answered: Option<RawJson>, version: &RoomVersionId) -> Result<RawJson> {
    let rules = room_version::rules(version);
    let answered = answered.filter(|it| {
        let read = rules.as_ref().and_then(|rules| Pdu::from_signed(it, rules).ok());
        read.is_some_and(|it| it.event_id == join.event_id)
    });
    match answered {
        Some(event) => Ok(event),
        None => Ok(serde_json::from_str(&join.json)?),
    }
}
