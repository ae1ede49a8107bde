//! Synapse, a homeserver that others have written: Skerry meets it as it meets any server of the
//! federation. `scripts/setup` installs it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::{
    Homeserver, authority,
    data_dir::DataDir,
    names::{Names, Place},
    ports,
    process::{Process, guarded, read_log, repository},
    relay::Relay,
};

/// How often it is started on other ports where another program has taken them meanwhile.
const ATTEMPTS: usize = 3;

/// A running Synapse and its data.
#[derive(Debug)]
pub struct Synapse {
    data: DataDir,
    process: Option<Process>,
    /// What its name leads to.
    place: Place,
    /// Where it asks for names, if not where the system does.
    resolv_conf: Option<PathBuf>,
    keys: Keys,
    /// The way of clients.
    clients: Relay,
    url: String,
    ports: Ports,
}

/// Where it listens: on other ports after each start, since another program may have taken those of
/// the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Ports {
    clients: u16,
    servers: u16,
}

/// Its signing key, in Synapse's form, and those that it had before.
#[derive(Debug)]
struct Keys {
    current: String,
    old: Value,
}

impl Default for Keys {
    fn default() -> Self {
        // Every server of a run has a name of its own, so its key may be the same each time.
        let current = "ed25519 a_test MTIzNDU2Nzg5MGFiY2RlZjEyMzQ1Njc4OTBhYmNkZWY";
        Self { current: current.to_owned(), old: json!({}) }
    }
}

impl Homeserver for Synapse {
    fn url(&self) -> &str {
        &self.url
    }

    fn name(&self) -> String {
        self.place.name.clone()
    }
}

impl Synapse {
    /// The one that all tests of this run share that do not stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Synapse> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one with fresh data and waits until it listens.
    pub fn start() -> Self {
        Self::start_at(Place::with_port("localhost"), None)
    }

    /// Starts one whose name is an address.
    pub fn start_at_address() -> Self {
        Self::start_at(Place::with_port("127.0.0.1"), None)
    }

    /// Starts one whose name is a name of the test's own, where the others of them are known.
    pub fn start_named(names: &mut Names, name: &str) -> Self {
        Self::start_at(names.take(name), Some(names.resolv_conf()))
    }

    fn start_at(place: Place, resolv_conf: Option<PathBuf>) -> Self {
        let (data, clients) = (DataDir::new(), Relay::start());
        let hosts: Vec<_> = place.hosts.iter().map(String::as_str).collect();
        authority::of_suite().write_certificate(&hosts, data.path());
        let url = format!("http://127.0.0.1:{}", clients.port());
        let (process, keys, ports) = (None, Keys::default(), Ports::default());
        let mut synapse = Self { data, process, place, resolv_conf, keys, clients, url, ports };
        synapse.run();
        synapse
    }

    /// Starts the program and lets everybody in.
    fn run(&mut self) {
        let (data, resolv_conf) = (self.data.path(), self.resolv_conf.as_deref());
        let attempts = std::iter::repeat_with(|| {
            let ports = Ports { clients: ports::free(), servers: ports::free() };
            configure(data, &self.place.name, &self.keys, ports);
            run(data, resolv_conf, ports).map(|it| (it, ports))
        });
        let Some((process, ports)) = attempts.take(ATTEMPTS).flatten().next() else {
            panic!("Synapse did not start: {}", self.log());
        };
        (self.process, self.ports) = (Some(process), ports);
        self.clients.lead(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.clients))));
        self.mend();
    }

    /// No other server reaches it any more.
    pub fn cut(&self) {
        self.place.lead(None);
    }

    /// Other servers reach it again.
    pub fn mend(&self) {
        self.place.lead(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.servers))));
    }

    /// Stops it at once.
    pub fn kill(&mut self) {
        self.cut();
        self.clients.lead(None);
        self.process = None;
    }

    /// Starts it again on the same data, after [`Synapse::kill`] or instead of it.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Starts it again with another signing key. The old one is the given public key, in base64, of
    /// which it says from now on that it is good for what was signed before.
    pub fn restart_with_another_key(&mut self, old: &Value, expired_ms: u64) {
        "ed25519 a_new YWJjZGVmMTIzNDU2Nzg5MGFiY2RlZjEyMzQ1Njc4OTA"
            .clone_into(&mut self.keys.current);
        self.keys.old = json!({ "ed25519:a_test": { "key": old, "expired_ts": expired_ms } });
        self.restart();
    }

    /// What it has logged, over all its starts.
    pub fn log(&self) -> String {
        read_log(&log(self.data.path()))
    }
}

