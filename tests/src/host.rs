//! Starting and stopping a server under test: the native binary or the Worker in workerd.
//!
//! A server must die with the test process however that ends, so its life hangs on the read end of
//! a pipe: when the process is gone, the pipe closes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use crate::{authority, data_dir::DataDir, secrets};

/// A cold start may have to compile Wasm beside other tests; a broken one is reported at once.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// Runs a program in the background and kills it without mercy when standard input closes. Plain
/// `sh`, because the program itself knows nothing of tests.
const GUARD: &str = r#""$@" & child=$!; cat >/dev/null; kill -9 $child 2>/dev/null; wait"#;

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
    /// How often what may be asked. Tests do it as often as they like, unless that is the test.
    pub rate_limits: String,
    /// Proxies that say where requests come from; the Worker believes whoever asks it here.
    pub trusted_proxies: Vec<String>,
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
            private_servers: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            notaries: Vec::new(),
            worker_build: "worker/build-test".into(),
            is_counted: false,
            isolates: 1,
            rate_limits: "off".to_owned(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// A running server and its data.
#[derive(Debug)]
pub struct Server {
    host: Host,
    options: Options,
    data: DataDir,
    process: Option<Process>,
}

impl Server {
    /// Starts a server with fresh data and waits until it listens.
    pub fn start(host: Host, options: Options) -> Self {
        let data = DataDir::new();
        options.registration_token.as_deref().into_iter().for_each(secrets::note_secret);
        let process = Some(Process::start(host, &options, data.path()));
        Self { host, options, data, process }
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
        let process = self.process.as_mut().expect("a running server");
        process.line(|it| it.contains(text)).expect("a line of the log")
    }

    /// Stops the server at once: the native one by `kill -9`, the Worker by ending its host.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same data, after [`Server::kill`] or instead of it.
    pub fn restart(&mut self) {
        self.kill();
        self.process = Some(Process::start(self.host, &self.options, self.data.path()));
    }

    /// Makes a Durable Object leave memory as if it had been idle: what it holds in memory is lost,
    /// its storage and its sleeping sockets stay. Only the Worker's host knows how.
    pub fn evict(&mut self, class: &str, name: &str) {
        assert!(self.evict_if_awake(class, name), "{class} {name} was not in memory");
    }

    /// The same for an object that may have left memory by itself: `false` when it had.
    pub fn evict_if_awake(&mut self, class: &str, name: &str) -> bool {
        let process = self.process.as_mut().expect("a running server");
        let stdin = process.stdin.get_mut().expect("nobody panicked while writing");
        let stdin = stdin.as_mut().expect("standard input");
        writeln!(stdin, "evict {class} {name}").expect("the host listens");
        let answer =
            process.line(|it| it.starts_with("evicted ") || it.starts_with("not evicted "));
        answer.expect("an answer") == format!("evicted {class} {name}")
    }

    /// The process that was started; the server itself may be one below it.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").child.id()
    }

    /// Ends a server that others may still name, as [`Server::kill`] does, and leaves its log to
    /// the search for secrets.
    pub fn end(&self) {
        if let Some(process) = &self.process {
            process.end();
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

/// A log; of one that cannot be read, nothing.
fn read_log(path: &Path) -> String {
    fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdin: Mutex<Option<ChildStdin>>,
    /// The lines on standard output.
    lines: Mutex<mpsc::Receiver<String>>,
    urls: Vec<String>,
}

impl Process {
    fn start(host: Host, options: &Options, data: &Path) -> Self {
        let mut command = match host {
            Host::Native => native_command(options, data),
            Host::Worker => worker_command(options, data),
        };
        let log = data.with_extension("log");
        let stderr = fs::File::options().create(true).append(true).open(&log).expect("a log file");
        let copy = stderr.try_clone().expect("a log file");
        command.current_dir(repository()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(stderr).spawn().expect("the server can be spawned");
        let stdin = Mutex::new(child.stdin.take());
        let stdout = BufReader::new(child.stdout.take().expect("standard output"));
        let lines = Mutex::new(lines(stdout, copy));
        let mut process = Self { child, stdin, lines, urls: Vec::new() };
        let Some(line) = process.line(|it| it.contains(LISTENING)) else {
            drop(process);
            panic!("{host:?} did not start: {command:?}\n{}", read_log(&log));
        };
        process.urls = addresses(&line);
        process
    }

    /// The next of these lines; those before it are passed over.
    fn line(&mut self, is_meant: impl Fn(&str) -> bool) -> Option<String> {
        let lines = self.lines.get_mut().expect("nobody panicked while listening");
        std::iter::from_fn(|| lines.recv_timeout(START_TIMEOUT).ok()).find(|it| is_meant(it))
    }
}

impl Process {
    /// Ends it, and waits until all that it has printed is in the log.
    fn end(&self) {
        drop(self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.recv_timeout(START_TIMEOUT).is_ok() {}
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if let Err(error) = self.child.wait() {
            eprintln!("the server did not end: {error}");
        }
    }
}

/// As much as an operator can have logged, of libraries too.
const MOST_TALKATIVE: &str = "trace,skerry=trace";

fn native_command(options: &Options, data: &Path) -> Command {
    let binary = std::env::var_os("SKERRY_BIN")
        .map_or_else(|| repository().join("target/debug/skerry"), PathBuf::from);
    assert!(binary.exists(), "{} is missing: scripts/test builds it", binary.display());
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(binary).arg("--data-dir").arg(data);
    command.args(["--listen", "127.0.0.1:0", "--server-name", &options.server_name]);
    command.args(["--registration", &options.registration]);
    command.args(["--log-level", MOST_TALKATIVE]);
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
    for proxy in &options.trusted_proxies {
        command.args(["--trusted-proxies", proxy]);
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
    let mut command = Command::new("node");
    command.args(["scripts/worker-host.mjs", "--port", "0", "--dir"]).arg(data);
    command.arg("--build").arg(&options.worker_build);
    if options.is_counted {
        command.arg("--count");
    }
    command.args(["--isolates", &options.isolates.to_string()]);
    command.args(variable("SERVER_NAME", &options.server_name));
    command.args(variable("REGISTRATION", &options.registration));
    command.args(variable("RATE_LIMITS", &options.rate_limits));
    command.args(variable("NOTARIES", &notaries(options)));
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

/// Reads standard output to its end, so that the server never blocks on it. Its lines are also
/// written to the log: the Worker's host has its log there.
fn lines(
    stdout: BufReader<impl std::io::Read + Send + 'static>,
    mut log: fs::File,
) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            writeln!(log, "{line}").expect("a log file");
            // Nobody listens any more when the time is over; the output is still drained.
            sender.send(line).unwrap_or_default();
        }
    });
    lines
}

const LISTENING: &str = "listening on http://";

/// The addresses in a line that says where the server listens.
fn addresses(line: &str) -> Vec<String> {
    let parts = line.split("http://").skip(1);
    let addresses = parts.map(|part| {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && !".:-[]".contains(c));
        format!("http://{}", &part[..end.unwrap_or(part.len())])
    });
    addresses.collect()
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent")
}
