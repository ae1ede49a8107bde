//! Typing notifications ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#typing-notifications

use axum::Router;
use ruma::api::client::typing::create_typing_event::{self, v3::Typing};

use super::{
    super::{Cx, mount},
    account_data::check_own,
};
use crate::{
    Result,
    messages::{Caller, room::Command},
};

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    mount::authenticated(router, create_typing_event)
}

/// `PUT /_matrix/client/*/rooms/{roomId}/typing/{userId}`
pub async fn create_typing_event(
    cx: Cx,
    caller: Caller,
    request: create_typing_event::v3::Request,
) -> Result<create_typing_event::v3::Response> {
    check_own(&caller, &request.user_id)?;
    // The room has a limit of its own on how long it believes this.
    let typing_for_ms = match request.state {
        Typing::No => None,
        Typing::Yes(info) => Some(u64::try_from(info.timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    let command = Command::SetTyping { user_id: caller.user_id, typing_for_ms };
    cx.ports.objects.room(&request.room_id, command).await?;
    Ok(create_typing_event::v3::Response::new())
}
