//! Who this server is: its name, its signing keys and its configuration.

use std::sync::{Arc, PoisonError, RwLock};

use ruma::{IdParseError, OwnedServerName, ServerName, UserId};
pub use skerry_core::server_keys::own::OwnKeys;
use skerry_core::{
    address::Addresses, create_room::EncryptionByDefault, rate_limits::RateLimits, token,
};

/// One homeserver. Shared by the API layer and all objects.
#[derive(Debug)]
pub struct Server {
    /// The server name: the domain of its users.
    pub name: OwnedServerName,
    /// What the operator chose.
    pub config: Config,
    /// Renewed while the server runs, without anybody who holds it having to know.
    keys: RwLock<Arc<OwnKeys>>,
}

impl Server {
    /// A server with these keys.
    pub fn new(name: OwnedServerName, keys: OwnKeys, config: Config) -> Self {
        Self { name, config, keys: RwLock::new(Arc::new(keys)) }
    }

    /// Its keys.
    pub fn keys(&self) -> Arc<OwnKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are its keys.
    pub fn set_keys(&self, keys: OwnKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Whether this user is one of ours.
    pub fn is_local(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.name
    }
}

/// What the operator may choose, the same on every host.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may register.
    pub registration: Registration,
    /// [`hash_registration_token`] of the operator's registration token: whoever has it may
    /// register, any number of times.
    pub registration_token_hash: Option<String>,
    /// The base URL clients are told to use (`.well-known/matrix/client`), if it is known.
    pub public_base_url: Option<String>,
    /// Lifetime of an access token of a client that asked for refresh tokens, in milliseconds.
    pub access_token_lifetime_ms: u64,
    /// Servers that may have addresses which are not public, by their host and without a port.
    /// Where they delegate to is trusted too. Everybody who can name a server on this list can make
    /// this server connect to what it stands for.
    pub private_servers: Vec<String>,
    /// For how long a process may go by what it remembers of an access token, in milliseconds. A
    /// token that ends is refused after that time at the latest; at once, where all that changes
    /// an account goes through the same process.
    pub session_cache_ms: u64,
    /// How often what may be asked.
    pub rate_limits: RateLimits,
    /// Which new rooms are encrypted, unless whoever makes them says how.
    pub encryption_by_default: EncryptionByDefault,
    /// Servers that are believed of the keys of others, where those cannot be asked themselves.
    pub notaries: Vec<OwnedServerName>,
    /// Who is told who is there.
    pub presence: Presence,
    /// Profiles are shown to those alone who share a room with their user.
    pub limit_profile: bool,
}

impl Config {
    /// Which addresses a server of this name may have.
    pub fn addresses_of(&self, server: &ServerName) -> Addresses {
        let host = server.host();
        match self.private_servers.iter().any(|it| it.eq_ignore_ascii_case(host)) {
            true => Addresses::All,
            false => Addresses::Public,
        }
    }
}

/// [`Config::session_cache_ms`] of a host that is one process: every end of a token goes through
/// it.
pub const ONE_PROCESS_SESSION_CACHE_MS: u64 = 60 * 60 * 1000;

/// [`Config::session_cache_ms`] of a host of many processes that know nothing of each other.
pub const MANY_PROCESSES_SESSION_CACHE_MS: u64 = 10 * 1000;

/// The fewest characters of a registration token that an operator chooses: it can be tried by
/// everybody, from many addresses.
pub const MIN_REGISTRATION_TOKEN_CHARS: usize = 10;

/// A registration token that could be guessed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a registration token has at least {MIN_REGISTRATION_TOKEN_CHARS} characters")]
pub struct RegistrationTokenTooShort;

/// What is kept of a registration token that an operator chooses.
pub fn hash_registration_token(text: &str) -> Result<String, RegistrationTokenTooShort> {
    match text.chars().count() < MIN_REGISTRATION_TOKEN_CHARS {
        true => Err(RegistrationTokenTooShort),
        false => Ok(token::hash(text)),
    }
}

/// Lifetime of a refreshable access token unless configured otherwise: one hour.
pub const DEFAULT_ACCESS_TOKEN_LIFETIME_MS: u64 = 60 * 60 * 1000;

/// Who may register an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everybody (`m.login.dummy`).
    Open,
    /// Who has a token (`m.login.registration_token`).
    Token,
    /// Nobody.
    Closed,
}

/// Who is told which users are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nobody.
    Off,
    /// Users of this server.
    Local,
    /// They and other servers, of which the same is believed.
    On,
}

impl Presence {
    /// The choice of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "local" => Some(Self::Local),
            "on" => Some(Self::On),
            _ => None,
        }
    }
}

/// [`Config::notaries`] unless configured otherwise.
pub const DEFAULT_NOTARIES: &str = "matrix.org";

/// The notaries of a list with commas: [`DEFAULT_NOTARIES`] where there is none, and nobody where
/// it says `none`.
///
/// # Errors
///
/// When an item is no server name.
pub fn notaries(list: Option<&str>) -> Result<Vec<OwnedServerName>, IdParseError> {
    let list = list.unwrap_or(DEFAULT_NOTARIES);
    let items = list.split(',').map(str::trim).filter(|it| !it.is_empty() && *it != "none");
    items.map(ServerName::parse).collect()
}

impl Registration {
    /// Who may register unless configured otherwise: everybody on a server that nobody else
    /// reaches, and else who has a token.
    pub fn default_for(name: &ServerName) -> Self {
        match name.host() {
            "localhost" => Self::Open,
            _ => Self::Token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_a_notary() {
        let names = |list| notaries(list).map(|it| it.iter().map(ToString::to_string).collect());
        assert_eq!(names(None), Ok(vec!["matrix.org".to_owned()]));
        assert_eq!(names(Some("none")), Ok(Vec::new()));
        let two = vec!["a.example".to_owned(), "b.example:8448".to_owned()];
        assert_eq!(names(Some(" a.example, b.example:8448,")), Ok(two));
        notaries(Some("a b")).unwrap_err();
    }

    #[test]
    fn a_registration_token_that_could_be_guessed_is_none() {
        for (chars, is_fine) in [(0, false), (9, false), (10, true), (64, true)] {
            assert_eq!(hash_registration_token(&"ü".repeat(chars)).is_ok(), is_fine, "{chars}");
        }
    }
}
