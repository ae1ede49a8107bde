//! Skerry as other servers know it: at its own name, with TLS, through a network that can be cut.

use std::net::SocketAddr;

use crate::{
    Homeserver, Host, Options, Server, authority,
    data_dir::DataDir,
    names::{Names, Place},
    relay::Relay,
};

/// A running server whose name is where it listens.
#[derive(Debug)]
pub struct Federated {
    server: Server,
    /// What its name leads to.
    place: Place,
    /// The way of the suite's clients, who speak no TLS.
    clients: Relay,
    clients_url: String,
    _certificate: DataDir,
}

impl Homeserver for Federated {
    fn url(&self) -> &str {
        &self.clients_url
    }

    fn name(&self) -> String {
        self.server.name()
    }
}

impl Federated {
    /// Starts a server with fresh data and waits until it listens.
    pub fn start(host: Host) -> Self {
        Self::start_with(host, Options::default())
    }

    /// The same with options, of which name and certificate are its own.
    pub fn start_with(host: Host, options: Options) -> Self {
        Self::start_at(host, Place::with_port("localhost"), options)
    }

    /// Starts one whose name is a name of the test's own, where the others of them are known.
    pub fn start_named(host: Host, names: &mut Names, name: &str) -> Self {
        let place = names.take(name);
        let options = names.options(host, &place);
        Self::start_at(host, place, options)
    }

    fn start_at(host: Host, place: Place, options: Options) -> Self {
        let authority = authority::of_suite();
        let clients = Relay::to_tls(authority.connector());
        let directory = DataDir::new();
        // The suite's clients go to `localhost`.
        let hosts: Vec<_> = place.hosts.iter().map(String::as_str).chain(["localhost"]).collect();
        let options = Options {
            server_name: place.name.clone(),
            certificate: Some(authority.write_certificate(&hosts, directory.path())),
            ..options
        };
        let clients_url = format!("http://127.0.0.1:{}", clients.port());
        let server = Server::start(host, options);
        let started = Self { server, place, clients, clients_url, _certificate: directory };
        started.lead();
        started
    }

    /// Lets everybody in.
    fn lead(&self) {
        self.clients.lead(Some(self.address()));
        self.place.lead(Some(self.address()));
    }

    fn address(&self) -> SocketAddr {
        let address = self.server.url().trim_start_matches("https://");
        address.parse().expect("an address and a port")
    }

    /// The process that was started; the server itself may be one below it.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// No other server reaches it any more.
    pub fn cut(&self) {
        self.place.lead(None);
    }

    /// Other servers reach it again.
    pub fn mend(&self) {
        self.place.lead(Some(self.address()));
    }

    /// Stops it at once.
    pub fn kill(&mut self) {
        self.place.lead(None);
        self.clients.lead(None);
        self.server.kill();
    }

    /// Starts it again on the same data, after [`Federated::kill`] or instead of it.
    pub fn restart(&mut self) {
        self.kill();
        self.server.restart();
        self.lead();
    }

    /// The server as one that is told what to do on its machine.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Ends a server that others may still name, and leaves its log to the search for secrets.
    pub(crate) fn end(&self) {
        self.server.end();
    }
}
