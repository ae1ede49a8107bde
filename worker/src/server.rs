//! The homeserver as this isolate knows it: loaded at the first use, from the variables and the
//! global store.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use ruma::OwnedServerName;
use skerry::{
    Error, Result,
    bootstrap::{FirstToken, FirstTokenOutcome, RELOAD_KEYS_MS, bootstrap, reload_keys},
    ports::{Clock as _, Sql},
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, MANY_PROCESSES_SESSION_CACHE_MS, Presence,
        Registration, Server, hash_registration_token, notaries,
    },
};
use skerry_core::{create_room::EncryptionByDefault, rate_limits::RateLimits};
use worker::{Env, console_log};

use crate::machine::{EdgeClock, EdgeRandom};

thread_local! {
    static SERVER: RefCell<Option<Arc<Server>>> = const { RefCell::new(None) };
    /// When its keys were read last.
    static KEYS_READ_MS: Cell<u64> = const { Cell::new(0) };
}

/// The homeserver, for requests from outside. The first of all shows the operator a token for the
/// first account; the first one of each isolate says what to do when that was not seen.
pub(crate) async fn for_api(global: &dyn Sql, env: &Env) -> Result<Arc<Server>> {
    match cached() {
        Some(server) => {
            reload_keys_if_due(global).await;
            Ok(server)
        }
        None => load(global, env, FirstToken::Once).await,
    }
}

/// The homeserver, for an object: nobody registers here, so no token is made.
pub(crate) async fn for_object(global: &dyn Sql, env: &Env) -> Result<Arc<Server>> {
    match cached() {
        Some(server) => Ok(server),
        None => load(global, env, FirstToken::Never).await,
    }
}

/// Reads the signing keys again where it is time to, if this isolate knows them: another one may
/// have a new one.
pub(crate) async fn reload_keys_if_due(global: &dyn Sql) {
    let Some(server) = cached() else { return };
    let now_ms = EdgeClock.now_ms();
    if now_ms < KEYS_READ_MS.get().saturating_add(RELOAD_KEYS_MS) {
        return;
    }
    KEYS_READ_MS.set(now_ms);
    if let Err(error) = reload_keys(global, &EdgeClock, &server).await {
        tracing::warn!(%error, "the signing keys were not read again");
    }
}

fn cached() -> Option<Arc<Server>> {
    SERVER.with_borrow(Clone::clone)
}

async fn load(global: &dyn Sql, env: &Env, first_token: FirstToken) -> Result<Arc<Server>> {
    let name = name(env)?;
    let config = config(env, &name)?;
    let (server, first_token) =
        bootstrap(global, &EdgeClock, &EdgeRandom, name, config, first_token).await?;
    match first_token {
        FirstTokenOutcome::NotWanted => {}
        FirstTokenOutcome::Made(token) => {
            console_log!("register the first account, the admin, with this token: {token}");
        }
        FirstTokenOutcome::MadeBefore => console_log!(
            "a token for the first account, the admin, was shown in this log once. If it is lost, \
             choose one: `npx wrangler secret put REGISTRATION_TOKEN`"
        ),
    }
    let server = Arc::new(server);
    KEYS_READ_MS.set(EdgeClock.now_ms());
    SERVER.set(Some(server.clone()));
    Ok(server)
}

fn name(env: &Env) -> Result<OwnedServerName> {
    let name = variable(env, "SERVER_NAME")
        .ok_or_else(|| Error::internal("the variable SERVER_NAME is missing"))?;
    name.try_into().map_err(|error| Error::internal(format!("SERVER_NAME: {error}")))
}

fn config(env: &Env, name: &OwnedServerName) -> Result<Config> {
    let registration = match variable(env, "REGISTRATION").as_deref() {
        Some("open") => Registration::Open,
        Some("token") => Registration::Token,
        Some("closed") => Registration::Closed,
        Some(_) => return Err(Error::internal("REGISTRATION is none of open, token, closed")),
        None => Registration::default_for(name),
    };
    Ok(Config {
        registration,
        registration_token_hash: registration_token_hash(env)?,
        public_base_url: variable(env, "PUBLIC_BASE_URL"),
        access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
        private_servers: list(variable(env, "PRIVATE_SERVERS").as_deref()),
        encryption_by_default: encryption_by_default(env)?,
        notaries: notaries(variable(env, "NOTARIES").as_deref())
            .map_err(|it| Error::internal(format!("NOTARIES: {it}")))?,
        presence: presence(env)?,
        limit_profile: limit_profile(env)?,
        session_cache_ms: MANY_PROCESSES_SESSION_CACHE_MS,
        rate_limits: rate_limits(env)?,
    })
}

fn encryption_by_default(env: &Env) -> Result<EncryptionByDefault> {
    let which = variable(env, "ENCRYPTION_BY_DEFAULT").as_deref().map(str::parse);
    let which = which.transpose().map_err(|it| Error::internal(format!("{it}")))?;
    Ok(which.unwrap_or_default())
}

fn registration_token_hash(env: &Env) -> Result<Option<String>> {
    let hash = variable(env, "REGISTRATION_TOKEN").as_deref().map(hash_registration_token);
    hash.transpose().map_err(|it| Error::internal(format!("REGISTRATION_TOKEN: {it}")))
}

/// What is told costs requests to objects: it is off unless it is wanted.
fn presence(env: &Env) -> Result<Presence> {
    let chosen = variable(env, "PRESENCE").map_or(Some(Presence::Off), |it| Presence::named(&it));
    chosen.ok_or_else(|| Error::internal("PRESENCE is none of off, local, on"))
}

fn limit_profile(env: &Env) -> Result<bool> {
    match variable(env, "LIMIT_PROFILE").as_deref() {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(_) => Err(Error::internal("LIMIT_PROFILE is neither true nor false")),
    }
}

/// The rate limits that the operator has chosen.
pub(crate) fn rate_limits(env: &Env) -> Result<RateLimits> {
    let limits = RateLimits::of(&name(env)?, &variable(env, "RATE_LIMITS").unwrap_or_default());
    limits.map_err(|it| Error::internal(format!("RATE_LIMITS: {it}")))
}

/// What stands between commas.
fn list(text: Option<&str>) -> Vec<String> {
    let items = text.unwrap_or_default().split(',').map(str::trim);
    items.filter(|it| !it.is_empty()).map(ToOwned::to_owned).collect()
}

/// A variable or a secret. An empty one is none.
pub(crate) fn variable(env: &Env, name: &str) -> Option<String> {
    env.var(name).ok().map(|it| it.to_string()).filter(|it| !it.is_empty())
}
