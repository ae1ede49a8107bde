//! Knocking on a room that is not here, by way of servers that are in it ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#knocking-upon-a-room

use std::time::Duration;

use ruma::{
    ServerName,
    api::federation::membership::{
        create_knock_event::v1::Request as SendKnock, prepare_knock_event::v1::Request as MakeKnock,
    },
    events::room::member::MembershipState,
};
use skerry_core::{invite::shown::Faults, room_version};

use super::by_way::{self, MAKE_LIMITS, Wanted};
use crate::{
    Result,
    api::{
        Cx,
        remote::{not_found, refused},
        shown,
    },
    messages::{
        RawJson,
        user::{RemoteMembership, RemoteRoom},
    },
    peers::Limits,
};

/// What the answer to a knock may take.
const SEND_LIMITS: Limits =
    Limits { max_answer_bytes: 512 * 1024, timeout: Duration::from_secs(30) };

/// Knocks by way of the first server that can help.
///
/// # Errors
///
/// As [`by_way::first_of`].
pub(super) async fn knock(cx: &Cx, wanted: Wanted<'_>) -> Result<()> {
    let wanted = &wanted;
    let knocked =
        by_way::first_of(cx, wanted, |server| async move { knock_by(cx, &server, wanted).await });
    cx.ports.objects.ask(wanted.user_id, knocked.await?).await
}

/// What the user's object is told of the knock.
async fn knock_by(cx: &Cx, server: &ServerName, wanted: &Wanted<'_>) -> Result<RemoteMembership> {
    let peers = cx.peers();
    let (room_id, user_id) = (wanted.room_id, wanted.user_id);
    let mut make = MakeKnock::new(room_id.to_owned(), user_id.to_owned());
    make.ver = room_version::SUPPORTED.to_vec();
    let made = peers.ask(server, make, MAKE_LIMITS).await.map_err(not_found)?;
    let rules = by_way::rules_of(&made.room_version)?;
    let knock = by_way::complete(cx, wanted, &made.event, &rules)?;
    let event: RawJson = serde_json::from_str(&knock.json)?;
    let send = SendKnock::new(room_id.to_owned(), knock.event_id.clone(), event);
    let answer = peers.ask(server, send, SEND_LIMITS).await.map_err(refused)?;
    let events = shown::events(&answer.knock_room_state)?;
    // The knock stands, whatever the server shows of the room.
    let stripped_state = match shown::stripped(cx, &events, &knock, &rules, Faults::LeftOut).await {
        Ok(stripped_state) => stripped_state,
        Err(error) => {
            let status = error.status().as_u16();
            tracing::debug!(%server, %room_id, status, "what is shown of the room is of no use");
            shown::stripped_alone(&knock)?
        }
    };
    let remote = RemoteRoom {
        membership: MembershipState::Knock,
        sender: user_id.to_owned(),
        event_id: knock.event_id,
        room_version: made.room_version,
        servers: vec![server.to_owned()],
    };
    let room_id = room_id.to_owned();
    Ok(RemoteMembership { room_id, remote, stripped_state, ending: None })
}
