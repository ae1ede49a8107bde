//! `POST /_matrix/client/*/register` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3register

use ruma::{
    UserId,
    api::{
        OutgoingResponseExt as _,
        client::{
            account::register::{
                RegistrationKind,
                v3::{Request, Response},
            },
            uiaa::{AuthData, AuthType},
        },
        error::ErrorKind,
    },
};
use serde_json::json;

use super::username::new_user_id;
use crate::{
    Error, Result,
    api::{
        Client, Cx,
        client::{
            password, secret,
            session::{self, Wishes},
            uiaa::Challenge,
        },
        reshape::{Json, Reshaped},
    },
    ports::Stmt,
    server::{Registration, Server},
    store::global::{accounts, registration_tokens, tokens},
};

/// Makes an account, and a session on it unless that is not wished for: then nothing of one is
/// named in the answer, in which ruma would name the device as `null`.
pub async fn register(
    cx: Cx,
    client: Client,
    Reshaped(request): Reshaped<Request>,
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
    let permit = authenticate(&cx, request.auth.as_ref()).await?;
    let Some(password) = request.password else {
        return Err(Error::missing_param("the password is missing"));
    };
    let hash = password::hash(&*cx.ports.random, &password).await?;
    let account = permit.account(&user_id, &hash, cx.ports.clock.now_ms());
    if request.inhibit_login {
        let returned = cx.ports.global.batch(account).await.map_err(taken)?;
        if returned.iter().all(Vec::is_empty) {
            return Err(used_up());
        }
        return Ok(Json(json!({ "user_id": user_id })));
    }
    let opened = session::open(&cx, client, &user_id, wishes, &hash, account).await;
    // Without an account there is no session either.
    let opened = opened.map_err(taken)?.ok_or_else(used_up)?;
    let mut response = Response::new(user_id);
    response.access_token = Some(opened.access_token);
    response.device_id = Some(opened.device_id);
    response.refresh_token = opened.refresh_token;
    response.expires_in = opened.expires_in;
    told(response)
}

/// The JSON of ruma's response.
fn told(response: Response) -> Result<Json> {
    let response = response.try_into_http_response::<Vec<u8>>().map_err(Error::internal)?;
    Ok(Json(serde_json::from_slice(response.body())?))
}

/// Refuses the names that are or were somebody's.
pub async fn refuse_taken(cx: &Cx, user_id: &UserId) -> Result<()> {
    match accounts::find(&*cx.ports.global, user_id).await? {
        Some(_) => Err(in_use()),
        None => Ok(()),
    }
}

/// Why an account may be made.
enum Permit {
    /// Everybody may make one.
    Open,
    /// The operator's token was shown.
    Operator,
    /// The stored token with this hash was shown.
    Stored(String),
}

impl Permit {
    /// The account. It returns a row if it came to be.
    fn account(self, user_id: &UserId, hash: &str, now_ms: u64) -> Vec<Stmt> {
        match self {
            Self::Open => vec![accounts::insert(user_id, hash, false, now_ms)],
            Self::Operator => vec![accounts::insert(user_id, hash, true, now_ms)],
            Self::Stored(token) => vec![
                accounts::insert_with_token(user_id, hash, &token, now_ms),
                registration_tokens::update_used(&token),
            ],
        }
    }
}

/// Asks for what the server's registration asks for.
async fn authenticate(cx: &Cx, auth: Option<&AuthData>) -> Result<Permit> {
    match cx.server.config.registration {
        Registration::Open => {
            Challenge::new(AuthType::Dummy, "register").data(cx, auth)?;
            Ok(Permit::Open)
        }
        Registration::Token => {
            let challenge = Challenge::new(AuthType::RegistrationToken, "register");
            let data = challenge.data(cx, auth)?;
            let permit = match data {
                AuthData::RegistrationToken(given) => find_permit(cx, &given.token).await?,
                _ => None,
            };
            match permit {
                Some(permit) => Ok(permit),
                None => Err(challenge.failed(cx, data, "the registration token is not valid")?),
            }
        }
        Registration::Closed => Err(closed()),
    }
}

/// Whether a token allows to register.
pub async fn allows(cx: &Cx, token: &str) -> Result<bool> {
    Ok(find_permit(cx, token).await?.is_some())
}

async fn find_permit(cx: &Cx, token: &str) -> Result<Option<Permit>> {
    let hash = tokens::hash(token);
    if cx.server.config.registration_token_hash.as_ref() == Some(&hash) {
        return Ok(Some(Permit::Operator));
    }
    let found = registration_tokens::find(&*cx.ports.global, &hash).await?;
    Ok(found.map(|_| Permit::Stored(hash)))
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

fn closed() -> Error {
    Error::forbidden("registration is closed")
}

fn used_up() -> Error {
    Error::forbidden("the registration token was used up meanwhile")
}

fn in_use() -> Error {
    Error::api(ErrorKind::UserInUse, "this user name is taken")
}

/// Of two registrations of one name at once, the second meets the first one's row.
fn taken(error: Error) -> Error {
    match error {
        Error::Conflict => in_use(),
        other => other,
    }
}
