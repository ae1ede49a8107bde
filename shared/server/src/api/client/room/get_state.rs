//! `GET /_matrix/client/*/rooms/{roomId}/state` ([spec][all]),
//! `GET /_matrix/client/*/rooms/{roomId}/state/{eventType}/{stateKey}` ([spec][one])
//!
//! [all]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate
//! [one]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey

use ruma::{
    RoomId,
    api::client::state::{
        get_state_event_for_key::{self, v3::StateEventFormat},
        get_state_events,
    },
    serde::Raw,
};
use serde::Deserialize;

use super::ask;
use crate::{
    Error, Result,
    api::{Cx, mount::Routes},
    messages::{
        Caller, RawJson, Requester,
        room::{GetState, GetStateEvent},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_state_events).mount_with_empty_tail(get_state_event_for_key)
}

async fn get_state_events(
    cx: Cx,
    caller: Caller,
    request: get_state_events::v3::Request,
) -> Result<get_state_events::v3::Response> {
    let question = GetState { requester: Requester::User(caller) };
    let events = ask(&cx, &request.room_id, question).await?;
    let events = events.into_iter().map(Raw::from_json).collect();
    Ok(get_state_events::v3::Response::new(events))
}

async fn get_state_event_for_key(
    cx: Cx,
    caller: Caller,
    request: get_state_event_for_key::v3::Request,
) -> Result<get_state_event_for_key::v3::Response> {
    let get_state_event_for_key::v3::Request { room_id, event_type, state_key, format, .. } =
        request;
    let event = find(&cx, caller, &room_id, event_type.to_string(), state_key).await?;
    let answer = match format {
        StateEventFormat::Event => event,
        StateEventFormat::Content => content_of(&event)?,
        _ => return Err(Error::invalid_param("the format is neither `content` nor `event`")),
    };
    Ok(get_state_event_for_key::v3::Response::new(answer))
}

/// A state event as this caller may see it.
pub(super) async fn find(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    event_type: String,
    state_key: String,
) -> Result<RawJson> {
    ask(cx, room_id, GetStateEvent { caller, event_type, state_key }).await
}

/// The content of an event.
pub(super) fn content_of(event: &RawJson) -> Result<RawJson> {
    #[derive(Deserialize)]
    struct Event {
        content: RawJson,
    }
    Ok(serde_json::from_str::<Event>(event.get())?.content)
}
