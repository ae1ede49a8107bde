//! The server under load: its address, and the rule that it is on this machine.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::net::{TcpSocket, TcpStream};

use crate::error::{Error, Result};

/// What a narrow connection keeps of what has come; systems round it up.
const NARROW_BYTES: u32 = 4_096;

/// Where requests go, and what all connections count together.
#[derive(Debug)]
pub(crate) struct Target {
    /// The `Host` header.
    pub(crate) authority: String,
    /// A path before `/_matrix`, without a slash at its end. Usually empty.
    pub(crate) prefix: String,
    /// Resolved once, so that what was checked is what is connected to.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where connections come from, if that is not left to the system.
    source: Option<Ipv4Addr>,
    limited: AtomicU64,
}

impl Target {
    /// Resolves a base URL. Refuses addresses that are not loopback, unless told otherwise:
    /// a load generator pointed at somebody else's server is an attack.
    pub(crate) async fn resolve(url: &str, any_address: bool) -> Result<Self> {
        let (authority, prefix) = split(url)?;
        let (host, port) = host_and_port(authority)?;
        let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
        if addresses.is_empty() {
            return Err(Error::Usage(format!("{host} has no address")));
        }
        if let Some(far) = addresses.iter().find(|it| !it.ip().to_canonical().is_loopback())
            && !any_address
        {
            return Err(Error::Usage(format!(
                "{far} is not a loopback address: put load only on a server of your own \
                 (--i-own-this-server)"
            )));
        }
        Ok(Self {
            authority: authority.to_owned(),
            prefix: prefix.to_owned(),
            addresses,
            source: None,
            limited: AtomicU64::new(0),
        })
    }

    /// The same server with a count of its own. Where it is on this machine, connections come from
    /// another one of the machine's own addresses, which the server takes for another household.
    pub(crate) fn apart(&self, household: u8) -> Self {
        let mine = |it: &SocketAddr| matches!(it.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let near: Vec<_> = self.addresses.iter().copied().filter(mine).collect();
        let source = Some(Ipv4Addr::new(127, 0, 1, household)).filter(|_| !near.is_empty());
        Self {
            authority: self.authority.clone(),
            prefix: self.prefix.clone(),
            addresses: if near.is_empty() { self.addresses.clone() } else { near },
            source,
            limited: AtomicU64::new(0),
        }
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> io::Result<TcpStream> {
        self.open_for(None).await
    }

    /// Opens a connection for which the system keeps next to nothing: what is not read from it
    /// stays with the server.
    pub(crate) async fn open_narrow(&self) -> io::Result<TcpStream> {
        self.open_for(Some(NARROW_BYTES)).await
    }

    async fn open_for(&self, receive_bytes: Option<u32>) -> io::Result<TcpStream> {
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match self.connect(*address, receive_bytes).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect(&self, address: SocketAddr, bytes: Option<u32>) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Notes that a request was answered with 429.
    pub(crate) fn note_limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests were answered with 429 so far.
    pub(crate) fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }
}

fn split(url: &str) -> Result<(&str, &str)> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| Error::Usage(format!("the URL starts with http:// (no TLS), not {url}")))?;
    let (authority, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    if authority.is_empty() || rest.contains(['?', '#', '@', ' ']) {
        return Err(Error::Usage(format!("{url} is not a base URL")));
    }
    Ok((authority, prefix.trim_end_matches('/')))
}

fn host_and_port(authority: &str) -> Result<(&str, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (authority, "80"),
    };
    let port = port.parse().map_err(|_| Error::Usage(format!("{port} is not a port")))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}

#[cfg(test)]
mod tests {
    use super::{Target, host_and_port, split};

    #[test]
    fn base_urls_are_taken_apart() {
        let cases = [
            ("http://localhost:8008", "localhost", 8008, ""),
            ("http://127.0.0.1/", "127.0.0.1", 80, ""),
            ("http://[::1]:80/matrix/", "::1", 80, "/matrix"),
            ("http://[::1]", "::1", 80, ""),
        ];
        for (url, host, port, prefix) in cases {
            let (authority, found) = split(url).expect(url);
            assert_eq!(found, prefix, "{url}");
            assert_eq!(host_and_port(authority).expect(url), (host, port), "{url}");
        }
    }

    #[test]
    fn urls_that_cannot_be_spoken_to_are_refused() {
        for url in ["https://localhost", "localhost:8008", "http://", "http://a@localhost"] {
            assert!(split(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn only_this_machine_is_put_under_load() {
        assert!(Target::resolve("http://127.0.0.1:1", false).await.is_ok());
        assert!(Target::resolve("http://[::ffff:127.0.0.1]:1", false).await.is_ok());
        assert!(Target::resolve("http://192.0.2.1:1", false).await.is_err());
        assert!(Target::resolve("http://192.0.2.1:1", true).await.is_ok());
    }
}
