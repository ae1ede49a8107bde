//! `POST /_matrix/client/*/keys/device_signing/upload` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload

use ruma::{api::client::keys::upload_signing_keys, encryption::CrossSigningKey, serde::Raw};
use skerry_core::device_keys::cross_signing::CrossSigningKeys;

use super::super::uiaa;
use crate::{
    Result,
    api::{Cx, access::Verified},
    messages::user::SetCrossSigning,
};

/// `POST /_matrix/client/*/keys/device_signing/upload`
pub(super) async fn upload_signing_keys(
    cx: Cx,
    Verified(caller): Verified,
    request: upload_signing_keys::v3::Request,
) -> Result<upload_signing_keys::v3::Response> {
    let text = |it: Option<Raw<CrossSigningKey>>| it.map(|it| it.json().get().to_owned());
    let keys = CrossSigningKeys {
        master: text(request.master_key),
        self_signing: text(request.self_signing_key),
        user_signing: text(request.user_signing_key),
    };
    let ask = |is_authenticated| {
        let question = SetCrossSigning { keys: keys.clone(), is_authenticated };
        cx.ports.objects.ask(&*caller.user_id, question)
    };
    if !ask(false).await? {
        let operation = "replace cross-signing keys";
        uiaa::require_password(&cx, &caller, operation, request.auth.as_ref()).await?;
        ask(true).await?;
    }
    Ok(upload_signing_keys::v3::Response::new())
}
