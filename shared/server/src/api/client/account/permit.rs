//! Why an account may be registered, and the use of a registration token that is reserved for it.

use futures_util::future::try_join_all;
use ruma::{
    UserId,
    api::client::uiaa::{AuthData, AuthType},
};
use skerry_core::{rate_limits::Bucket, token};

use crate::{
    Error, Result,
    api::{Client, Cx, client::uiaa::Challenge},
    messages::user::{Reservation, WasRegisteredWith},
    ports::Stmt,
    server::Registration,
    store::global::registration_tokens::{self, REGISTER_WITHIN_MS},
};

/// Why an account may be made.
pub(super) enum Permit {
    /// Everybody may make one.
    Open,
    /// The operator's token, with this hash, was shown.
    Operator(String),
    /// The registration token with this hash was shown.
    Registration {
        /// The hash.
        token_hash: String,
        /// Whether the token may be used any number of times.
        is_unlimited: bool,
    },
}

/// What an account will be.
pub(super) struct Admission {
    /// Whether its user may administer the server.
    pub(super) is_admin: bool,
    /// The use that is reserved for it.
    pub(super) reservation: Option<Reservation>,
}

impl Permit {
    /// Asks for what the server's registration asks for.
    pub(super) async fn authenticate(
        cx: &Cx,
        client: &Client,
        auth: Option<&AuthData>,
    ) -> Result<Self> {
        match cx.server.config.registration {
            Registration::Open => {
                Challenge::new(AuthType::Dummy, "register").data(cx, auth)?;
                Ok(Self::Open)
            }
            Registration::Token => {
                let challenge = Challenge::new(AuthType::RegistrationToken, "register");
                let data = challenge.data(cx, auth)?;
                let permit = match data {
                    AuthData::RegistrationToken(given) => {
                        let address = client.counted_address();
                        cx.ports.limiter.take(Bucket::RegistrationToken, &address, 1).await?;
                        Self::find(cx, &given.token).await?
                    }
                    _ => None,
                };
                match permit {
                    Some(permit) => Ok(permit),
                    None => {
                        Err(challenge.failed(cx, data, "the registration token is not valid")?)
                    }
                }
            }
            Registration::Closed => Err(closed()),
        }
    }

    /// What a registration token permits, if anything.
    pub(super) async fn find(cx: &Cx, text: &str) -> Result<Option<Self>> {
        let token_hash = token::hash(text);
        if cx.server.config.registration_token_hash.as_ref() == Some(&token_hash) {
            return Ok(Some(Self::Operator(token_hash)));
        }
        let (global, now_ms) = (&*cx.ports.global, cx.ports.clock.now_ms());
        let found = registration_tokens::find(global, &token_hash, now_ms).await?;
        let is_unlimited = |it: registration_tokens::RegistrationToken| it.is_unlimited;
        let found = found.map(is_unlimited);
        Ok(found.map(|is_unlimited| Self::Registration { token_hash, is_unlimited }))
    }

    /// Reserves what an account of this name needs: the use of a token that has a limit, the
    /// place of the first account. Who may be admitted without either is.
    pub(super) async fn admit(self, cx: &Cx, user_id: &UserId) -> Result<Admission> {
        let now_ms = cx.ports.clock.now_ms();
        let (token_hash, reserved, may_do_without) = match self {
            Self::Open | Self::Registration { is_unlimited: true, .. } => {
                return Ok(Admission { is_admin: false, reservation: None });
            }
            Self::Operator(token_hash) => {
                let stmt = registration_tokens::reserve_first(&token_hash, user_id, now_ms);
                (token_hash.clone(), reserve(cx, &token_hash, stmt, now_ms).await?, true)
            }
            Self::Registration { token_hash, .. } => {
                let stmt = registration_tokens::reserve(&token_hash, user_id, now_ms);
                (token_hash.clone(), reserve(cx, &token_hash, stmt, now_ms).await?, false)
            }
        };
        match reserved {
            Some(is_admin) => {
                let until_ms = now_ms.saturating_add(REGISTER_WITHIN_MS);
                Ok(Admission { is_admin, reservation: Some(Reservation { token_hash, until_ms }) })
            }
            None if may_do_without => Ok(Admission { is_admin: false, reservation: None }),
            None => Err(Error::forbidden("the registration token was used up meanwhile")),
        }
    }
}

/// Reserves a use; where none is left, once more after those are freed whose account never came
/// to be. The answer is whether the account administers the server.
async fn reserve(cx: &Cx, token_hash: &str, stmt: Stmt, now_ms: u64) -> Result<Option<bool>> {
    let global = &*cx.ports.global;
    let attempt = async || {
        let returned = global.batch(vec![stmt.clone()]).await?;
        let row = returned.into_iter().flatten().next();
        row.map(|mut row| row.take(0)).transpose()
    };
    if let Some(is_admin) = attempt().await? {
        return Ok(Some(is_admin));
    }
    let overdue = registration_tokens::list_overdue(global, token_hash, now_ms).await?;
    if overdue.is_empty() {
        return Ok(None);
    }
    let looks = overdue.iter().map(async |use_| {
        // That there is an account is not enough: another request may have registered the name.
        let asked = WasRegisteredWith { token_hash: use_.token_hash.clone() };
        Ok::<_, Error>(match cx.ports.objects.ask(&*use_.user_id, asked).await? {
            true => registration_tokens::update_spent(&use_.token_hash, &use_.user_id),
            false => registration_tokens::remove_overdue(use_),
        })
    });
    global.batch(try_join_all(looks).await?).await?;
    attempt().await
}

/// Nobody may register.
pub(super) fn closed() -> Error {
    Error::forbidden("registration is closed")
}
