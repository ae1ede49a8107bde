//! Names of servers without ports, for one test: each has an address of its own in 127.0.0.0/8, and
//! a name server knows them. Servers that are to know them too see that one as the system's, in a
//! mount namespace of their own.
//!
//! Only root may listen on the ports that the specification has for it, and make such a namespace.

use std::{
    fs,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::{Host, Options, data_dir::DataDir, relay::Relay, site::Site, unique, zone::Zone};

/// The port of a server whose name says none.
const PORT: u16 = 8448;
/// The port of DNS.
const DNS: u16 = 53;
/// How long its name server says that answers hold, in seconds.
const TTL_S: u32 = 60;

/// How other servers are led from a name without a port to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the port that is meant where none is said: step 6 of the specification.
    DefaultPort,
    /// By `.well-known`, to a host and a port: step 3.2.
    WellKnown,
    /// By a service in DNS: step 4.
    Service,
    /// By a service in DNS of the name that was used before: step 5.
    OldService,
}

/// Where a server is found.
#[derive(Debug)]
pub(crate) struct Place {
    /// The server name.
    pub(crate) name: String,
    /// The hosts that its certificate is for.
    pub(crate) hosts: Vec<String>,
    /// What it says in `.well-known` that it is reached at.
    pub(crate) base_url: Option<String>,
    links: Vec<Relay>,
}

impl Place {
    /// A place at a port of its own, which is part of the name.
    pub(crate) fn with_port(host: &str) -> Self {
        let link = Relay::start();
        let name = format!("{host}:{}", link.port());
        Self { name, hosts: vec![host.to_owned()], base_url: None, links: vec![link] }
    }

    /// Leads to that address, or nowhere.
    pub(crate) fn lead(&self, target: Option<SocketAddr>) {
        for link in &self.links {
            link.lead(target);
        }
    }
}

/// The names of a test. They end with it.
#[derive(Debug)]
pub struct Names {
    places: Vec<Place>,
    /// All servers, taken or not.
    servers: Vec<String>,
    resolv_conf: DataDir,
    /// The same names over HTTPS.
    site: Site,
    _stop: oneshot::Sender<()>,
}

impl Names {
    /// Makes names that begin so, and lead to servers so. Nothing where this process may not do
    /// what that takes: it says so on standard error, past what is captured of a test.
    pub fn start(routes: &[(&str, Route)]) -> Option<Self> {
        if let Err(reason) = allowed() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = writeln!(io::stderr(), "\nNOT TESTED: {test}: {reason}\n");
            return None;
        }
        let mut zone = Zone::default();
        let places: Vec<_> = routes.iter().map(|it| place(&mut zone, *it)).collect();
        let resolver = UdpSocket::bind((address(), DNS)).expect("the port of DNS");
        let named = resolver.local_addr().expect("an address").ip();
        let resolv_conf = DataDir::new();
        let text = format!("nameserver {named}\noptions timeout:2 attempts:3\n");
        fs::write(file(&resolv_conf), text).expect("it can be written");
        let stop = serve(zone.clone(), resolver);
        let servers = places.iter().map(|it| it.name.clone()).collect();
        Some(Self { places, servers, resolv_conf, site: Site::start(zone), _stop: stop })
    }

    /// The place whose name begins so.
    pub(crate) fn take(&mut self, name: &str) -> Place {
        let begins = |it: &Place| it.name.starts_with(name);
        let at = self.places.iter().position(begins).expect("a name that nobody has taken");
        self.places.remove(at)
    }

    /// What Skerry is told, that it knows the names.
    pub(crate) fn options(&self, host: Host, place: &Place) -> Options {
        Options {
            public_base_url: place.base_url.clone(),
            private_servers: self.servers.clone(),
            resolv_conf: Some(self.resolv_conf()),
            // Natively names are asked for as the system has it.
            name_server: (host == Host::Worker).then(|| self.site.names_url()),
            ..Options::default()
        }
    }

    /// What takes the place of the system's list of name servers.
    pub(crate) fn resolv_conf(&self) -> PathBuf {
        file(&self.resolv_conf)
    }
}

fn file(directory: &DataDir) -> PathBuf {
    directory.path().join("resolv.conf")
}

/// Whether this process may make what is needed, or why not.
fn allowed() -> Result<(), String> {
    let mut unshare = Command::new("unshare");
    let made = unshare.args(["--mount", "true"]).stderr(Stdio::null()).status();
    match made {
        Ok(status) if status.success() => {}
        Ok(_) => return Err("no mount namespace can be made: run it as root".to_owned()),
        Err(error) => return Err(format!("there is no unshare: {error}")),
    }
    let bound = UdpSocket::bind((address(), DNS));
    bound.map(drop).map_err(|error| format!("the port of DNS: {error}"))
}

/// An address that no other test of this machine has, as far as one can tell.
fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 63), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn listen(address: Ipv4Addr, port: u16) -> TcpListener {
    let listener = TcpListener::bind((address, port));
    let listener = listener.unwrap_or_else(|error| panic!("{address}:{port}: {error}"));
    listener.set_nonblocking(true).expect("a listener that does not block");
    listener
}

/// A place with a name of its own, which that zone leads to from now on.
fn place(zone: &mut Zone, (stem, route): (&str, Route)) -> Place {
    let (name, address) = (format!("{}.test", unique(stem)), address());
    let mut address_of = |host: &str| zone.address(host, TTL_S, &IpAddr::V4(address).to_string());
    let mut hosts = vec![name.clone()];
    let (mut ports, mut base_url) = (vec![PORT], None);
    match route {
        Route::DefaultPort => address_of(&name),
        Route::WellKnown => {
            let delegate = format!("matrix.{name}");
            address_of(&name);
            address_of(&delegate);
            base_url = Some(format!("https://{delegate}:{}", PORT + 1));
            hosts.push(delegate);
            ports = vec![443, PORT + 1];
        }
        Route::Service | Route::OldService => {
            let target = format!("host.{name}");
            address_of(&target);
            let service = if route == Route::Service { "_matrix-fed" } else { "_matrix" };
            zone.service(&format!("{service}._tcp.{name}"), TTL_S, (10, 5, PORT + 2), &target);
            ports = vec![PORT + 2];
        }
    }
    let links = ports.into_iter().map(|port| Relay::at(listen(address, port))).collect();
    Place { name, hosts, base_url, links }
}

/// Answers on that socket until the other end is dropped.
fn serve(zone: Zone, socket: UdpSocket) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    socket.set_nonblocking(true).expect("a socket that does not block");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            tokio::spawn(Arc::new(zone).serve(socket));
            let _ = stopped.await;
        });
    });
    stop
}
