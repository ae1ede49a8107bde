//! `POST /_matrix/client/*/logout` ([spec]) and `POST /_matrix/client/*/logout/all` ([all])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout
//! [all]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logoutall

use ruma::api::client::session::{logout, logout_all};

use crate::{
    Result,
    api::{
        Cx,
        access::{Verified, change_account},
    },
    messages::user::{EndAllSessions, EndSessions},
};

/// Ends the session, and with it the device.
pub async fn logout(
    cx: Cx,
    Verified(caller): Verified,
    _: logout::v3::Request,
) -> Result<logout::v3::Response> {
    let question = EndSessions { device_ids: vec![caller.device_id] };
    change_account(&cx, &caller.user_id, question).await?;
    Ok(logout::v3::Response::new())
}

/// Ends all sessions of the user, and all their devices.
pub async fn logout_all(
    cx: Cx,
    Verified(caller): Verified,
    _: logout_all::v3::Request,
) -> Result<logout_all::v3::Response> {
    change_account(&cx, &caller.user_id, EndAllSessions {}).await?;
    Ok(logout_all::v3::Response::new())
}
