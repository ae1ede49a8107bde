//! `PUT /_matrix/client/*/rooms/{roomId}/state/{eventType}/{stateKey}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey

use ruma::{
    OwnedEventId, RoomId, UserId,
    api::client::state::send_state_event::v3::{Request, Response},
};
use serde::Deserialize;
use serde_json::{Map as JsonMap, Value as JsonValue, value::to_raw_value};
use skerry_core::rate_limits::Bucket;

use super::{
    ask, ask_by_name, canonical_alias, get_state, member_profile, remote_invite, send_state,
};
use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{
        Caller, RawJson,
        room::{Action, CheckMay, MembershipAction},
    },
};

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount_with_empty_tail(send_state_event)
}

async fn send_state_event(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let Request { room_id, event_type, state_key, body, .. } = request;
    let event_type = event_type.to_string();
    let event_id = match event_type.as_str() {
        "m.room.member" => send_member(&cx, caller, &room_id, state_key, &body.into_json()).await?,
        "m.room.canonical_alias" => {
            let content = body.into_json();
            canonical_alias::check(&cx, &caller, &room_id, &content).await?;
            send_state(&cx, caller, &room_id, &event_type, state_key, content).await?
        }
        _ => send_state(&cx, caller, &room_id, &event_type, state_key, body.into_json()).await?,
    };
    Ok(Response::new(event_id))
}

/// A membership: as the endpoints for memberships do, it looks whether an invitee exists and
/// adds the profile that the content does not give.
async fn send_member(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    state_key: String,
    content: &RawJson,
) -> Result<OwnedEventId> {
    let mut content: JsonMap<String, JsonValue> = serde_json::from_str(content.get())
        .map_err(|_| Error::bad_json("the content is not a JSON object"))?;
    let target = UserId::parse(&state_key)
        .map_err(|_| Error::invalid_param("the state key is not a user ID"))?;
    let membership = content.get("membership").and_then(JsonValue::as_str).unwrap_or_default();
    let is_invite = membership == "invite";
    let is_own = target == caller.user_id;
    let profile = match membership {
        "join" if is_own && !is_joined(cx, &caller, room_id).await? => {
            cx.ports.limiter.take(Bucket::Joins, caller.user_id.as_str(), 1).await?;
            let reason = content.remove("reason").and_then(|it| it.as_str().map(str::to_owned));
            return join(cx, caller, room_id, reason).await;
        }
        "join" | "knock" if is_own => Some(member_profile::find(cx, &target).await?),
        "invite" => {
            cx.ports.limiter.take(Bucket::Invites, caller.user_id.as_str(), 1).await?;
            Some(member_profile::find_invitee(cx, &target).await?)
        }
        _ => None,
    };
    if let Some(profile) = profile {
        let fields = [("displayname", profile.displayname), ("avatar_url", profile.avatar_url)];
        for (name, value) in fields {
            if let Some(value) = value {
                content.entry(name).or_insert(value.into());
            }
        }
    }
    let goes_elsewhere = is_invite && !cx.server.is_local(&target);
    let content = to_raw_value(&content)?;
    match goes_elsewhere {
        true => remote_invite::invite(cx, caller, room_id, &target, content).await,
        false => send_state(cx, caller, room_id, "m.room.member", state_key, content).await,
    }
}

async fn is_joined(cx: &Cx, caller: &Caller, room_id: &RoomId) -> Result<bool> {
    let question = CheckMay { user_id: caller.user_id.clone(), action: Action::BeJoined };
    match ask(cx, room_id, question).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_refusal() => Ok(false),
        Err(other) => Err(other),
    }
}

/// Joins as `/join` does: a restricted room needs more in the event than the client can know.
async fn join(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    reason: Option<String>,
) -> Result<OwnedEventId> {
    #[derive(Deserialize)]
    struct Event {
        event_id: OwnedEventId,
    }
    let profile = member_profile::find(cx, &caller.user_id).await?;
    let target = caller.user_id.clone();
    let action = MembershipAction::Join;
    let change = member_profile::change(caller.clone(), &target, action, reason, profile);
    ask_by_name(cx, room_id, change).await?;
    let event_type = "m.room.member".to_owned();
    let event = get_state::find(cx, caller, room_id, event_type, target.to_string()).await?;
    Ok(serde_json::from_str::<Event>(event.get())?.event_id)
}
