//! A user changes their own membership of a room that is not here by way of servers that are in it
//! ([joining][join], [knocking][knock], [leaving][leave]).
//!
//! A server is asked for the event, and is sent it signed. Where one cannot help, the next one is
//! asked.
//!
//! [join]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
//! [knock]: https://spec.matrix.org/v1.19/server-server-api/#knocking-upon-a-room
//! [leave]: https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites

use std::{collections::BTreeSet, future::Future, time::Duration};

use http::StatusCode;
use ruma::{
    CanonicalJsonObject, OwnedServerName, RoomId, RoomVersionId, UserId,
    api::error::{ErrorKind, IncompatibleRoomVersionErrorData},
    events::room::member::{MembershipState, RoomMemberEventContent},
    room_version_rules::RoomVersionRules,
};
use skerry_core::{
    Pdu,
    pdu::{self, template},
    room_version,
};

use crate::{
    Error, Result,
    api::{Cx, remote::bad_answer},
    messages::{
        RawJson,
        room::{ChangeMembership, MembershipAction},
        user::{GetRemoteRoom, RemoteRoom},
    },
    objects::room::limits::REASON_CHARS,
    peers::Limits,
};

/// Servers that are asked, one after the other.
const MAX_SERVERS: usize = 10;

/// What the answer to a question for the event may take.
pub(super) const MAKE_LIMITS: Limits =
    Limits { max_answer_bytes: 256 * 1024, timeout: Duration::from_secs(30) };

/// A membership that is wanted.
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
///
/// # Errors
///
/// `M_TOO_LARGE`, where the reason is longer than a room takes it.
pub(super) fn content(change: &ChangeMembership) -> Result<CanonicalJsonObject> {
    if change.reason.as_ref().is_some_and(|it| it.chars().count() > REASON_CHARS) {
        return Err(Error::api(ErrorKind::TooLarge, "the reason is too long"));
    }
    let membership = match change.action {
        MembershipAction::Join => MembershipState::Join,
        MembershipAction::Knock => MembershipState::Knock,
        MembershipAction::Leave => MembershipState::Leave,
        _ => return Err(Error::internal("this is nobody's own doing")),
    };
    let mut content = RoomMemberEventContent::new(membership);
    content.displayname.clone_from(&change.displayname);
    content.avatar_url.clone_from(&change.avatar_url);
    content.reason.clone_from(&change.reason);
    Ok(serde_json::from_value(serde_json::to_value(content)?)?)
}

/// What is known of a room that is not here: the invitation of this user, or their knock.
pub(super) async fn known(
    cx: &Cx,
    user_id: &UserId,
    room_id: &RoomId,
) -> Result<Option<RemoteRoom>> {
    cx.ports.objects.ask(user_id, GetRemoteRoom { room_id: room_id.to_owned() }).await
}

/// Asks one server after the other until one has helped.
///
/// # Errors
///
/// What the last server that refused has said; `M_NOT_FOUND`, where nobody could be asked or nobody
/// knows the room.
pub(super) async fn first_of<T, F>(
    cx: &Cx,
    wanted: &Wanted<'_>,
    attempt: impl Fn(OwnedServerName) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut last = None;
    for server in servers(cx, wanted) {
        match attempt(server.clone()).await {
            Ok(done) => return Ok(done),
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

/// The servers that may help, each once: those that are named, and that which made up the room's
/// ID.
fn servers(cx: &Cx, wanted: &Wanted<'_>) -> Vec<OwnedServerName> {
    let of_room = wanted.room_id.server_name().map(ToOwned::to_owned);
    let mut asked = BTreeSet::new();
    let servers = wanted.via.iter().cloned().chain(of_room);
    let servers = servers.filter(|it| *it != cx.server.name && asked.insert(it.clone()));
    servers.take(MAX_SERVERS).collect()
}

/// How much an error says about what was wanted: least that a server was not found or does not know
/// the room, most that one refused it.
fn weight(error: &Error) -> u8 {
    match error.status() {
        StatusCode::NOT_FOUND => 0,
        _ if error.is_refusal() => 2,
        _ => 1,
    }
}

/// The rules of the room's version, as another server says it.
pub(super) fn rules_of(version: &RoomVersionId) -> Result<RoomVersionRules> {
    room_version::rules(version).ok_or_else(|| {
        let data = IncompatibleRoomVersionErrorData::new(version.clone());
        let message = format!("the room is of version {version}, which is not known here");
        Error::api(ErrorKind::IncompatibleRoomVersion(data), message)
    })
}

/// Completes the event that another server has prepared and signs it: the membership that the user
/// asked for, and nothing else.
pub(super) fn complete(
    cx: &Cx,
    wanted: &Wanted<'_>,
    prepared: &RawJson,
    rules: &RoomVersionRules,
) -> Result<Pdu> {
    let Wanted { room_id, user_id, content, .. } = wanted;
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
    template::complete(prepared, membership, rules, name, &keys.current)
        .map_err(|error| bad_answer(&error))
}
