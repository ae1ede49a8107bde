//! Sessions: logging in and out, and the tokens in between ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#legacy-api

pub mod get_login_types;
pub mod login;
pub mod logout;
pub mod refresh_token;

use std::time::Duration;

use ruma::{OwnedDeviceId, UserId};
use skerry_core::token;

use super::{
    super::{Client, Cx, mount::Routes},
    device, secret,
};
use crate::{
    Result,
    messages::user::{Device, NewSession, NewTokens},
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(get_login_types::get_login_types)
        .mount(login::login)
        .mount(refresh_token::refresh_token)
        .mount(logout::logout)
        .mount(logout::logout_all)
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
        self.device_id.as_deref().map_or(Ok(()), device::check_id)?;
        self.device_name.as_deref().map_or(Ok(()), device::check_name)
    }
}

/// Makes a session: what the client is told of it, and what the user's object is.
pub fn begin(
    cx: &Cx,
    client: Client,
    user_id: &UserId,
    wishes: Wishes,
) -> Result<(Opened, NewSession)> {
    let device_id = match wishes.device_id {
        Some(device_id) => device_id,
        None => secret::device_id(&*cx.ports.random)?.into(),
    };
    let refreshing = match wishes.refreshable {
        true => Refreshing::Begins,
        false => Refreshing::Never,
    };
    let (given, tokens) = generate(cx, user_id, refreshing)?;
    let device = Device {
        device_id: device_id.clone(),
        display_name: wishes.device_name,
        last_seen_ms: Some(cx.ports.clock.now_ms()),
        last_seen_ip: client.address,
    };
    let opened = Opened {
        device_id,
        access_token: given.access_token,
        refresh_token: given.refresh_token,
        expires_in: given.expires_in,
    };
    Ok((opened, NewSession { device, tokens }))
}

/// Tokens as the client gets them.
struct Given {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<Duration>,
}

/// Whether there is a refresh token among new tokens.
#[derive(Clone, Copy)]
enum Refreshing<'a> {
    /// None.
    Never,
    /// The first one of a session.
    Begins,
    /// The one that this is exchanged for.
    After(&'a str),
}

/// Makes the tokens of a session, and what is stored of them.
fn generate(cx: &Cx, user_id: &UserId, refreshing: Refreshing<'_>) -> Result<(Given, NewTokens)> {
    let random = &*cx.ports.random;
    let lifetime_ms = cx.server.config.access_token_lifetime_ms;
    let refresh_token = match refreshing {
        Refreshing::Never => None,
        Refreshing::Begins => Some(secret::refresh_token(random, user_id, None)?),
        Refreshing::After(token) => Some(secret::refresh_token(random, user_id, Some(token))?),
    };
    let refreshable = refresh_token.is_some();
    let given = Given {
        access_token: secret::access_token(random, user_id)?,
        refresh_token,
        expires_in: refreshable.then_some(Duration::from_millis(lifetime_ms)),
    };
    let expires_at_ms = cx.ports.clock.now_ms().saturating_add(lifetime_ms);
    let tokens = NewTokens {
        access_hash: token::hash(&given.access_token),
        refresh_hash: given.refresh_token.as_deref().map(token::hash_refresh),
        expires_at_ms: refreshable.then_some(expires_at_ms),
    };
    Ok((given, tokens))
}
