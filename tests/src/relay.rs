//! What hands connections on to a server: it keeps an address for a server that starts again
//! elsewhere, and it can be cut as a network can.

use std::net::{SocketAddr, TcpListener};

use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::TcpStream,
    sync::{oneshot, watch},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::ports;

/// A running relay. It ends when it is dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    target: watch::Sender<Option<SocketAddr>>,
    _stop: oneshot::Sender<()>,
}

impl Relay {
    /// A relay of bytes. It leads nowhere yet.
    pub(crate) fn start() -> Self {
        Self::start_with(ports::listen(), None)
    }

    /// The same, at an address of the test's own.
    pub(crate) fn at(listener: TcpListener) -> Self {
        Self::start_with(listener, None)
    }

    /// A relay for clients that speak no TLS to a server that speaks nothing else.
    pub(crate) fn to_tls(connector: TlsConnector) -> Self {
        Self::start_with(ports::listen(), Some(connector))
    }

    fn start_with(listener: TcpListener, tls: Option<TlsConnector>) -> Self {
        let port = ports::port(&listener);
        let (target, targets) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                tokio::spawn(relay(listener, tls, targets));
                // It ends when the other end is dropped.
                let _ = stopped.await;
            });
        });
        Self { port, target, _stop: stop }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Leads to that address, or nowhere. Connections that lead elsewhere end.
    pub(crate) fn lead(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }
}

/// Accepts connections for ever.
async fn relay(
    listener: TcpListener,
    tls: Option<TlsConnector>,
    targets: watch::Receiver<Option<SocketAddr>>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, mut targets) = (tls.clone(), targets.clone());
        let Some(target) = *targets.borrow_and_update() else { continue };
        tokio::spawn(async move {
            tokio::select! {
                () = connection(stream, target, tls) => {}
                _ = targets.changed() => {}
            }
        });
    }
}

/// Either end may go away at any moment: that is no failure of the relay.
async fn connection(mut stream: TcpStream, target: SocketAddr, tls: Option<TlsConnector>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    for end in [&stream, &server] {
        let _ = end.set_nodelay(true);
    }
    match tls {
        None => both_ways(&mut stream, server).await,
        Some(tls) => {
            let name = ServerName::try_from("localhost").expect("a name");
            if let Ok(server) = tls.connect(name, server).await {
                both_ways(&mut stream, server).await;
            }
        }
    }
}

async fn both_ways(stream: &mut TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = copy_bidirectional(stream, &mut server).await;
}
