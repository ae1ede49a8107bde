//! What the operator may choose: by flags, by `SKERRY_…` variables and by one TOML file, in this
//! order of precedence.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand, ValueEnum};
use ruma::{IdParseError, OwnedRoomId, OwnedServerName};
use serde::Deserialize;
use skerry::server::{
    Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, Presence, Registration,
    RegistrationTokenTooShort, hash_registration_token, notaries,
};
use skerry_core::{
    create_room::EncryptionByDefault,
    rate_limits::{Proxies, ProxiesError, RateLimits, RateLimitsError},
};
use url::Url;

use crate::sqlite::Synchronous;

/// Skerry, a Matrix homeserver.
///
/// Without any option it serves `localhost` on port 8008, and everybody may register.
#[derive(Clone, Debug, Default, Deserialize, Parser)]
#[command(version, about)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Options {
    /// The server name: what stands behind the colon in its users' IDs. It can never be changed
    /// [default: localhost]
    #[arg(long, env = "SKERRY_SERVER_NAME")]
    pub server_name: Option<OwnedServerName>,
    /// Address to listen on [default: 127.0.0.1:8008]
    #[arg(long, env = "SKERRY_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where the data is kept [default: ./skerry-data]
    #[arg(long, env = "SKERRY_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// When what is acknowledged is on the disk [default: full]
    #[arg(long, env = "SKERRY_SYNCHRONOUS")]
    pub synchronous: Option<Synchronous>,
    /// TLS certificate chain (PEM); without one the server speaks plain HTTP, for a proxy
    #[arg(long, env = "SKERRY_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// TLS private key (PEM)
    #[arg(long, env = "SKERRY_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Who may register [default: open on localhost, else token]
    #[arg(long, env = "SKERRY_REGISTRATION")]
    pub registration: Option<Who>,
    /// A token that lets people register
    #[arg(long, env = "SKERRY_REGISTRATION_TOKEN", hide_env_values = true)]
    pub registration_token: Option<String>,
    /// Base URL that clients are told to use
    #[arg(long, env = "SKERRY_PUBLIC_BASE_URL")]
    pub public_base_url: Option<String>,
    /// Name server that is asked for other servers [default: those of the system]
    #[arg(long, env = "SKERRY_DNS_SERVER")]
    pub dns_server: Option<SocketAddr>,
    /// Certificate authorities (PEM) that are trusted beside those that browsers trust
    #[arg(long, env = "SKERRY_TRUSTED_CA")]
    pub trusted_ca: Option<PathBuf>,
    /// Servers that may have private addresses, by their hosts [default: none]
    #[arg(long, env = "SKERRY_PRIVATE_SERVERS", value_delimiter = ',')]
    pub private_servers: Vec<String>,
    /// New rooms that are encrypted, unless whoever makes them says how: `off`, `invite` (private
    /// chats) or `all` [default: off]
    #[arg(long, env = "SKERRY_ENCRYPTION_BY_DEFAULT")]
    pub encryption_by_default: Option<EncryptionByDefault>,
    /// Servers that are believed of the keys of others, where those are gone, with commas between
    /// them, or `none` [default: matrix.org]
    #[arg(long, env = "SKERRY_NOTARIES")]
    pub notaries: Option<String>,
    /// Proxies, by addresses or networks, whose `X-Forwarded-For` says where requests come from
    /// [default: none]
    #[arg(long, env = "SKERRY_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// Who is told which users are there [default: local]
    #[arg(long, env = "SKERRY_PRESENCE")]
    pub presence: Option<Told>,
    /// Shows profiles to those alone who share a room with their user
    #[arg(long, env = "SKERRY_LIMIT_PROFILE")]
    #[serde(default)]
    pub limit_profile: bool,
    /// How often what may be asked: `off`, or what differs from the defaults, such as
    /// `messages=20/s:500,joins=off` [default: see the README]
    #[arg(long, env = "SKERRY_RATE_LIMITS")]
    pub rate_limits: Option<String>,
    /// How the log looks [default: text]
    #[arg(long, env = "SKERRY_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or `tracing` directives such as `warn,skerry=debug`; of libraries
    /// warnings and errors at most [default: info]
    #[arg(long, env = "SKERRY_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// What to do [default: serve]
    #[command(subcommand)]
    #[serde(skip)]
    pub command: Option<Command>,
    /// A TOML file with the same options
    #[arg(long, env = "SKERRY_CONFIG", global = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// What to do instead of serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Looks at a server from outside, as other servers find it, and says what is wrong there and
    /// how to mend it
    Doctor {
        /// The server name, as in user IDs
        server: OwnedServerName,
    },
    /// Makes a new signing key for the server whose data is in the data directory, which may be
    /// running. It begins to sign some minutes later; the old one is published as such for ever
    RotateKey,
    /// Has a running server ask another one for the state of a room, and resolve it with its own by
    /// the rules of the room; says what differed and what has changed
    RefetchState {
        /// The room ID
        room: OwnedRoomId,
        /// The server that is asked
        #[arg(long)]
        from: OwnedServerName,
        /// Where the server is that is to have the state
        #[arg(long, default_value = "http://127.0.0.1:8008")]
        url: Url,
        /// The access token of an account that administers it
        #[arg(long, env = "SKERRY_ACCESS_TOKEN", hide_env_values = true)]
        access_token: String,
    },
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// Everybody.
    Open,
    /// Who has a token.
    Token,
    /// Nobody.
    Closed,
}

