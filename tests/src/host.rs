//! Starting and stopping a server under test: the native binary or the Worker in workerd.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    authority,
    data_dir::DataDir,
    process::{Process, guarded, read_log, repository, seeing},
    secrets,
};

/// Where the same code can be hosted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The binary `skerry`.
    Native,
    /// The Worker in workerd.
    Worker,
}

impl Host {
    /// Whether `SKERRY_HOSTS` (a comma-separated list, both by default) asks for this host.
    pub fn selected(self) -> bool {
        let name = match self {
            Self::Native => "native",
            Self::Worker => "worker",
        };
        match std::env::var("SKERRY_HOSTS") {
            Ok(hosts) => hosts.split(',').any(|it| it.trim() == name),
            Err(_) => true,
        }
    }
}

/// A server that has users.
pub trait Homeserver {
    /// `http://127.0.0.1:port`, for clients.
    fn url(&self) -> &str;

    /// The server name.
    fn name(&self) -> String;
}

impl Homeserver for Server {
    fn url(&self) -> &str {
        &self.urls()[0]
    }

    fn name(&self) -> String {
        self.options.server_name.clone()
    }
}

impl<T: Homeserver> Homeserver for &T {
    fn url(&self) -> &str {
        (*self).url()
    }

    fn name(&self) -> String {
        (*self).name()
    }
}

/// How a private server differs from the shared one.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server name.
    pub server_name: String,
    /// `open`, `token` or `closed`.
    pub registration: String,
    /// The registration token, when there is one.
    pub registration_token: Option<String>,
    /// The address that clients are told to use, when it is known.
    pub public_base_url: Option<String>,
    /// Certificate authorities (PEM) that are trusted beside the usual ones.
    pub trusted_ca: Option<PathBuf>,
    /// Where names are asked for: a name server for the native host, a URL for the Worker.
    pub name_server: Option<String>,
    /// The file that takes the place of the system's, in which name servers are named.
    pub resolv_conf: Option<PathBuf>,
    /// The hosts of servers that may have private addresses.
    pub private_servers: Vec<String>,
    /// Servers that are believed of the keys of others.
    pub notaries: Vec<String>,
    /// Where the built Worker is, from the repository's root.
    pub worker_build: PathBuf,
    /// Whether the Worker's host counts what the platform would bill.
    pub is_counted: bool,
    /// Isolates that answer requests to the Worker.
    pub isolates: usize,
    /// Who is told who is there: nobody, unless that is the test.
    pub presence: String,
    /// Which new rooms are encrypted unless whoever makes them says how; none: it is not said.
    pub encryption_by_default: Option<String>,
    /// Whether profiles are shown to those alone who share a room with their user.
    pub limit_profile: bool,
    /// How often what may be asked. Tests do it as often as they like, unless that is the test.
    pub rate_limits: String,
    /// Proxies that say where requests come from; the Worker believes whoever asks it here.
    pub trusted_proxies: Vec<String>,
    /// Certificate and key (PEM), with which it speaks TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The native server's program, where it is not the one that `scripts/test` builds.
    pub binary: Option<PathBuf>,
    /// How much the native server logs: as much as it can, unless its speed is measured.
    pub log_level: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server_name: "localhost".to_owned(),
            registration: "open".to_owned(),
            registration_token: None,
            public_base_url: None,
            trusted_ca: Some(authority::trusted_ca()),
            name_server: None,
            resolv_conf: None,
            private_servers: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            notaries: Vec::new(),
            worker_build: "worker/build-test".into(),
            is_counted: false,
            isolates: 1,
            presence: "off".to_owned(),
            encryption_by_default: None,
            limit_profile: false,
            rate_limits: "off".to_owned(),
            trusted_proxies: Vec::new(),
            certificate: None,
            binary: None,
            log_level: MOST_TALKATIVE.to_owned(),
        }
    }
}

/// A running server and its data.
#[derive(Debug)]
pub struct Server {
    host: Host,
    options: Options,
    data: DataDir,
    process: Option<Running>,
}

/// The process of a server, and where it listens.
#[derive(Debug)]
struct Running {
    process: Process,
    urls: Vec<String>,
}

