//! Joining a room that is not here, by way of servers that are in it ([spec]).
//!
//! A server is asked for the event, is sent it signed, and answers with the state of the room,
//! which the room takes in parts and checks by itself. Where one cannot help, the next one is
//! asked. A request that came to no end is repeated by the client: joining again is joining.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use ruma::{
    CanonicalJsonObject, OwnedServerName, RoomId, RoomVersionId, ServerName, UserId,
    api::{
        error::ErrorKind,
        federation::membership::{
            create_join_event::v2::{Request as SendJoin, RoomState},
            prepare_join_event::v1::Request as MakeJoin,
        },
    },
    events::room::member::{MembershipState, RoomMemberEventContent},
};
use skerry_core::{
    Pdu,
    pdu::{self, template},
    room_version,
};

use crate::{
    Error, Result,
    api::{
        Cx,
        remote::{bad_answer, not_found, refused},
        signers::{Signers, find_keys, signers_of},
    },
    messages::{
        RawJson, ServerKey,
        room::{ChangeMembership, Join, Outcome, Stage},
    },
    peers::Limits,
};

/// Servers that are asked, one after the other.
const MAX_SERVERS: usize = 10;

/// What the answer to a question for the event may take.
const MAKE_LIMITS: Limits =
    Limits { max_answer_bytes: 256 * 1024, timeout: Duration::from_secs(30) };

/// What the answer with the state of the room may take.
const SEND_LIMITS: Limits =
    Limits { max_answer_bytes: 64 * 1024 * 1024, timeout: Duration::from_mins(2) };

/// Events that a room is given at a time.
const PART: usize = 500;

/// Random bytes of the ID of an attempt.
const ATTEMPT_BYTES: usize = 16;

/// A join that is wanted.
pub(super) struct Wanted<'a> {
    /// The room.
    pub(super) room_id: &'a RoomId,
    /// The user.
    pub(super) user_id: &'a UserId,
    /// What the membership is to say.
    pub(super) content: CanonicalJsonObject,
    /// Servers that may be in the room.
    pub(super) via: Vec<OwnedServerName>,
}

/// What a membership that is to be changed so says.
pub(super) fn content(change: &ChangeMembership) -> Result<CanonicalJsonObject> {
    let mut content = RoomMemberEventContent::new(MembershipState::Join);
    content.displayname.clone_from(&change.displayname);
    content.avatar_url.clone_from(&change.avatar_url);
    content.reason.clone_from(&change.reason);
    Ok(serde_json::from_value(serde_json::to_value(content)?)?)
}

/// Joins by way of the first server that can help.
///
/// # Errors
///
/// What the last server that refused has said; `M_NOT_FOUND`, where nobody could be asked or nobody
/// knows the room.
pub(super) async fn join(cx: &Cx, wanted: Wanted<'_>) -> Result<()> {
    let of_room = wanted.room_id.server_name().map(ToOwned::to_owned);
    let mut asked = BTreeSet::new();
    let servers = wanted.via.iter().cloned().chain(of_room);
    let servers = servers.filter(|it| *it != cx.server.name && asked.insert(it.clone()));
    let mut last = None;
    for server in servers.take(MAX_SERVERS).collect::<Vec<_>>() {
        match join_by(cx, &server, &wanted).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                let status = error.status().as_u16();
                tracing::debug!(%server, room_id = %wanted.room_id, status, "it does not help");
                if last.as_ref().is_none_or(|last| weight(&error) >= weight(last)) {
                    last = Some(error);
                }
            }
        }
    }
    Err(last.unwrap_or_else(|| {
        Error::not_found("no room of this ID is known here, nor a server that is in it")
    }))
}

/// How much an error says about the join: least that a server was not found or does not know the
/// room, most that one refused it.
fn weight(error: &Error) -> u8 {
    match error.status() {
        StatusCode::NOT_FOUND => 0,
        _ if error.is_refusal() => 2,
        _ => 1,
    }
}

