//! Media, for users and for other servers alike ([spec]): bytes on their way in and out, what is
//! awaited, what other servers have, and who removes what nobody wants.
//!
//! Whoever has media stored goes this way: its blob is noted as unnamed, its bytes are stored, and
//! then one batch names it. Whatever breaks off in between leaves a blob that is noted, and is
//! removed by whoever has something stored later ([`sweep`]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

pub(super) mod find;
pub(super) mod intake;
pub(super) mod remote;
pub(super) mod serve;
pub(super) mod sweep;

use ruma::OwnedServerName;
use skerry_core::media::Mxc;

use super::Cx;
use crate::{Error, Result};

/// What a path names.
///
/// # Errors
///
/// `M_INVALID_PARAM`, where that is no media ID.
pub(super) fn mxc(server_name: OwnedServerName, media_id: String) -> Result<Mxc> {
    Mxc::new(server_name, media_id).ok_or_else(|| {
        Error::invalid_param("a media ID has letters, digits, `_` and `-` alone, 255 at most")
    })
}

/// Whether media is this server's own.
pub(super) fn is_own(cx: &Cx, mxc: &Mxc) -> bool {
    mxc.server_name == cx.server.name
}

/// There is no such media.
pub(super) fn unknown() -> Error {
    Error::not_found("there is no such media")
}
