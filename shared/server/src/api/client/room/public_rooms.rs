//! `GET /_matrix/client/*/publicRooms` ([spec][all]),
//! `POST /_matrix/client/*/publicRooms` ([spec][filtered])
//!
//! [all]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
//! [filtered]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms

use ruma::{
    ServerName,
    api::client::directory::{get_public_rooms, get_public_rooms_filtered},
};

use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        patched::{AnsweredAsJson, Json, Patched},
        public_rooms::{Wanted, page},
    },
    messages::Caller,
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_public_rooms).mount(get_public_rooms_filtered)
}

async fn get_public_rooms(
    cx: Cx,
    Patched { request, .. }: Patched<get_public_rooms::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_public_rooms::v3::Request { limit, since, server, .. } = request;
    check_server(&cx, server.as_deref())?;
    page(&cx, Wanted { limit, since, ..Wanted::default() }).await
}

async fn get_public_rooms_filtered(
    cx: Cx,
    _: Caller,
    Patched { request, .. }: Patched<get_public_rooms_filtered::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_public_rooms_filtered::v3::Request {
        server, limit, since, filter, room_network, ..
    } = request;
    check_server(&cx, server.as_deref())?;
    page(&cx, Wanted { limit, since, filter, network: room_network }).await
}

fn check_server(cx: &Cx, server: Option<&ServerName>) -> Result<()> {
    match server {
        Some(server) if server != cx.server.name => Err(Error::not_found(
            "rooms of another server cannot be listed: federation is not available",
        )),
        _ => Ok(()),
    }
}
