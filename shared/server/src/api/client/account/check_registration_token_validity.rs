//! `GET /_matrix/client/v1/register/m.login.registration_token/validity` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity

use ruma::api::client::account::check_registration_token_validity::v1::{Request, Response};

use super::permit::Permit;
use crate::{Error, Result, api::Cx, server::Registration};

/// Says whether a registration token would be accepted.
pub async fn check_registration_token_validity(cx: Cx, request: Request) -> Result<Response> {
    match cx.server.config.registration {
        Registration::Closed => Err(Error::forbidden("registration is closed")),
        Registration::Open | Registration::Token => {
            Ok(Response::new(Permit::find(&cx, &request.token).await?.is_some()))
        }
    }
}