impl Server {
    /// Starts a server with fresh data and waits until it listens.
    pub fn start(host: Host, options: Options) -> Self {
        let data = DataDir::new();
        options.registration_token.as_deref().into_iter().for_each(secrets::note_secret);
        let process = Some(Running::start(host, &options, data.path()));
        Self { host, options, data, process }
    }

    /// Runs a command of the native program on this server's data, beside the server. The answer is
    /// whether it succeeded, and what it has printed.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        self.command_with(arguments, &[])
    }

    /// The same with more variables in its environment.
    pub fn command_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> (bool, String) {
        let mut command = Command::new(native_binary());
        command.args(arguments).env("SKERRY_DATA_DIR", self.data()).stdin(Stdio::null());
        command.envs(env.iter().copied());
        let output = command.output().expect("the program runs");
        let printed =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), printed.into_owned())
    }

    /// The server name.
    pub fn name(&self) -> String {
        self.options.server_name.clone()
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> &str {
        &self.urls()[0]
    }

    /// The address of each isolate.
    pub fn urls(&self) -> &[String] {
        &self.process.as_ref().expect("a running server").urls
    }

    /// What the server has printed and logged, over all its starts.
    pub fn log(&self) -> String {
        read_log(&self.data.path().with_extension("log"))
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Waits for the next line on standard output that contains this text.
    pub fn line(&mut self, text: &str) -> String {
        let running = self.process.as_mut().expect("a running server");
        running.process.line(|it| it.contains(text)).expect("a line of the log")
    }

    /// Stops the server at once: the native one by `kill -9`, the Worker by ending its host.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same data, after [`Server::kill`] or instead of it.
    pub fn restart(&mut self) {
        self.kill();
        self.process = Some(Running::start(self.host, &self.options, self.data.path()));
    }

    /// Makes a Durable Object leave memory as if it had been idle: what it holds in memory is lost,
    /// its storage and its sleeping sockets stay. Only the Worker's host knows how.
    pub fn evict(&mut self, class: &str, name: &str) {
        assert!(self.evict_if_awake(class, name), "{class} {name} was not in memory");
    }

    /// The same for an object that may have left memory by itself: `false` when it had.
    pub fn evict_if_awake(&mut self, class: &str, name: &str) -> bool {
        let process = &mut self.process.as_mut().expect("a running server").process;
        process.say(&format!("evict {class} {name}"));
        let answer =
            process.line(|it| it.starts_with("evicted ") || it.starts_with("not evicted "));
        answer.expect("an answer") == format!("evicted {class} {name}")
    }

    /// Carries out a statement in the Worker's global store, as `wrangler d1 execute` does.
    pub fn execute(&mut self, statement: &str) {
        let process = &mut self.process.as_mut().expect("a running server").process;
        process.say(&format!("sql {statement}"));
        let is_answer = |it: &str| it.starts_with("executed") || it.starts_with("not executed");
        let answer = process.line(is_answer).expect("an answer");
        assert_eq!(answer, "executed: 1 rows");
    }

    /// The process that was started; the server itself may be one below it.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").process.id()
    }

    /// Ends a server that others may still name, as [`Server::kill`] does, and leaves its log to
    /// the search for secrets.
    pub fn end(&self) {
        if let Some(running) = &self.process {
            running.process.end();
        }
        self.keep_log("shared by the tests");
    }

    fn keep_log(&self, whose: &str) {
        secrets::keep_log(&format!("{:?}, {whose}", self.host), self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        self.keep_log(std::thread::current().name().unwrap_or_default());
    }
}

impl Running {
    fn start(host: Host, options: &Options, data: &Path) -> Self {
        let command = match host {
            Host::Native => native_command(options, data),
            Host::Worker => worker_command(options, data),
        };
        let asked = format!("{command:?}");
        let log = data.with_extension("log");
        let mut process = Process::start(command, &log);
        let Some(line) = process.line(|it| it.contains(LISTENING)) else {
            drop(process);
            panic!("{host:?} did not start: {asked}\n{}", read_log(&log));
        };
        Self { process, urls: addresses(&line) }
    }
}

/// As much as an operator can have logged, of libraries too.
const MOST_TALKATIVE: &str = "trace,skerry=trace";

/// The native server's program.
fn native_binary() -> PathBuf {
    let binary = std::env::var_os("SKERRY_BIN")
        .map_or_else(|| repository().join("target/debug/skerry"), PathBuf::from);
    assert!(binary.exists(), "{} is missing: scripts/test builds it", binary.display());
    binary
}

fn native_command(options: &Options, data: &Path) -> Command {
    let binary = options.binary.clone().unwrap_or_else(native_binary);
    let mut command = guarded(&binary, options.resolv_conf.as_deref());
    command.arg("--data-dir").arg(data);
    command.args(["--listen", "127.0.0.1:0", "--server-name", &options.server_name]);
    command.args(["--registration", &options.registration]);
    command.args(["--log-level", &options.log_level]);
    if let Some(token) = &options.registration_token {
        command.args(["--registration-token", token]);
    }
    if let Some(url) = &options.public_base_url {
        command.args(["--public-base-url", url]);
    }
    if let Some(path) = &options.trusted_ca {
        command.arg("--trusted-ca").arg(path);
    }
    if let Some(address) = &options.name_server {
        command.args(["--dns-server", address]);
    }
    for host in &options.private_servers {
        command.args(["--private-servers", host]);
    }
    command.args(["--notaries", &notaries(options)]);
    command.args(["--rate-limits", &options.rate_limits]);
    command.args(["--presence", &options.presence]);
    if options.limit_profile {
        command.arg("--limit-profile");
    }
    if let Some(which) = &options.encryption_by_default {
        command.args(["--encryption-by-default", which]);
    }
    for proxy in &options.trusted_proxies {
        command.args(["--trusted-proxies", proxy]);
    }
    if let Some((certificate, key)) = &options.certificate {
        command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
    }
    command
}

fn notaries(options: &Options) -> String {
    match options.notaries.is_empty() {
        true => "none".to_owned(),
        false => options.notaries.join(","),
    }
}

fn worker_command(options: &Options, data: &Path) -> Command {
    let variable = |name: &str, value: &str| ["--var".to_owned(), format!("{name}={value}")];
    let mut command = seeing(Path::new("node"), options.resolv_conf.as_deref());
    command.args(["scripts/worker-host.mjs", "--port", "0", "--dir"]).arg(data);
    command.arg("--build").arg(&options.worker_build);
    if let Some((certificate, key)) = &options.certificate {
        command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
    }
    if options.is_counted {
        command.arg("--count");
    }
    command.args(["--isolates", &options.isolates.to_string()]);
    command.args(variable("SERVER_NAME", &options.server_name));
    command.args(variable("REGISTRATION", &options.registration));
    command.args(variable("RATE_LIMITS", &options.rate_limits));
    command.args(variable("PRESENCE", &options.presence));
    command.args(variable("LIMIT_PROFILE", &options.limit_profile.to_string()));
    command.args(variable("NOTARIES", &notaries(options)));
    if let Some(which) = &options.encryption_by_default {
        command.args(variable("ENCRYPTION_BY_DEFAULT", which));
    }
    if let Some(token) = &options.registration_token {
        command.args(variable("REGISTRATION_TOKEN", token));
    }
    if let Some(url) = &options.public_base_url {
        command.args(variable("PUBLIC_BASE_URL", url));
    }
    if let Some(path) = &options.trusted_ca {
        command.env("NODE_EXTRA_CA_CERTS", path);
    }
    if let Some(url) = &options.name_server {
        command.args(variable("DNS_OVER_HTTPS", url));
    }
    if !options.private_servers.is_empty() {
        command.args(variable("PRIVATE_SERVERS", &options.private_servers.join(",")));
    }
    command
}

const LISTENING: &str = "listening on http";

/// The addresses in a line that says where the server listens.
fn addresses(line: &str) -> Vec<String> {
    let addresses = line.match_indices("http").map(|(at, _)| {
        let rest = &line[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/.:-[]".contains(c));
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    addresses.collect()
}
