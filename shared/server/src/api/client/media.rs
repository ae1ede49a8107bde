//! The content repository ([spec]): uploads, downloads, and how large they may be.
//!
//! The endpoints without authentication are frozen, as the specification wants it: all media that
//! there is came here after that, so they have nothing to give, and fetch nothing for strangers.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

mod create;
mod download;
mod frozen;
mod upload;

use js_int::UInt;
use ruma::api::client::{authenticated_media, media};

use super::super::{Cx, mount::Routes};
use crate::{Result, messages::Caller};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    let routes = routes
        .mount(get_media_config)
        .mount(get_media_config_unversioned)
        .mount(create::create_mxc_uri)
        .mount_raw(upload::create_content)
        .mount_raw(upload::create_content_async)
        .mount_raw(download::get_content)
        .mount_raw(download::get_content_as_filename);
    frozen::routes(routes)
}

/// `GET /_matrix/client/*/media/config`
pub async fn get_media_config(
    cx: Cx,
    _: Caller,
    _: authenticated_media::get_media_config::v1::Request,
) -> Result<authenticated_media::get_media_config::v1::Response> {
    Ok(authenticated_media::get_media_config::v1::Response::new(upload_size(&cx)))
}

/// `GET /_matrix/media/*/config`
#[expect(deprecated, reason = "clients still ask so")]
pub async fn get_media_config_unversioned(
    cx: Cx,
    _: Caller,
    _: media::get_media_config::v3::Request,
) -> Result<media::get_media_config::v3::Response> {
    Ok(media::get_media_config::v3::Response::new(upload_size(&cx)))
}

fn upload_size(cx: &Cx) -> UInt {
    UInt::new_saturating(cx.server.config.media.upload_bytes)
}
