//! `POST /_matrix/client/*/account/password` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword

use ruma::api::client::account::change_password::v3::{Request, Response};

use crate::{
    Result,
    api::{
        Cx,
        access::{Verified, change_account},
        client::uiaa,
    },
    messages::{secret::Secret, user::ChangePassword},
    objects::user::password,
};

/// Changes the caller's password, and logs all their other devices out unless told otherwise.
pub async fn change_password(
    cx: Cx,
    Verified(caller): Verified,
    request: Request,
) -> Result<Response> {
    let password = Secret::new(request.new_password);
    password::check(password.expose())?;
    uiaa::require_password(&cx, &caller, "change password", request.auth.as_ref()).await?;
    let only_device = request.logout_devices.then_some(caller.device_id);
    let question = ChangePassword { password, only_device };
    change_account(&cx, &caller.user_id, question).await?;
    Ok(Response::new())
}
