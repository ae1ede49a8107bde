//! The endpoints that gave media to everybody ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repo-client-behaviour

#![expect(deprecated, reason = "they are what is frozen")]

use ruma::api::client::media::{get_content, get_content_as_filename, get_content_thumbnail};

use crate::{
    Error, Result,
    api::{Client, Cx, answer::Answer, input::Raw, mount::Routes},
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .mount_raw(frozen::<get_content::v3::Request>)
        .mount_raw(frozen::<get_content_as_filename::v3::Request>)
        .mount_raw(frozen::<get_content_thumbnail::v3::Request>)
}

/// `GET /_matrix/media/*/{download,thumbnail}/…`
async fn frozen<R>(_: Cx, _: Client, _: R, _: Raw) -> Result<Answer> {
    let message = "media is given to users alone: ask /_matrix/client/v1/media with a token";
    Err(Error::not_found(message))
}
