//! Presence ([spec]). It lives in the `User` object, which hears of it by `/sync` as well.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#presence

use std::time::Duration;

use ruma::api::client::presence::{get_presence, set_presence};
use skerry_core::presence::{MAX_STATUS_MSG_BYTES, rank};

use super::{
    super::{Cx, mount::Routes, sharing},
    account_data::check_own,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{GetStatus, SetPresence},
    },
    server::Presence,
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(set_presence).mount(get_presence)
}

/// `PUT /_matrix/client/*/presence/{userId}/status`. Where nobody is told of it, nothing happens.
pub async fn set_presence(
    cx: Cx,
    caller: Caller,
    request: set_presence::v3::Request,
) -> Result<set_presence::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let set_presence::v3::Request { presence, status_msg, .. } = request;
    if rank(&presence).is_none() {
        return Err(Error::invalid_param("`presence` is none of online, offline, unavailable"));
    }
    if status_msg.as_ref().is_some_and(|it| it.len() > MAX_STATUS_MSG_BYTES) {
        let message = format!("a status message has at most {MAX_STATUS_MSG_BYTES} bytes");
        return Err(Error::invalid_param(message));
    }
    if cx.server.config.presence != Presence::Off {
        let question = SetPresence { device_id: caller.device_id, presence, status_msg };
        cx.ports.objects.ask(&*caller.user_id, question).await?;
    }
    Ok(set_presence::v3::Response::new())
}

/// `GET /_matrix/client/*/presence/{userId}/status`. Of a user of another server the caller is told
/// what they were told by `/sync`.
pub async fn get_presence(
    cx: Cx,
    caller: Caller,
    request: get_presence::v3::Request,
) -> Result<get_presence::v3::Response> {
    let user_id = request.user_id;
    if cx.server.config.presence == Presence::Off {
        return Err(Error::not_found("nobody is told on this server who is there"));
    }
    let is_local = cx.server.is_local(&user_id);
    let is_shared = !is_local || sharing::with_user(&cx, &caller.user_id, &user_id).await?;
    sharing::refuse(is_shared, "you share no room with this user")?;
    let asked = if is_local { user_id.clone() } else { caller.user_id };
    let status = cx.ports.objects.ask(&*asked, GetStatus { user_id }).await?;
    let status = status.ok_or_else(|| Error::not_found("nothing is known of this user"))?;
    let content = status.content(cx.ports.clock.now_ms());
    let mut response = get_presence::v3::Response::new(content.presence);
    response.status_msg = content.status_msg;
    response.currently_active = content.currently_active;
    let ago = content.last_active_ago;
    response.last_active_ago = ago.map(|it| Duration::from_millis(it.into()));
    Ok(response)
}
