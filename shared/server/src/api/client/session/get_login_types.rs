//! `GET /_matrix/client/*/login` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3login

use ruma::api::client::session::get_login_types::v3::{
    LoginType, PasswordLoginType, Request, Response,
};

use crate::{Result, api::Cx};

/// The ways to log in.
pub async fn get_login_types(_: Cx, _: Request) -> Result<Response> {
    Ok(Response::new(vec![LoginType::Password(PasswordLoginType::new())]))
}
