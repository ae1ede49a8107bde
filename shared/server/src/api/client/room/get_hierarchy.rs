//! `GET /_matrix/client/v1/rooms/{roomId}/hierarchy` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy

mod walk;

use ruma::api::client::space::get_hierarchy::v1::Request;
use serde::Serialize;
use skerry_core::hierarchy::{MAX_DEPTH, Token};

use self::walk::{Walk, Wanted};
use crate::{
    Error, Result,
    api::{
        Cx,
        mount::Routes,
        patched::{AnsweredAsJson, Json, Patched},
        summary::Shown,
    },
    messages::Caller,
};

/// Rooms of a page, whatever the client asks for.
const MAX_ROOMS: u64 = 50;

/// Mounts the endpoint.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_hierarchy)
}

async fn get_hierarchy(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<Request, AnsweredAsJson>,
) -> Result<Json> {
    let Request { room_id, from, limit, max_depth, suggested_only, .. } = request;
    let from = from.as_deref().filter(|it| !it.is_empty());
    let from = from.map(|it| Token::parse(it).ok_or_else(unknown_token)).transpose()?;
    let max_depth = max_depth.map(u64::from).map_or(MAX_DEPTH, |it| it.min(MAX_DEPTH));
    if let Some(from) = &from {
        if from.way.first().is_none_or(|it| it.room_id != room_id) {
            return Err(unknown_token());
        }
        if from.suggested_only != suggested_only || from.max_depth != max_depth {
            return Err(Error::invalid_param(
                "`suggested_only` and `max_depth` cannot change from page to page",
            ));
        }
    }
    let limit = limit.map(u64::from).map_or(MAX_ROOMS, |it| it.clamp(1, MAX_ROOMS));
    let wanted = Wanted {
        root: room_id,
        max_depth,
        suggested_only,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let page = Walk::new(&cx, caller, wanted).page(from).await?;
    Ok(Json::of(&page)?)
}

fn unknown_token() -> Error {
    Error::invalid_param("`from` is not a token of a page of this tree")
}

/// A page of a tree, as it is answered.
#[derive(Serialize)]
struct Page {
    rooms: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}
