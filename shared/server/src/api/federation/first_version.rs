//! `PUT /_matrix/federation/v1/send_join/{roomId}/{eventId}` ([spec][join]),
//! `PUT /_matrix/federation/v1/send_leave/{roomId}/{eventId}` ([spec][leave])
//!
//! What servers ask that do not know the second version: it is the same, and what is answered
//! stands behind a status, in an array.
//!
//! [join]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_joinroomideventid
//! [leave]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_leaveroomideventid

use http::{Method, StatusCode};
use ruma::api::{
    IncomingRequest, Metadata,
    error::DeserializationError,
    federation::membership::{create_join_event, create_leave_event},
    path_builder::SinglePath,
};

use super::membership;
use crate::{
    Result,
    api::{Cx, answer::Pieces, mount::Routes, origin::Origin, patched::Json},
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount_streaming(create_join_event).mount(create_leave_event)
}

async fn create_join_event(
    cx: Cx,
    origin: Origin,
    First(request): First<create_join_event::v2::Request>,
) -> Result<Pieces> {
    let answer = membership::join(cx, origin, request).await?;
    Ok(answer.within(&format!("[{},", StatusCode::OK.as_u16()), "]").pieces())
}

async fn create_leave_event(
    cx: Cx,
    origin: Origin,
    First(request): First<create_leave_event::v2::Request>,
) -> Result<Json> {
    membership::create_leave_event(cx, origin, request).await?;
    Ok(Json::of(&(StatusCode::OK.as_u16(), serde_json::Map::new()))?)
}

/// A request of the first version, read as one of the second.
#[derive(Debug)]
struct First<R>(R);

/// A request that the first version has too.
trait HasFirst {
    /// Where it is asked there. The arguments are those of the second version.
    const PATH: SinglePath;
}

impl HasFirst for create_join_event::v2::Request {
    const PATH: SinglePath =
        SinglePath::new("/_matrix/federation/v1/send_join/{room_id}/{event_id}");
}

impl HasFirst for create_leave_event::v2::Request {
    const PATH: SinglePath =
        SinglePath::new("/_matrix/federation/v1/send_leave/{room_id}/{event_id}");
}

impl<R: Metadata + HasFirst> Metadata for First<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = R::PATH;
}

impl<R: IncomingRequest + HasFirst> IncomingRequest for First<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        R::try_from_http_request_inner(request, path_args).map(Self)
    }
}
