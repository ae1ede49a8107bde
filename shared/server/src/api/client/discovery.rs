//! What a client learns about the server: where it is, what it speaks, what it allows ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-discovery

mod get_capabilities;

use ruma::api::{
    MatrixVersion,
    client::discovery::{
        discover_homeserver::{self, HomeserverInfo},
        get_supported_versions,
    },
};
use skerry_core::gather::Gather as _;

use super::super::{Client, Cx, mount::Routes};
use crate::{Error, Result};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(get_supported_versions)
        .mount(discover_homeserver)
        .mount(get_capabilities::get_capabilities)
}

/// The versions whose paths and semantics the endpoints follow that are there: a version is named
/// when nothing is missing that it changes of these. Version 1.18 is not, which has users refuse
/// invitations by their account data. Endpoints that are missing answer 404 `M_UNRECOGNIZED`.
const VERSIONS: [MatrixVersion; 18] = [
    MatrixVersion::V1_0,
    MatrixVersion::V1_1,
    MatrixVersion::V1_2,
    MatrixVersion::V1_3,
    MatrixVersion::V1_4,
    MatrixVersion::V1_5,
    MatrixVersion::V1_6,
    MatrixVersion::V1_7,
    MatrixVersion::V1_8,
    MatrixVersion::V1_9,
    MatrixVersion::V1_10,
    MatrixVersion::V1_11,
    MatrixVersion::V1_12,
    MatrixVersion::V1_13,
    MatrixVersion::V1_14,
    MatrixVersion::V1_15,
    MatrixVersion::V1_16,
    MatrixVersion::V1_17,
];

/// How version 1.0 is called in `/versions`.
const V1_0: &str = "r0.6.1";

/// Proposals whose unstable or early stable form is served.
const UNSTABLE_FEATURES: [&str; 3] =
    ["org.matrix.msc3814", "uk.tcpip.msc4133", "uk.tcpip.msc4133.stable"];

/// `GET /_matrix/client/versions`
async fn get_supported_versions(
    _: Cx,
    _: get_supported_versions::Request,
) -> Result<get_supported_versions::Response> {
    let versions = VERSIONS.iter().map(|it| it.as_str().unwrap_or(V1_0).to_owned());
    let mut response = get_supported_versions::Response::new(versions.collect());
    let features = UNSTABLE_FEATURES.iter().map(|it| ((*it).to_owned(), true));
    response.unstable_features = features.gather();
    Ok(response)
}

/// `GET /.well-known/matrix/client`
async fn discover_homeserver(
    cx: Cx,
    client: Client,
    _: discover_homeserver::Request,
) -> Result<discover_homeserver::Response> {
    match cx.base_url(&client) {
        Some(base_url) => Ok(discover_homeserver::Response::new(HomeserverInfo::new(base_url))),
        None => Err(Error::not_found("this server does not know its public address")),
    }
}
