//! User-interactive authentication ([spec]).
//!
//! Every flow here has one stage, so an operation and its authentication arrive in one request
//! and nothing is remembered between requests: a session is a text that this server signed for
//! one operation of one user, valid for a while.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    UserId,
    api::{
        client::uiaa::{AuthData, AuthFlow, AuthType, UiaaInfo, UserIdentifier},
        error::{ErrorKind, StandardErrorBody},
    },
};
use serde_json::value::RawValue as RawJsonValue;
use sha2::{Digest as _, Sha256};

use super::{super::Cx, session::login::local_user};
use crate::{
    Error, Result,
    messages::{Caller, secret::Secret, user::CheckPassword},
};

/// How long a session may be used: as long as a person may need to find a password.
const SESSION_LIFETIME_MS: u64 = 60 * 60 * 1000;

const NONCE_BYTES: usize = 12;

/// What is asked for, and what it protects.
#[derive(Debug)]
pub struct Challenge {
    stage: AuthType,
    operation: String,
}

impl Challenge {
    /// A stage before an operation. Sessions of other operations are not accepted.
    pub fn new(stage: AuthType, operation: impl Into<String>) -> Self {
        Self { stage, operation: operation.into() }
    }

    /// The data for the stage, if the client sent it and names a session of this operation or
    /// none; otherwise the error that asks for it.
    pub fn data<'a>(&self, cx: &Cx, auth: Option<&'a AuthData>) -> Result<&'a AuthData> {
        let Some(auth) = auth else { return Err(self.ask(cx, None, None)?) };
        if auth.session().is_some_and(|it| !self.knows(cx, it)) {
            let error = (ErrorKind::Forbidden, "the session is unknown or over");
            return Err(self.ask(cx, None, Some(error))?);
        }
        match auth.auth_type() {
            Some(stage) if stage == self.stage => Ok(auth),
            // Acknowledges a fallback page, of which there is none: nothing is shown by it.
            None => Err(self.ask(cx, Some(auth), None)?),
            Some(_) => {
                let error = (ErrorKind::Unrecognized, "this authentication is not offered here");
                Err(self.ask(cx, Some(auth), Some(error))?)
            }
        }
    }

    /// The error that says that the data was wrong, and asks again.
    pub fn failed(&self, cx: &Cx, auth: &AuthData, message: &'static str) -> Result<Error> {
        self.ask(cx, Some(auth), Some((ErrorKind::Forbidden, message)))
    }

    fn ask(
        &self,
        cx: &Cx,
        auth: Option<&AuthData>,
        error: Option<(ErrorKind, &'static str)>,
    ) -> Result<Error> {
        let session = match auth.and_then(AuthData::session) {
            Some(session) => session.to_owned(),
            None => self.session(cx)?,
        };
        let mut info = UiaaInfo::new(vec![AuthFlow::new(vec![self.stage.clone()])]);
        info.session = Some(session);
        info.params = Some(RawJsonValue::from_string("{}".to_owned())?);
        info.auth_error =
            error.map(|(kind, message)| Box::new(StandardErrorBody::new(kind, message.to_owned())));
        Ok(Error::Uiaa(Box::new(info)))
    }

    /// A new session: when it ends, a nonce, and this server's seal on both and the operation.
    fn session(&self, cx: &Cx) -> Result<String> {
        let mut nonce = [0; NONCE_BYTES];
        cx.ports.random.fill(&mut nonce)?;
        let ends_at_ms = cx.ports.clock.now_ms() + SESSION_LIFETIME_MS;
        let text = format!("{ends_at_ms}.{}", URL_SAFE_NO_PAD.encode(nonce));
        let seal = URL_SAFE_NO_PAD.encode(self.seal(cx, &text));
        Ok(format!("{text}.{seal}"))
    }

    fn knows(&self, cx: &Cx, session: &str) -> bool {
        let Some((text, seal)) = session.rsplit_once('.') else { return false };
        let ends_at_ms = text.split('.').next().and_then(|it| it.parse::<u64>().ok());
        // Hashes are compared, so that the time it takes says nothing of the seal.
        let expected = Sha256::digest(self.seal(cx, text));
        let sealed = URL_SAFE_NO_PAD.decode(seal).is_ok_and(|it| Sha256::digest(it) == expected);
        sealed && ends_at_ms.is_some_and(|it| it > cx.ports.clock.now_ms())
    }

    /// Signatures are deterministic, so a hash of one is a seal that only this server can make.
    /// What is signed begins unlike any JSON and can be taken for nothing else.
    fn seal(&self, cx: &Cx, text: &str) -> [u8; 32] {
        let message = format!("skerry session\0{}\0{text}", self.operation);
        let signature = cx.server.keys().current.sign(message.as_bytes());
        Sha256::digest(signature.as_bytes()).into()
    }
}

/// Asks for the caller's own password before an operation.
pub async fn require_password(
    cx: &Cx,
    caller: &Caller,
    operation: &str,
    auth: Option<&AuthData>,
) -> Result<()> {
    let operation = format!("{operation} {}", caller.user_id);
    let challenge = Challenge::new(AuthType::Password, operation);
    let data = challenge.data(cx, auth)?;
    let AuthData::Password(given) = data else { return Err(challenge.ask(cx, None, None)?) };
    if names_another(cx, &given.identifier, &caller.user_id) {
        // Whether it is that user's password is not looked at, and not said.
        return Err(Error::forbidden("this is not for another user to allow"));
    }
    let question = CheckPassword { password: Secret::new(given.password.clone()) };
    let is_right = cx.ports.objects.ask(&*caller.user_id, question).await?;
    if !is_right || !names(cx, &given.identifier, &caller.user_id) {
        return Err(challenge.failed(cx, data, "the password is wrong")?);
    }
    Ok(())
}

/// Whether an identifier names another user of this server.
fn names_another(cx: &Cx, identifier: &UserIdentifier, user_id: &UserId) -> bool {
    match identifier {
        UserIdentifier::Matrix(it) => {
            local_user(&cx.server, &it.user).is_some_and(|it| it != *user_id)
        }
        _ => false,
    }
}

/// Whether an identifier names this user.
fn names(cx: &Cx, identifier: &UserIdentifier, user_id: &UserId) -> bool {
    match identifier {
        UserIdentifier::Matrix(it) => {
            local_user(&cx.server, &it.user).is_some_and(|it| it == *user_id)
        }
        _ => false,
    }
}
