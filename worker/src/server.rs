//! The homeserver as this isolate knows it: loaded at the first use, from the variables and the
//! global store.

use std::{cell::RefCell, sync::Arc};

use ruma::OwnedServerName;
use skerry::{
    Error, Result,
    bootstrap::bootstrap,
    ports::Sql,
    server::{Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, Registration, Server},
    store::global::tokens,
};
use worker::{Env, console_log};

use crate::machine::{EdgeClock, EdgeRandom};

thread_local! {
    static SERVER: RefCell<Option<Arc<Server>>> = const { RefCell::new(None) };
}

/// The homeserver, for requests from outside. The first one of an isolate shows the operator a
/// token for the first account, as long as there is none.
pub(crate) async fn for_api(global: &dyn Sql, env: &Env) -> Result<Arc<Server>> {
    match cached() {
        Some(server) => Ok(server),
        None => load(global, env, Asks::Outside).await,
    }
}

/// The homeserver, for an object: nobody registers here, so no token is made.
pub(crate) async fn for_object(global: &dyn Sql, env: &Env) -> Result<Arc<Server>> {
    match cached() {
        Some(server) => Ok(server),
        None => load(global, env, Asks::Object).await,
    }
}

fn cached() -> Option<Arc<Server>> {
    SERVER.with_borrow(Clone::clone)
}

#[derive(Clone, Copy)]
enum Asks {
    Outside,
    Object,
}

async fn load(global: &dyn Sql, env: &Env, asks: Asks) -> Result<Arc<Server>> {
    let name = name(env)?;
    let config = config(env, &name)?;
    let registration = match asks {
        Asks::Outside => config.registration,
        Asks::Object => Registration::Closed,
    };
    let for_start = Config { registration, ..config.clone() };
    let (server, first_token) = bootstrap(global, &EdgeClock, &EdgeRandom, name, for_start).await?;
    if let Some(token) = first_token {
        console_log!("register the first account, the admin, with this token: {token}");
    }
    let server = Arc::new(Server { config, ..server });
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
        registration_token_hash: variable(env, "REGISTRATION_TOKEN").as_deref().map(tokens::hash),
        public_base_url: variable(env, "PUBLIC_BASE_URL"),
        access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
        private_servers: list(variable(env, "PRIVATE_SERVERS").as_deref()),
    })
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
