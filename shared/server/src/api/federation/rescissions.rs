//! Events that end invitations to rooms that are not here, and knocks on them: other servers send
//! them as all events, and the room, which is not here, can say nothing of them.

use ruma::{OwnedUserId, RoomId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    Pdu,
    invite::{self, Pending},
    room_version,
};

use crate::{
    Result,
    api::{Cx, verify::verify},
    messages::{
        RawJson,
        user::{Ending, GetRemoteRoom, RemoteMembership, RemoteRoom},
    },
};

/// Events that may be such, each with the user whom it is about. Most are none by a look at their
/// text.
pub(super) fn candidates(cx: &Cx, events: &[RawJson]) -> Vec<(OwnedUserId, RawJson)> {
    #[derive(Deserialize)]
    struct Event {
        sender: OwnedUserId,
        state_key: OwnedUserId,
        #[serde(rename = "type")]
        kind: String,
        content: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    let candidate = |json: &RawJson| {
        let event: Event = serde_json::from_str(json.get()).ok()?;
        let Content { membership } = event.content;
        let is_meant = event.kind == "m.room.member"
            && matches!(membership, MembershipState::Leave | MembershipState::Ban)
            && event.sender != event.state_key
            && cx.server.is_local(&event.state_key);
        is_meant.then(|| (event.state_key, json.clone()))
    };
    let members = events.iter().filter(|it| it.get().contains("m.room.member"));
    members.filter_map(candidate).collect()
}

/// Ends what such an event ends, if it does.
pub(super) async fn take(cx: &Cx, room_id: &RoomId, user_id: OwnedUserId, event: &RawJson) {
    match try_take(cx, room_id, user_id, event).await {
        Ok(true) => tracing::debug!(%room_id, "an invitation to a room that is not here is over"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, %room_id, "the end of an invitation was not taken in");
        }
    }
}

async fn try_take(
    cx: &Cx,
    room_id: &RoomId,
    user_id: OwnedUserId,
    event: &RawJson,
) -> Result<bool> {
    let room_id = room_id.to_owned();
    let question = GetRemoteRoom { room_id: room_id.clone() };
    let Some(remote) = cx.ports.objects.ask(&*user_id, question).await? else {
        return Ok(false);
    };
    let inviter = match remote.membership {
        MembershipState::Invite => Some(&*remote.sender),
        MembershipState::Knock => None,
        _ => return Ok(false),
    };
    let pending =
        Pending { user_id: &user_id, event_id: &remote.event_id, room_id: &room_id, inviter };
    let Some(rules) = room_version::rules(&remote.room_version) else { return Ok(false) };
    let Ok((received, membership)) = invite::read_end(event, pending, &rules) else {
        return Ok(false);
    };
    let Ok((verified, _)) = verify(cx, received, &rules).await else { return Ok(false) };
    let Pdu { sender, event_id, json, .. } = verified.pdu;
    let event = RawJsonValue::from_string(json.into_string())?;
    let ending = Some(Ending { event_id: event_id.clone(), event });
    let remote = RemoteRoom { membership, sender, event_id, ..remote };
    let told = RemoteMembership { room_id, remote, stripped_state: Vec::new(), ending };
    cx.ports.objects.ask(&*user_id, told).await?;
    Ok(true)
}
