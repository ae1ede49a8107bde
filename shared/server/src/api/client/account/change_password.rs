//! `POST /_matrix/client/*/account/password` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword

use ruma::api::client::account::change_password::v3::{Request, Response};

use crate::{
    Result,
    api::{
        Cx,
        client::{device, password, uiaa},
    },
    messages::Caller,
    store::global::accounts,
};

/// Changes the caller's password, and logs all their other devices out unless told otherwise.
pub async fn change_password(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    password::check(&request.new_password)?;
    uiaa::require_password(&cx, &caller, "change password", request.auth.as_ref()).await?;
    let hash = password::hash(&*cx.ports.random, &request.new_password).await?;
    let update = vec![accounts::update_password(&caller.user_id, &hash)];
    if request.logout_devices {
        device::remove_all(&cx, &caller.user_id, Some(&caller.device_id), update).await?;
    } else {
        cx.ports.global.batch(update).await?;
    }
    Ok(Response::new())
}