/// Who is told which users are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// Nobody.
    Off,
    /// Users of this server.
    Local,
    /// They and other servers.
    On,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A choice that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or has options that do not exist. The line is not shown: it may be that
    /// of the registration token.
    #[error("{}: line {line}: {cause}", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where, counted from one.
        line: usize,
        /// Why.
        cause: String,
    },
    /// A file with secrets in it is open to others.
    #[error("{} can be read by other users: chmod 600 {}", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// One of two options that belong together is missing.
    #[error("--tls-cert and --tls-key belong together")]
    HalfTls,
    /// A notary is none that a server can be.
    #[error("--notaries: {0}")]
    Notaries(#[from] IdParseError),
    /// These are no rate limits.
    #[error(transparent)]
    RateLimits(#[from] RateLimitsError),
    /// These are no proxies.
    #[error(transparent)]
    Proxies(#[from] ProxiesError),
    /// The registration token could be guessed.
    #[error(transparent)]
    RegistrationToken(#[from] RegistrationTokenTooShort),
}

impl Options {
    /// Takes what was not chosen otherwise from the file, if there is one.
    pub fn with_file(self) -> Result<Self, OptionsError> {
        let options = match self.config.clone() {
            Some(path) => {
                let file = Self::read(&path)?;
                if file.registration_token.is_some() {
                    refuse_exposed(&path)?;
                }
                self.or(file)
            }
            None => self,
        };
        if options.tls_cert.is_some() != options.tls_key.is_some() {
            return Err(OptionsError::HalfTls);
        }
        Ok(options)
    }

    fn read(path: &Path) -> Result<Self, OptionsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| OptionsError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|it| text.get(..it.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            // "invalid type: integer `12345`, expected a string"
            let cause = match error.message().rsplit_once(", expected ") {
                Some((found, expected)) if found.starts_with("invalid ") => {
                    format!("expected {expected}")
                }
                _ => error.message().to_owned(),
            };
            OptionsError::Parse { path: path.to_owned(), line, cause }
        })
    }

    fn or(self, other: Self) -> Self {
        Self {
            server_name: self.server_name.or(other.server_name),
            listen: self.listen.or(other.listen),
            data_dir: self.data_dir.or(other.data_dir),
            synchronous: self.synchronous.or(other.synchronous),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            registration: self.registration.or(other.registration),
            registration_token: self.registration_token.or(other.registration_token),
            public_base_url: self.public_base_url.or(other.public_base_url),
            dns_server: self.dns_server.or(other.dns_server),
            trusted_ca: self.trusted_ca.or(other.trusted_ca),
            private_servers: chosen(self.private_servers, other.private_servers),
            encryption_by_default: self.encryption_by_default.or(other.encryption_by_default),
            notaries: self.notaries.or(other.notaries),
            trusted_proxies: chosen(self.trusted_proxies, other.trusted_proxies),
            presence: self.presence.or(other.presence),
            limit_profile: self.limit_profile || other.limit_profile,
            rate_limits: self.rate_limits.or(other.rate_limits),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
            command: self.command,
            config: self.config,
        }
    }

    /// Where the data is kept.
    pub fn data_directory(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("skerry-data"))
    }

    /// The proxies whose word on where a request comes from is taken.
    pub fn proxies(&self) -> Result<Proxies, OptionsError> {
        Ok(Proxies::parse(self.trusted_proxies.iter().map(String::as_str))?)
    }

    /// The server's configuration, the same on every host.
    pub fn server_config(&self, name: &OwnedServerName) -> Result<Config, OptionsError> {
        let registration = match self.registration {
            Some(Who::Open) => Registration::Open,
            Some(Who::Token) => Registration::Token,
            Some(Who::Closed) => Registration::Closed,
            None => Registration::default_for(name),
        };
        let token = self.registration_token.as_deref();
        Ok(Config {
            registration,
            registration_token_hash: token.map(hash_registration_token).transpose()?,
            public_base_url: self.public_base_url.clone(),
            access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
            private_servers: self.private_servers.clone(),
            encryption_by_default: self.encryption_by_default.unwrap_or_default(),
            notaries: notaries(self.notaries.as_deref())?,
            presence: match self.presence {
                Some(Told::Off) => Presence::Off,
                Some(Told::Local) | None => Presence::Local,
                Some(Told::On) => Presence::On,
            },
            limit_profile: self.limit_profile,
            session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
            rate_limits: RateLimits::of(name, self.rate_limits.as_deref().unwrap_or_default())?,
        })
    }
}

