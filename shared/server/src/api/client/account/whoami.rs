//! `GET /_matrix/client/*/account/whoami` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami

use ruma::api::client::account::whoami::v3::Request;
use serde_json::json;

use crate::{
    Result,
    api::{
        Cx,
        access::Verified,
        patched::{AnsweredAsJson, Json, Patched},
    },
};

/// Whose token it is. No guest's: ruma would leave that out.
pub async fn whoami(
    _: Cx,
    Verified(caller): Verified,
    _: Patched<Request, AnsweredAsJson>,
) -> Result<Json> {
    let (user_id, device_id) = (caller.user_id, caller.device_id);
    let whoami = json!({ "user_id": user_id, "device_id": device_id, "is_guest": false });
    Ok(Json::of(&whoami)?)
}
