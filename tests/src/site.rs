//! A site that is asked by the server under test: it answers, answers badly, or not at all. What
//! it does at which path is told in the conformance suite of the server's HTTP port.

pub(crate) mod serve;

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{authority::Authority, data_dir::DataDir, zone::Zone};

/// A name that the certificate of the site is for, and that no name server knows.
pub const NAME: &str = "federation.test";

/// A running site. It ends when it is dropped.
#[derive(Debug)]
pub struct Site {
    data: DataDir,
    plain: SocketAddr,
    secure: SocketAddr,
    untrusted: SocketAddr,
    closed: SocketAddr,
    names: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Site {
    /// Starts a site on ports of its own, with name servers for this zone.
    pub fn start(zone: Zone) -> Self {
        let data = DataDir::new();
        let known = Authority::new();
        let unknown = Authority::new();
        write(&data.path().join("ca.pem"), &known.pem());
        let (plain, secure, untrusted, closed) = (listen(), listen(), listen(), listen());
        let names = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        names.set_nonblocking(true).expect("a socket that does not block");
        let (stop, stopped) = oneshot::channel();
        let site = Self {
            data,
            plain: address(&plain),
            secure: address(&secure),
            untrusted: address(&untrusted),
            closed: address(&closed),
            names: names.local_addr().expect("an address"),
            _stop: stop,
        };
        // Nobody has listened on this one, so nothing keeps it busy.
        drop(closed);
        let zone = Arc::new(zone);
        let servers = [
            (plain, None),
            (secure, Some(known.acceptor(&["localhost", NAME]))),
            (untrusted, Some(unknown.acceptor(&["localhost", NAME]))),
        ];
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                for (listener, tls) in servers {
                    tokio::spawn(serve::serve(listener, tls, zone.clone()));
                }
                tokio::spawn(zone.serve(names));
                // It ends when the other end is dropped.
                let _ = stopped.await;
            });
        });
        site
    }

    /// The certificate authority of the site, as PEM.
    pub fn trusted_ca(&self) -> PathBuf {
        self.data.path().join("ca.pem")
    }

    /// The name server, which speaks DNS over UDP.
    pub fn name_server(&self) -> SocketAddr {
        self.names
    }

    /// The same names as JSON over HTTP.
    pub fn names_url(&self) -> String {
        format!("http://{}/dns-query", self.plain)
    }

    /// Where everything is, in the form that the conformance suite of the HTTP port wants.
    pub fn addresses(&self) -> Value {
        json!({
            "plain": format!("http://{}/", self.plain),
            "secure": format!("https://localhost:{}/", self.secure.port()),
            "name": NAME,
            "untrusted": format!("https://localhost:{}/", self.untrusted.port()),
            "closed": format!("https://localhost:{}/", self.closed.port()),
        })
    }
}

fn listen() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    listener
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

fn write(path: &Path, text: &str) {
    let mut file = fs::File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("it can be written");
}
