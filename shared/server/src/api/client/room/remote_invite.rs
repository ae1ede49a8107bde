//! Inviting a user of another server ([spec]): the room makes the event, that server signs it too,
//! and then the room receives it as any other.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use ruma::{
    OwnedEventId, RoomId, RoomVersionId, ServerName, UserId,
    api::federation::membership::{RawStrippedState, create_invite},
};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use skerry_core::{receipt, room_version};

use super::{ask, whole_request::WholeRequest};
use crate::{
    Error, Result,
    api::{
        Cx,
        remote::{bad_answer, refused},
        verify::verify,
    },
    messages::{
        Caller, RawJson,
        room::{Invitation, Kind, MakeInvite, Outcome, Receive},
    },
    peers::{Limits, PeerError},
};

/// What the answer to an invitation may take.
const LIMITS: Limits = Limits { max_answer_bytes: 512 * 1024, timeout: Duration::from_secs(30) };

/// Invites a user of another server. The answer is the event.
pub(super) async fn invite(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    target: &UserId,
    content: RawJson,
) -> Result<OwnedEventId> {
    let make = MakeInvite { caller, target: target.to_owned(), content };
    let made = *ask(cx, room_id, make).await?;
    complete(cx, room_id, target, made).await
}

/// Has the server of whom an event invites sign it, where that is another one, and the room receive
/// it. The answer is the event.
pub(super) async fn complete(
    cx: &Cx,
    room_id: &RoomId,
    target: &UserId,
    made: Invitation,
) -> Result<OwnedEventId> {
    let event = match cx.server.is_local(target) {
        true => made.event,
        false => signed_by(cx, room_id, target.server_name(), &made).await?,
    };
    let receive = Receive {
        origin: None,
        hand_on: false,
        events: vec![event],
        keys: Vec::new(),
        kind: Kind::Live,
        states: Vec::new(),
    };
    let received = ask(cx, room_id, receive).await?.pop();
    match received.map(|it| it.outcome) {
        Some(Outcome::Accepted { .. } | Outcome::Known) => Ok(made.event_id),
        Some(Outcome::SoftFailed { reason } | Outcome::Rejected { reason }) => {
            Err(Error::forbidden(reason))
        }
        other => Err(Error::internal(format!("an invitation became {other:?}"))),
    }
}

/// The event, signed by the server of whom it invites.
async fn signed_by(
    cx: &Cx,
    room_id: &RoomId,
    server: &ServerName,
    made: &Invitation,
) -> Result<RawJson> {
    let rules = room_version::rules(&made.room_version)
        .ok_or_else(|| Error::internal("the version of a room that is here"))?;
    let answer = ask_to_sign(cx, room_id, server, made).await?;
    let cosigned = receipt::cosigned(&made.event, &answer, room_id, &rules, server);
    let (received, event) = cosigned.map_err(|it| bad_answer(&it))?;
    verify(cx, received, &rules).await.map_err(|it| bad_answer(&it))?;
    Ok(event)
}

/// Asks a server to sign an event. One that does not know the question may know the older one, of
/// rooms that are as old ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid
async fn ask_to_sign(
    cx: &Cx,
    room_id: &RoomId,
    server: &ServerName,
    made: &Invitation,
) -> Result<RawJson> {
    let peers = cx.peers();
    let Invitation { room_version, event_id, event, shown_state } = made;
    let request = create_invite::v2::Request::new(
        room_id.to_owned(),
        event_id.clone(),
        room_version.clone(),
        event.clone(),
        shown_state.iter().cloned().map(RawStrippedState::Pdu).collect(),
    );
    let error = match peers.ask(server, request, LIMITS).await {
        Ok(answer) => return Ok(answer.event),
        Err(error) => error,
    };
    let is_old = matches!(room_version, RoomVersionId::V1 | RoomVersionId::V2);
    if !is_old || !is_not_understood(&error) {
        return Err(refused(error));
    }
    // In the first version the body is the event: ruma writes a part of it, which nobody could
    // sign.
    let mut fields: BTreeMap<String, RawJson> = serde_json::from_str(event.get())?;
    let unsigned = to_raw_value(&BTreeMap::from([("invite_room_state", shown_state)]))?;
    fields.insert("unsigned".to_owned(), unsigned);
    let path = vec![room_id.to_string(), event_id.to_string()];
    let request = WholeRequest::<create_invite::v1::Request>::new(path, &fields)?;
    peers.ask(server, request, LIMITS).await.map(signed).map_err(refused)
}

/// The signed event of an answer of the first version. It stands in an object, which ruma does not
/// know.
fn signed(answer: create_invite::v1::Response) -> RawJson {
    #[derive(Deserialize)]
    struct Signed {
        event: RawJson,
    }
    match serde_json::from_str::<Signed>(answer.event.get()) {
        Ok(signed) => signed.event,
        Err(_) => answer.event,
    }
}

/// Whether the server may not know the question.
fn is_not_understood(error: &PeerError) -> bool {
    let PeerError::Refused(refusal) = error else { return false };
    matches!(refusal.status_code, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND)
}
