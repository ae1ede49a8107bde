//! `POST /_matrix/client/*/register` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register

use ruma::{
    UserId,
    api::{
        OutgoingResponseExt as _,
        client::account::register::{
            RegistrationKind,
            v3::{Request, Response},
        },
        error::ErrorKind,
    },
};
use serde_json::{Value as JsonValue, json};
use skerry_core::rate_limits::Bucket;

use super::{
    permit::{Permit, closed},
    username::new_user_id,
};
use crate::{
    Error, Result,
    api::{
        Client, Cx,
        client::{
            secret,
            session::{self, Wishes},
        },
        patched::{AnsweredAsJson, Json, Patched},
    },
    messages::{
        secret::Secret,
        user::{GetAccount, Register},
    },
    objects::user::password,
    server::{Registration, Server},
};

/// Makes an account, and a session on it unless that is not wished for: then nothing of one is
/// named in the answer, in which ruma would name the device as `null`.
pub async fn register(
    cx: Cx,
    client: Client,
    Patched { request, .. }: Patched<Request, AnsweredAsJson>,
) -> Result<Json> {
    refuse_others_than_users(&cx.server, &request)?;
    let user_id = match &request.username {
        Some(username) => new_user_id(&cx.server.name, username)?,
        None => new_user_id(&cx.server.name, &secret::localpart(&*cx.ports.random)?)?,
    };
    refuse_taken(&cx, &user_id).await?;
    request.password.as_deref().map_or(Ok(()), password::check)?;
    let wishes = Wishes {
        device_id: request.device_id,
        device_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    };
    wishes.check()?;
    let permit = Permit::authenticate(&cx, &client, request.auth.as_ref()).await?;
    let Some(password) = request.password else {
        return Err(Error::missing_param("the password is missing"));
    };
    cx.ports.limiter.take(Bucket::Register, &client.counted_address(), 1).await?;
    let admission = permit.admit(&cx, &user_id).await?;
    let address = client.address.clone();
    let begun = match request.inhibit_login {
        true => None,
        false => Some(session::begin(&cx, client, &user_id, wishes)?),
    };
    let (opened, session) = begun.unzip();
    let question = Register {
        password: Secret::new(password),
        is_admin: admission.is_admin,
        reservation: admission.reservation,
        session,
        address,
    };
    cx.ports.objects.ask(&*user_id, question).await?;
    let Some(opened) = opened else { return Ok(Json::of(&json!({ "user_id": user_id }))?) };
    let mut response = Response::new(user_id);
    response.access_token = Some(opened.access_token);
    response.device_id = Some(opened.device_id);
    response.refresh_token = opened.refresh_token;
    response.expires_in = opened.expires_in;
    json_of(response)
}

/// The JSON of ruma's response.
fn json_of(response: Response) -> Result<Json> {
    let response = response.try_into_http_response::<Vec<u8>>().map_err(Error::internal)?;
    let response: JsonValue = serde_json::from_slice(response.body())?;
    Ok(Json::of(&response)?)
}

/// Refuses the names that are or were somebody's.
pub async fn refuse_taken(cx: &Cx, user_id: &UserId) -> Result<()> {
    match cx.ports.objects.ask(user_id, GetAccount {}).await? {
        Some(_) => Err(Error::api(ErrorKind::UserInUse, "this user name is taken")),
        None => Ok(()),
    }
}

fn refuse_others_than_users(server: &Server, request: &Request) -> Result<()> {
    if server.config.registration == Registration::Closed {
        return Err(closed());
    }
    match &request.kind {
        RegistrationKind::User => {}
        RegistrationKind::Guest => return Err(Error::forbidden("guest accounts are disabled")),
        _ => return Err(Error::invalid_param("there is no such kind of account")),
    }
    match request.login_type {
        Some(_) => Err(Error::forbidden("there are no application services here")),
        None => Ok(()),
    }
}
