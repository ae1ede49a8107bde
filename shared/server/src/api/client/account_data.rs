//! Account data of the user and of their rooms ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#client-config

use http::StatusCode;
use ruma::{
    OwnedRoomId, UserId,
    api::{
        client::config::{
            get_global_account_data, get_room_account_data, set_global_account_data,
            set_room_account_data,
        },
        error::ErrorKind,
    },
    events::push_rules::PushRulesEventContent,
    push::Ruleset,
    serde::Raw,
};
use serde_json::value::to_raw_value;

use super::super::{Cx, access::change_account, mount::Routes};
use crate::{
    Error, Result,
    messages::{
        Caller, RawJson,
        user::{GetAccountData, SetAccountData},
    },
};

const FULLY_READ: &str = "m.fully_read";
const PUSH_RULES: &str = "m.push_rules";
const IGNORED_USER_LIST: &str = "m.ignored_user_list";

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(get_global_account_data)
        .mount(set_global_account_data)
        .mount(get_room_account_data)
        .mount(set_room_account_data)
}

/// `GET /_matrix/client/*/user/{userId}/account_data/{type}`
pub async fn get_global_account_data(
    cx: Cx,
    caller: Caller,
    request: get_global_account_data::v3::Request,
) -> Result<get_global_account_data::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let event_type = request.event_type.to_string();
    // Nobody has changed their rules: they are the default ones.
    let content = if event_type == PUSH_RULES {
        let rules = PushRulesEventContent::new(Ruleset::server_default(&caller.user_id));
        to_raw_value(&rules)?
    } else {
        get(&cx, &caller, None, event_type).await?
    };
    Ok(get_global_account_data::v3::Response::new(Raw::from_json(content)))
}

/// `PUT /_matrix/client/*/user/{userId}/account_data/{type}`
pub async fn set_global_account_data(
    cx: Cx,
    caller: Caller,
    request: set_global_account_data::v3::Request,
) -> Result<set_global_account_data::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let event_type = request.event_type.to_string();
    check_may_set(&event_type)?;
    set(&cx, &caller, None, event_type, request.data.into_json()).await?;
    Ok(set_global_account_data::v3::Response::new())
}

/// `GET /_matrix/client/*/user/{userId}/rooms/{roomId}/account_data/{type}`
pub async fn get_room_account_data(
    cx: Cx,
    caller: Caller,
    request: get_room_account_data::v3::Request,
) -> Result<get_room_account_data::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let event_type = request.event_type.to_string();
    let content = get(&cx, &caller, Some(request.room_id), event_type).await?;
    Ok(get_room_account_data::v3::Response::new(Raw::from_json(content)))
}

/// `PUT /_matrix/client/*/user/{userId}/rooms/{roomId}/account_data/{type}`
pub async fn set_room_account_data(
    cx: Cx,
    caller: Caller,
    request: set_room_account_data::v3::Request,
) -> Result<set_room_account_data::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let event_type = request.event_type.to_string();
    check_may_set(&event_type)?;
    set(&cx, &caller, Some(request.room_id), event_type, request.data.into_json()).await?;
    Ok(set_room_account_data::v3::Response::new())
}

/// Refuses whoever asks for what belongs to another user.
pub(super) fn check_own(caller: &Caller, user_id: &UserId) -> Result<()> {
    if caller.user_id == user_id {
        return Ok(());
    }
    Err(Error::forbidden("this belongs to another user"))
}

/// Sets the read marker of a room, which is account data that has an endpoint of its own.
pub(super) async fn set_fully_read(
    cx: &Cx,
    caller: &Caller,
    room_id: OwnedRoomId,
    event_id: &ruma::EventId,
) -> Result<()> {
    let content = to_raw_value(&serde_json::json!({ "event_id": event_id }))?;
    set(cx, caller, Some(room_id), FULLY_READ.to_owned(), content).await
}

/// What the server manages itself cannot be set from outside ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-11
fn check_may_set(event_type: &str) -> Result<()> {
    if ![FULLY_READ, PUSH_RULES].contains(&event_type) {
        return Ok(());
    }
    let message = format!("{event_type} is set by an endpoint of its own");
    Err(Error::with_status(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::BadJson, message))
}

async fn get(
    cx: &Cx,
    caller: &Caller,
    room_id: Option<OwnedRoomId>,
    event_type: String,
) -> Result<RawJson> {
    let question = GetAccountData { room_id, event_type };
    let content = cx.ports.objects.ask(&*caller.user_id, question).await?;
    content.ok_or_else(|| Error::not_found("there is no such account data"))
}

async fn set(
    cx: &Cx,
    caller: &Caller,
    room_id: Option<OwnedRoomId>,
    event_type: String,
    content: RawJson,
) -> Result<()> {
    // Whom the user ignores is remembered with their sessions.
    let is_remembered = room_id.is_none() && event_type == IGNORED_USER_LIST;
    let question = SetAccountData { room_id, event_type, content };
    match is_remembered {
        true => change_account(cx, &caller.user_id, question).await,
        false => cx.ports.objects.ask(&*caller.user_id, question).await,
    }
}
