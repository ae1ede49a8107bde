//! Sessions: logging in and out, and the tokens in between ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#legacy-api

pub mod get_login_types;
pub mod login;
pub mod logout;
pub mod refresh_token;

use std::time::Duration;

use axum::Router;
use ruma::{OwnedDeviceId, OwnedUserId};

use super::{
    super::{Client, Cx, mount},
    device, secret,
};
use crate::{
    Error, Result,
    messages::{Caller, user},
    ports::Stmt,
    store::global::tokens,
};

/// The most bytes of a device ID that a client chooses.
pub const MAX_DEVICE_ID_BYTES: usize = 255;

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    let router = mount::open(router, get_login_types::get_login_types);
    let router = mount::open_to_client(router, login::login);
    let router = mount::open(router, refresh_token::refresh_token);
    let router = mount::authenticated(router, logout::logout);
    mount::authenticated(router, logout::logout_all)
}

/// What a client wishes of its new session.
#[derive(Debug)]
pub struct Wishes {
    /// The device it already has or wants.
    pub device_id: Option<OwnedDeviceId>,
    /// The name of a new device.
    pub device_name: Option<String>,
    /// Whether it can use refresh tokens.
    pub refreshable: bool,
}

/// A session as the client is told of it.
#[derive(Debug)]
pub struct Opened {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: Option<String>,
    /// The lifetime of the access token.
    pub expires_in: Option<Duration>,
}

impl Wishes {
    /// Checks what can be checked before anything is done.
    pub fn check(&self) -> Result<()> {
        let id = self.device_id.as_ref().map(|it| it.as_str());
        if id.is_some_and(|it| it.is_empty() || it.len() > MAX_DEVICE_ID_BYTES) {
            let message = format!("a device ID has 1 to {MAX_DEVICE_ID_BYTES} bytes");
            return Err(Error::invalid_param(message));
        }
        self.device_name.as_deref().map_or(Ok(()), device::check_name)
    }
}

/// Begins a session in one batch with `before`, as long as the account's password is still
/// `password_hash`. None: it is not, and nothing but `before` was done.
pub async fn open(
    cx: &Cx,
    client: Client,
    user_id: &OwnedUserId,
    wishes: Wishes,
    password_hash: &str,
    mut before: Vec<Stmt>,
) -> Result<Option<Opened>> {
    let device_id = match wishes.device_id {
        Some(device_id) => device_id,
        None => secret::device_id(&*cx.ports.random)?.into(),
    };
    let opened = generate(cx, device_id, wishes.refreshable)?;
    let caller = Caller { user_id: user_id.clone(), device_id: opened.device_id.clone() };
    let hashes = Hashes::of(cx, &opened);
    before.extend(tokens::insert_session(&hashes.session(&caller), password_hash));
    let returned = cx.ports.global.batch(before).await?;
    if returned.last().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    let device = user::Device {
        device_id: caller.device_id,
        display_name: wishes.device_name,
        last_seen_ms: Some(cx.ports.clock.now_ms()),
        last_seen_ip: client.address,
    };
    // The name is that of a new device: one that is known keeps the name it has.
    let question = user::PutDevice { device, keep_name: true };
    if let Err(error) = cx.ports.objects.ask(&**user_id, question).await {
        // There are too many devices, say: a session without one must not stay.
        let batch = tokens::remove_of_device(user_id, &opened.device_id);
        cx.ports.global.batch(batch.into()).await?;
        return Err(error);
    }
    Ok(Some(opened))
}

/// Makes the tokens of a session.
fn generate(cx: &Cx, device_id: OwnedDeviceId, refreshable: bool) -> Result<Opened> {
    let random = &*cx.ports.random;
    let lifetime = Duration::from_millis(cx.server.config.access_token_lifetime_ms);
    Ok(Opened {
        device_id,
        access_token: secret::token(random, "ska")?,
        refresh_token: refreshable.then(|| secret::token(random, "skr")).transpose()?,
        expires_in: refreshable.then_some(lifetime),
    })
}

/// What is stored of the tokens of a session.
struct Hashes {
    access: String,
    refresh: Option<String>,
    expires_at_ms: Option<u64>,
}

impl Hashes {
    fn of(cx: &Cx, opened: &Opened) -> Self {
        let lifetime_ms = cx.server.config.access_token_lifetime_ms;
        let expires = opened.expires_in.is_some();
        Self {
            access: tokens::hash(&opened.access_token),
            refresh: opened.refresh_token.as_deref().map(tokens::hash),
            expires_at_ms: expires.then(|| cx.ports.clock.now_ms().saturating_add(lifetime_ms)),
        }
    }

    fn session<'a>(&'a self, caller: &'a Caller) -> tokens::NewSession<'a> {
        tokens::NewSession {
            caller,
            access_hash: &self.access,
            refresh_hash: self.refresh.as_deref(),
            expires_at_ms: self.expires_at_ms,
        }
    }
}