async fn join_by(cx: &Cx, server: &ServerName, wanted: &Wanted<'_>) -> Result<()> {
    let peers = cx.peers();
    let Wanted { room_id, user_id, content, .. } = wanted;
    let mut make = MakeJoin::new((*room_id).to_owned(), (*user_id).to_owned());
    make.ver = room_version::SUPPORTED.to_vec();
    let made = peers.ask(server, make, MAKE_LIMITS).await.map_err(not_found)?;
    let version = made.room_version.unwrap_or(RoomVersionId::V1);
    let rules = room_version::rules(&version).ok_or_else(|| {
        Error::api(
            ErrorKind::UnsupportedRoomVersion,
            format!("room version {version} is not known"),
        )
    })?;
    let now_ms = cx.ports.clock.now_ms();
    let name = &cx.server.name;
    let own_id = pdu::opaque_event_id(room_id, now_ms, now_ms, name).map_err(Error::internal)?;
    let membership = template::WantedMembership {
        room_id,
        user_id,
        content: content.clone(),
        event_id: Some(&own_id),
        origin_server_ts: now_ms,
    };
    let keys = cx.server.keys();
    let join = template::complete(&made.event, membership, &rules, name, &keys.current)
        .map_err(|error| bad_answer(&error))?;
    let event: RawJson = serde_json::from_str(&join.json)?;
    let send = SendJoin::new((*room_id).to_owned(), join.event_id.clone(), event);
    let answer = peers.ask(server, send, SEND_LIMITS).await.map_err(refused)?;
    take_in(cx, room_id, version, &join, answer.room_state).await
}

/// Has the room take in what a join was answered with.
async fn take_in(
    cx: &Cx,
    room_id: &RoomId,
    room_version: RoomVersionId,
    join: &Pdu,
    answer: RoomState,
) -> Result<()> {
    let RoomState { auth_chain, state, event, .. } = answer;
    // Somebody else may have had to sign it too.
    let rules = room_version::rules(&room_version);
    let event = event.filter(|it| {
        let read = rules.as_ref().and_then(|rules| Pdu::from_signed(it, rules).ok());
        read.is_some_and(|it| it.event_id == join.event_id)
    });
    let event = match event {
        Some(event) => event,
        None => serde_json::from_str(&join.json)?,
    };
    let all = auth_chain.iter().chain(&state).chain([&event]);
    let keys = keys_by_server(cx, signers_of(all)).await;
    let mut bytes = [0; ATTEMPT_BYTES];
    cx.ports.random.fill(&mut bytes)?;
    let attempt = URL_SAFE_NO_PAD.encode(bytes);
    let mut begins = true;
    for (events, is_state) in [(auth_chain, false), (state, true)] {
        for part in events.chunks(PART) {
            let stage = Stage {
                attempt: attempt.clone(),
                begins: std::mem::take(&mut begins),
                room_version: room_version.clone(),
                events: part.to_vec(),
                is_state,
                keys: keys_for(&keys, part),
            };
            cx.ports.objects.ask(room_id, stage).await?;
        }
    }
    let keys = keys_for(&keys, std::slice::from_ref(&event));
    let join = Join { attempt, room_version, event, keys };
    match cx.ports.objects.ask(room_id, join).await?.outcome {
        Outcome::Accepted { .. } | Outcome::Known => Ok(()),
        Outcome::SoftFailed { reason } | Outcome::Rejected { reason } => {
            Err(Error::forbidden(reason))
        }
        Outcome::Dropped { reason } => Err(bad_answer(&reason)),
        Outcome::Waits { .. } => Err(bad_answer(&"events that authorize others are missing")),
        Outcome::NeedsKeys { .. } => Err(bad_answer(&"keys that signed the join are missing")),
    }
}

type Keys = BTreeMap<OwnedServerName, Vec<ServerKey>>;

async fn keys_by_server(cx: &Cx, signers: Signers) -> Keys {
    let mut keys = Keys::new();
    for key in find_keys(cx, signers).await {
        keys.entry(key.server.clone()).or_default().push(key);
    }
    keys
}

/// The keys that may have signed these events.
fn keys_for(keys: &Keys, events: &[RawJson]) -> Vec<ServerKey> {
    let signers = signers_of(events.iter());
    signers.keys().filter_map(|it| keys.get(it)).flatten().cloned().collect()
}