fn log(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// Starts it, and waits until it listens: nothing, where it ends instead.
fn run(data: &Path, resolv_conf: Option<&Path>, ports: Ports) -> Option<Process> {
    let python = std::env::var_os("SYNAPSE_PYTHON")
        .map_or_else(|| repository().join(".tools/synapse/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: scripts/setup installs it", python.display());
    let mut command = guarded(&python, resolv_conf);
    // Isolated: whatever lies in the current directory is none of its modules.
    command.args(["-I", "-m", "synapse.app.homeserver", "--config-path"]);
    command.arg(data.join("homeserver.yaml"));
    let mut process = Process::start(command, &log(data));
    let listening = format!("Synapse now listening on TCP port {}", ports.servers);
    process.line(|it| it.contains(&listening)).map(|_| process)
}

/// Writes what it is to do. JSON is YAML too.
fn configure(data: &Path, name: &str, keys: &Keys, ports: Ports) {
    let mut config = json!({
        "server_name": name,
        "listeners": listeners(ports),
        "database": { "name": "sqlite3", "args": { "database": data.join("homeserver.db") } },
        "log_config": data.join("log.yaml"),
        "media_store_path": data.join("media"),
        "signing_key": keys.current,
        "old_signing_keys": keys.old,
        // Where its name leads to port 443, it says so.
        "serve_server_wellknown": true,
        "macaroon_secret_key": "a secret of the tests",
        "form_secret": "a secret of the tests",
        "report_stats": false,
        // The fewest that there can be: a password of the tests is no secret.
        "bcrypt_rounds": 4,
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "allow_public_rooms_over_federation": true,
        "room_list_publication_rules": [{ "action": "allow" }],
        "tls_certificate_path": data.join("cert.pem"),
        "tls_private_key_path": data.join("key.pem"),
        "federation_custom_ca_list": [authority::trusted_ca()],
        "federation_ip_range_blacklist": [],
        "ip_range_blacklist": [],
        "trusted_key_servers": [],
        // A sync that is asked for again is answered anew.
        "caches": { "sync_response_cache_duration": 0 },
        "suppress_key_server_warning": true,
        // A server that does not answer is soon believed to be away, and soon asked again: all
        // times are milliseconds.
        "federation": {
            "destination_min_retry_interval": 100,
            "destination_max_retry_interval": 1_000,
            "max_long_retries": 1,
            "max_long_retry_delay": 200,
            "max_short_retry_delay": 200,
        },
    });
    let limits = rate_limits();
    config.as_object_mut().expect("an object").extend(limits);
    write(&data.join("homeserver.yaml"), &config);
    let console = json!({ "class": "logging.StreamHandler", "stream": "ext://sys.stdout" });
    let root = json!({ "level": "INFO", "handlers": ["console"] });
    let logging = json!({ "version": 1, "handlers": { "console": console }, "root": root,
        "disable_existing_loggers": false });
    write(&data.join("log.yaml"), &logging);
}

/// The one for servers begins to listen last.
fn listeners(ports: Ports) -> Value {
    let address = ["127.0.0.1"];
    json!([
        { "type": "http", "port": ports.clients, "bind_addresses": address, "tls": false,
          "resources": [{ "names": ["client", "keys"] }] },
        { "type": "http", "port": ports.servers, "bind_addresses": address, "tls": true,
          "resources": [{ "names": ["client", "federation"] }] },
    ])
}

/// Tests ask as often as they like.
fn rate_limits() -> serde_json::Map<String, Value> {
    let much = json!({ "per_second": 100_000, "burst_count": 100_000 });
    let each = |names: &[&str]| -> Value { names.iter().map(|it| (*it, much.clone())).collect() };
    let limits = json!({
        "rc_message": much,
        "rc_registration": much,
        "rc_login": each(&["address", "account", "failed_attempts"]),
        "rc_joins": each(&["local", "remote"]),
        "rc_joins_per_room": much,
        "rc_invites": each(&["per_room", "per_user", "per_issuer"]),
        "rc_room_creation": much,
        "rc_presence": each(&["per_user"]),
        "rc_profile": much,
        "rc_federation": {
            "window_size": 1_000, "sleep_limit": 100_000, "sleep_delay": 1,
            "reject_limit": 100_000, "concurrent": 100,
        },
    });
    limits.as_object().cloned().expect("an object")
}

fn write(path: &Path, json: &Value) {
    fs::write(path, json.to_string()).expect("it can be written");
}
