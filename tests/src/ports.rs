//! Ports that names of servers are made of.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Listens on a port on which no other server of this run has listened: what is known of a server,
/// its key too, is known by its name.
pub(crate) fn listen() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
    let mut listeners =
        ports.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    let listener = listeners.next().expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    listener
}

/// A port of that kind, on which nobody listens yet.
pub(crate) fn free() -> u16 {
    port(&listen())
}

/// Where it listens.
pub(crate) fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("an address").port()
}
