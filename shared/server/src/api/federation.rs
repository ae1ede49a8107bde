//! The server-server API ([spec]), as far as it tells where this server is found.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/

use ruma::{OwnedServerName, ServerName, api::federation::discovery::discover_homeserver};

use super::{Client, Cx, mount::Routes};
use crate::{Error, Result};

/// Mounts all of it.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(discover_homeserver)
}

/// `GET /.well-known/matrix/server`
async fn discover_homeserver(
    cx: Cx,
    client: Client,
    _: discover_homeserver::Request,
) -> Result<discover_homeserver::Response> {
    match cx.base_url(&client).as_deref().and_then(authority) {
        Some(server) => Ok(discover_homeserver::Response::new(server)),
        None => Err(Error::not_found("this server does not know its public address")),
    }
}

/// Host and port of a base URL. The port is always named: without one, other servers would look
/// at 8448.
fn authority(base_url: &str) -> Option<OwnedServerName> {
    let uri: http::Uri = base_url.parse().ok()?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http")) => 80,
        (None, _) => 443,
    };
    ServerName::parse(format!("{}:{port}", uri.host()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_a_base_url_names_its_port() {
        let cases = [
            ("https://matrix.example.org", Some("matrix.example.org:443")),
            ("https://matrix.example.org/", Some("matrix.example.org:443")),
            ("http://127.0.0.1:8008", Some("127.0.0.1:8008")),
            ("http://localhost", Some("localhost:80")),
            ("http://[::1]:8008", Some("[::1]:8008")),
            ("/nowhere", None),
            ("", None),
        ];
        for (base_url, expected) in cases {
            let server = authority(base_url);
            assert_eq!(server.as_ref().map(|it| it.as_str()), expected, "{base_url}");
        }
    }
}
