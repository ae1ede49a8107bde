//! A server's life: start, serve, stop.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::Extension;
use ruma::OwnedServerName;
use rustix::process::{Resource, getrlimit, setrlimit};
use skerry::{
    Error, Result,
    api::{self, Cx},
    bootstrap::{FirstToken, FirstTokenOutcome, RELOAD_KEYS_MS, bootstrap, reload_keys},
    limiters::OneProcess,
    objects::absent_rooms::WithAbsentRooms,
    ports::{self, Dns, Ports, Sql},
    server::{Registration, Server},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tower::Layer as _;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    dns::NameServers,
    http::NativeHttp,
    machine::{SystemClock, SystemRandom},
    options::{LogFormat, Options},
    registry::{LocalObjects, Registry},
    serve::{Http, Limits},
    sqlite::{FILE_NAME, Sqlite},
    store, tls,
};

/// The crates of this server, by what they call themselves in the log.
const OWN: [&str; 3] = ["skerry", "skerry_core", "skerry_local"];
/// How long requests may take to finish when the server stops.
const REQUEST_GRACE: Duration = Duration::from_secs(10);
/// How long the objects may then take for work they put off.
const OBJECT_GRACE: Duration = Duration::from_secs(10);

/// Sends the log to standard error: standard output is for the operator's three lines.
pub fn start_log(options: &Options) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let level = options.log_level.as_deref().unwrap_or("info");
    let directives = match level.parse::<LevelFilter>() {
        Ok(level) => OWN.map(|it| format!("{it}={level}")).join(",") + ",warn",
        Err(_) => level.to_owned(),
    };
    // Whatever is asked for: libraries tell what passes through them, and that is what users write.
    let is_own = |target: &str| OWN.contains(&target.split("::").next().unwrap_or_default());
    let discreet = filter_fn(move |it| is_own(it.target()) || *it.level() <= Level::WARN);
    let filter = EnvFilter::try_new(directives)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match options.log_format.unwrap_or_default() {
        LogFormat::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            log.with_ansi(is_terminal).finish().with(discreet).try_init()?;
        }
        LogFormat::Json => log.json().finish().with(discreet).try_init()?,
    }
    Ok(())
}

/// Serves until the process is asked to stop.
pub async fn run(options: Options) -> Result<()> {
    let stop = stop_signal()?;
    let open_files = raise_file_limit();
    let name = server_name(&options)?;
    let data_dir = options.data_directory();
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let sqlite =
        Arc::new(Sqlite::open_with(&data_dir, options.synchronous.unwrap_or_default()).await?);
    store::migrate(&*sqlite).await?;
    let clock = Arc::new(SystemClock);
    let config = options.server_config(&name).map_err(Error::internal)?;
    let proxies = Arc::new(options.proxies().map_err(Error::internal)?);
    let first_token = FirstToken::EachStart;
    let (server, first_token) =
        bootstrap(&*sqlite, &*clock, &SystemRandom, name.clone(), config, first_token).await?;
    let server = Arc::new(server);
    let dns: Arc<dyn Dns> = Arc::new(NameServers::new(options.dns_server)?);
    let http = Arc::new(NativeHttp::new(&dns, options.trusted_ca.as_deref())?);
    let registry = Registry::new(
        sqlite.clone(),
        clock.clone(),
        Arc::new(SystemRandom),
        http.clone(),
        dns.clone(),
        server.clone(),
    )
    .await?;
    let ports = ports(&registry, sqlite.clone(), http, dns);

    let address = options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8008)));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Error::internal(format!("cannot listen on {address}: {error}")))?;
    let url = base_url(&listener, tls.is_some())?;
    welcome(&url, &name, server.config.registration, &first_token, &data_dir)?;

    let own = server.clone();
    let router = Extension(Cx { ports, server, peers: Arc::default() }).layer(api::router());
    let is_exempt = proxies.clone();
    let limits = Limits {
        exempt: Arc::new(move |it| it.is_loopback() || is_exempt.trust(it)),
        ..Limits::within(open_files)
    };
    let http = Http::new(listener, tls, router, limits).behind(proxies);
    let serving = http.serve(stop.clone(), REQUEST_GRACE);
    let releasing = async {
        stop.cancelled().await;
        tracing::info!("stopping");
        registry.release_waiters();
    };
    let renewing = renew_keys(&*sqlite, &own);
    tokio::select! {
        _ = async { tokio::join!(serving, releasing) } => {}
        error = sqlite.failed() => return Err(error),
        () = renewing => {}
        error = registry.failed() => return Err(error),
    }
    registry.stop(OBJECT_GRACE).await;
    sqlite.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// What the API stands on.
fn ports(
    registry: &Arc<Registry>,
    global: Arc<dyn Sql>,
    http: Arc<dyn ports::Http>,
    dns: Arc<dyn Dns>,
) -> Ports {
    let clock = Arc::new(SystemClock);
    let objects = LocalObjects(registry.clone());
    let objects = WithAbsentRooms::new(objects, Arc::default(), clock.clone());
    Ports {
        global,
        sessions: registry.sessions(),
        filters: Arc::default(),
        keys: Arc::default(),
        objects: Arc::new(objects),
        limiter: Arc::new(OneProcess::new(registry.limits(), clock.clone())),
        clock,
        random: Arc::new(SystemRandom),
        http,
        dns,
    }
}

/// Reads the signing keys again from time to time: another process may have made one.
async fn renew_keys(global: &dyn Sql, server: &Server) {
    loop {
        tokio::time::sleep(Duration::from_millis(RELOAD_KEYS_MS)).await;
        if let Err(error) = reload_keys(global, &SystemClock, server).await {
            tracing::warn!(%error, "the signing keys were not read again");
        }
    }
}

fn server_name(options: &Options) -> Result<OwnedServerName> {
    match &options.server_name {
        Some(name) => Ok(name.clone()),
        None => "localhost".try_into().map_err(Error::internal),
    }
}

/// Cancelled when the process is asked to stop. Asked twice, it stops at once, as it would have
/// without this.
fn stop_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked.is_cancelled() {
                std::process::exit(1);
            }
            asked.cancel();
        }
    });
    Ok(stop)
}

/// Every connection is an open file, and the usual limit of 1,024 is meant for other programs.
/// Says how many there may be.
fn raise_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX))
}

fn base_url(listener: &TcpListener, is_tls: bool) -> Result<String> {
    let address = listener.local_addr().map_err(Error::internal)?;
    let scheme = if is_tls { "https" } else { "http" };
    Ok(format!("{scheme}://{address}"))
}

/// Three lines: where it listens, what to do next, where the data is.
fn welcome(
    url: &str,
    name: &OwnedServerName,
    registration: Registration,
    first_token: &FirstTokenOutcome,
    data_dir: &Path,
) -> Result<()> {
    let next = match (first_token, registration) {
        (FirstTokenOutcome::Made(token), _) => format!(
            "register the first account, the admin, with this token, shown only once: {token}"
        ),
        (_, Registration::Open) => {
            "everybody may register: open a Matrix client, such as Element, with this homeserver"
                .to_owned()
        }
        (_, Registration::Token) => "who has a registration token may register".to_owned(),
        (_, Registration::Closed) => "nobody may register; accounts can log in".to_owned(),
    };
    let file = std::path::absolute(data_dir.join(FILE_NAME)).map_err(Error::internal)?;
    let mut out = io::stdout().lock();
    write!(out, "{name}: listening on {url}\n{next}\nthe data is in {}\n", file.display())
        .and_then(|()| out.flush())
        .map_err(Error::internal)
}
