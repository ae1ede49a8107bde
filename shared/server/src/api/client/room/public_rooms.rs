//! `GET /_matrix/client/*/publicRooms` ([spec][all]),
//! `POST /_matrix/client/*/publicRooms` ([spec][filtered])
//!
//! [all]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
//! [filtered]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms

use ruma::api::client::directory::{get_public_rooms, get_public_rooms_filtered};

use super::remote_public_rooms;
use crate::{
    Result,
    api::{
        Cx,
        access::missing_token,
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
    caller: Option<Caller>,
    Patched { request, .. }: Patched<get_public_rooms::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_public_rooms::v3::Request { limit, since, server, .. } = request;
    let wanted = Wanted { limit, since, ..Wanted::default() };
    match server.filter(|it| *it != cx.server.name) {
        None => page(&cx, wanted).await,
        // Strangers would have this server ask whomever they like.
        Some(_) if caller.is_none() => Err(missing_token()),
        Some(server) => remote_public_rooms::list(&cx, &server, wanted).await,
    }
}

async fn get_public_rooms_filtered(
    cx: Cx,
    _: Caller,
    Patched { request, .. }: Patched<get_public_rooms_filtered::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_public_rooms_filtered::v3::Request {
        server, limit, since, filter, room_network, ..
    } = request;
    let wanted = Wanted { limit, since, filter, network: room_network };
    match server.filter(|it| *it != cx.server.name) {
        None => page(&cx, wanted).await,
        Some(server) => remote_public_rooms::search(&cx, &server, wanted).await,
    }
}
