//! `GET /.well-known/matrix/server` ([spec][wellknown]),
//! `GET /_matrix/federation/v1/version` ([spec][version])
//!
//! [wellknown]: https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
//! [version]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1version

use ruma::{
    OwnedServerName, ServerName,
    api::federation::discovery::{discover_homeserver, get_server_version},
};

use crate::{
    Error, Result,
    api::{Client, Cx, mount::Routes},
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(discover_homeserver).mount(get_server_version)
}

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

async fn get_server_version(
    _: Cx,
    _: get_server_version::v1::Request,
) -> Result<get_server_version::v1::Response> {
    let mut server = get_server_version::v1::Server::new();
    server.name = Some("Skerry".to_owned());
    server.version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let mut response = get_server_version::v1::Response::new();
    response.server = Some(server);
    Ok(response)
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
