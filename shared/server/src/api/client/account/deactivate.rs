//! `POST /_matrix/client/*/account/deactivate` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    deactivate::v3::{Request, Response},
};

use crate::{
    Result,
    api::{
        Cx,
        access::{Verified, change_account},
        client::uiaa,
    },
    messages::user::Deactivate,
};

/// Ends the caller's account for good: no session, no password, no profile, no rooms. Nobody can
/// have its ID again.
pub async fn deactivate(cx: Cx, Verified(caller): Verified, request: Request) -> Result<Response> {
    uiaa::require_password(&cx, &caller, "deactivate", request.auth.as_ref()).await?;
    let user_id = caller.user_id.clone();
    change_account(&cx, &user_id, Deactivate { caller }).await?;
    // No third-party identifier is ever bound, so none is left bound.
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}
