//! Routes that only tests may reach. Not compiled into what is deployed.
//!
//! - `POST /_skerry/test/room/{roomId}` carries a command to a room object and answers with its
//!   reply: what the federation API will bring.
//! - `POST /_skerry/test/sign/{roomVersion}` hashes and signs an event as this server.
//! - `POST /_skerry/test/alarm/{roomId}/{failures}` lets the next alarms of a room fail; `GET
//!   /_skerry/test/alarm/{roomId}` tells what has become of them.
//! - `POST /_skerry/test/due/{roomId}` lets everything on the agenda of a room be due at its next
//!   alarm.
//! - `GET /_skerry/test/routes` lists the routes of all endpoints.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::Path,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use ruma::{CanonicalJsonObject, OwnedRoomId, RoomVersionId, signatures::hash_and_sign_event};
use skerry_core::room_version;

use super::{Cx, answer, mount::Routes};
use crate::{Error, Result, messages::room::Command, objects::test_alarms};

/// Mounts them.
pub(super) fn routes(Routes { router, mounted }: Routes) -> Routes {
    let list = Json(mounted.clone());
    let router = router
        .route("/_skerry/test/room/{room_id}", post(ask_room))
        .route("/_skerry/test/sign/{room_version}", post(sign))
        .route("/_skerry/test/alarm/{room_id}/{failures}", post(let_alarms_fail))
        .route("/_skerry/test/alarm/{room_id}", get(find_alarms))
        .route("/_skerry/test/due/{room_id}", post(let_all_be_due))
        .route("/_skerry/test/routes", get(async move || list));
    Routes { router, mounted }
}

async fn sign(
    Extension(cx): Extension<Cx>,
    Path(room_version): Path<RoomVersionId>,
    body: Bytes,
) -> Response {
    match try_sign(&cx, &room_version, &body) {
        Ok(event) => json(event),
        Err(error) => answer::refuse(&error),
    }
}

fn try_sign(cx: &Cx, room_version: &RoomVersionId, body: &[u8]) -> Result<String> {
    let bad_json = |it: &dyn std::fmt::Display| Error::bad_json(it.to_string());
    let mut event: CanonicalJsonObject =
        serde_json::from_slice(body).map_err(|it| bad_json(&it))?;
    let rules = room_version::rules(room_version)
        .ok_or_else(|| Error::invalid_param("this room version is not supported"))?;
    let keys = cx.server.keys();
    hash_and_sign_event(cx.server.name.as_str(), keys.current.pair(), &mut event, &rules.redaction)
        .map_err(|it| bad_json(&it))?;
    Ok(serde_json::to_string(&event)?)
}

fn json(body: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn let_alarms_fail(Path((room_id, failures)): Path<(OwnedRoomId, u64)>) -> Response {
    test_alarms::let_fail(room_id, failures);
    json("{}".to_owned())
}

async fn let_all_be_due(Path(room_id): Path<OwnedRoomId>) -> Response {
    test_alarms::let_all_be_due(room_id);
    json("{}".to_owned())
}

async fn find_alarms(Path(room_id): Path<OwnedRoomId>) -> Response {
    match test_alarms::find(&room_id) {
        Some(alarms) => Json(alarms).into_response(),
        None => answer::refuse(&Error::not_found("no alarm of this room was to fail")),
    }
}

async fn ask_room(
    Extension(cx): Extension<Cx>,
    Path(room_id): Path<OwnedRoomId>,
    body: Bytes,
) -> Response {
    match try_ask_room(&cx, &room_id, &body).await {
        Ok(reply) => json(reply),
        Err(error) => answer::refuse(&error),
    }
}

async fn try_ask_room(cx: &Cx, room_id: &OwnedRoomId, body: &[u8]) -> Result<String> {
    let command: Command =
        serde_json::from_slice(body).map_err(|it| Error::bad_json(it.to_string()))?;
    let reply = cx.ports.objects.room(room_id, command).await?;
    Ok(serde_json::to_string(&reply)?)
}