/// The one that was chosen, else the other.
fn chosen(list: Vec<String>, other: Vec<String>) -> Vec<String> {
    if list.is_empty() { other } else { list }
}

/// Refuses a file with secrets that other users may read.
pub fn refuse_exposed(path: &Path) -> Result<(), OptionsError> {
    let metadata = std::fs::metadata(path)
        .map_err(|source| OptionsError::Read { path: path.to_owned(), source })?;
    match metadata.permissions().mode() & 0o007 {
        0 => Ok(()),
        _ => Err(OptionsError::Exposed(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skerry.toml");
        std::fs::write(&path, "server-name = \"a.example\"\nlisten = \"127.0.0.1:1\"\n").unwrap();
        let config = path.to_str().unwrap();
        let options =
            Options::parse_from(["skerry", "--listen", "127.0.0.1:2", "--config", config]);
        let options = options.with_file().unwrap();
        assert_eq!(options.listen.unwrap().port(), 2);
        assert_eq!(options.server_name.unwrap(), "a.example");
    }

    #[test]
    fn a_file_with_a_secret_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skerry.toml");
        std::fs::write(&path, "registration-token = \"swordfish\"\n").unwrap();
        for (mode, is_fine) in [(0o644, false), (0o640, true), (0o600, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let options = Options { config: Some(path.clone()), ..Options::default() };
            assert_eq!(options.with_file().is_ok(), is_fine, "{mode:o}");
        }
    }

    #[test]
    fn who_may_register_by_default() {
        let cases = [
            ("localhost", Registration::Open),
            ("localhost:8448", Registration::Open),
            ("example.org", Registration::Token),
            ("localhost.example.org", Registration::Token),
        ];
        for (name, expected) in cases {
            let config = Options::default().server_config(&name.try_into().unwrap()).unwrap();
            assert_eq!(config.registration, expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_at_the_start() {
        let name = "example.org".try_into().unwrap();
        let cases = [
            ["--registration-token", "swordfish"],
            ["--rate-limits", "mesages=off"],
            ["--rate-limits", "messages=often"],
        ];
        for [option, value] in cases {
            let options = Options::parse_from(["skerry", option, value]);
            options.server_config(&name).unwrap_err();
        }
        let options = Options::parse_from(["skerry", "--trusted-proxies", "10.0.0.0/8,proxy"]);
        options.proxies().unwrap_err();
        let fine = ["--registration-token", "correct horse battery"];
        let fine = Options::parse_from(["skerry"].into_iter().chain(fine));
        fine.server_config(&name).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_may_be_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skerry.toml");
        let cases = [
            ("\nlistne = \"127.0.0.1:1\"", "line 2: unknown field `listne`"),
            ("\n\nregistration-token = swordfish", "line 3: "),
            ("registration-token = \"swordfish", "line 1: "),
            ("registration-token = [\"swordfish\"]", "line 1: expected a string"),
            ("registration-token = 1234567890", "line 1: expected a string"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).unwrap();
            let options = Options { config: Some(path.clone()), ..Options::default() };
            let said = options.with_file().unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
            let secret = ["swordfish", "1234567890"].into_iter().find(|it| said.contains(it));
            assert_eq!(secret, None, "{text}: {said}");
        }
    }
}
