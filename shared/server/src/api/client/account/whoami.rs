//! `GET /_matrix/client/*/account/whoami` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami

use ruma::api::client::account::whoami::v3::{Request, Response};

use crate::{
    Result,
    api::{Cx, access::Verified},
};

/// Whose token it is.
pub async fn whoami(_: Cx, Verified(caller): Verified, _: Request) -> Result<Response> {
    let mut response = Response::new(caller.user_id, false);
    response.device_id = Some(caller.device_id);
    Ok(response)
}
