//! `GET /_matrix/client/*/register/available` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3registeravailable

use ruma::api::client::account::get_username_availability::v3::{Request, Response};

use super::{register::refuse_taken, username::new_user_id};
use crate::{Result, api::Cx};

/// Says whether a name may be registered; why not, as registering it would.
pub async fn get_username_availability(cx: Cx, request: Request) -> Result<Response> {
    let user_id = new_user_id(&cx.server.name, &request.username)?;
    refuse_taken(&cx, &user_id).await?;
    Ok(Response::new(true))
}
