//! `POST /_matrix/client/*/account/deactivate` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    deactivate::v3::{Request, Response},
};

use crate::{
    Result,
    api::{Cx, client::uiaa},
    messages::{Caller, user},
    store::global::{accounts, profiles, tokens},
};

/// Ends the caller's account for good: no session, no password, no profile, no rooms. Nobody can
/// have its ID again.
pub async fn deactivate(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    uiaa::require_password(&cx, &caller, "deactivate", request.auth.as_ref()).await?;
    let user_id = &caller.user_id;
    // The object goes first: as long as the account can log in, a deactivation that was cut
    // short can be asked for again.
    cx.ports.objects.ask(&**user_id, user::Deactivate { caller: caller.clone() }).await?;
    let mut batch = vec![
        accounts::update_deactivated(user_id, cx.ports.clock.now_ms()),
        profiles::remove_all(user_id),
    ];
    batch.extend(tokens::remove_of_user(user_id, None));
    cx.ports.global.batch(batch).await?;
    // No third-party identifier is ever bound, so none is left bound.
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}
