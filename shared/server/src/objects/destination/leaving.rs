//! Users of this server leave a room that is not here by way of the server ([spec]): they have
//! turned an invitation down, or retract a knock.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites

use std::time::Duration;

use http::StatusCode;
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    api::{
        error::ErrorKind,
        federation::membership::{
            create_leave_event::v2::Request as SendLeave,
            prepare_leave_event::v1::Request as MakeLeave,
        },
    },
};
use skerry_core::{
    pdu::{
        self,
        template::{self, WantedMembership},
    },
    room_version,
};

use super::Destination;
use crate::{
    Error, Result,
    messages::{RawJson, destination::Leave},
    peers::{Limits, PeerError},
};

/// What each answer may take.
const LIMITS: Limits = Limits { max_answer_bytes: 256 * 1024, timeout: Duration::from_secs(6) };

impl Destination {
    /// Has a user leave. A refusal, also in the form of an answer that is of no use, is
    /// `M_FORBIDDEN`: asking again does not change it. That the server was not reached is
    /// `M_UNKNOWN` (502).
    pub(super) async fn leave(&self, question: Leave) -> Result<()> {
        let Leave { room_id, user_id, content } = question;
        let peers = self.peers();
        let make = MakeLeave::new(room_id.clone(), user_id.clone());
        let made = peers.ask(&self.name, make, LIMITS).await.map_err(failed)?;
        let version = made.room_version.unwrap_or(RoomVersionId::V1);
        let rules = room_version::rules(&version).ok_or_else(useless)?;
        let (now_ms, name) = (self.host.clock().now_ms(), &self.server.name);
        let own_id = pdu::opaque_event_id(&room_id, now_ms, now_ms, name);
        let content: CanonicalJsonObject =
            serde_json::from_str(content.get()).map_err(Error::internal)?;
        let wanted = WantedMembership {
            room_id: &room_id,
            user_id: &user_id,
            content,
            event_id: Some(&own_id.map_err(Error::internal)?),
            origin_server_ts: now_ms,
        };
        let keys = self.server.keys();
        let leave = template::complete(&made.event, wanted, &rules, name, &keys.current);
        let leave = leave.map_err(|_| useless())?;
        let event: RawJson = serde_json::from_str(&leave.json)?;
        let send = SendLeave::new(room_id, leave.event_id, event);
        peers.ask(&self.name, send, LIMITS).await.map_err(failed).map(drop)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn failed(error: PeerError) -> Error {
    match error.may_pass() {
        true => {
            let message = "the server was not reached";
            Error::with_status(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message)
        }
        false => useless(),
    }
}

fn useless() -> Error {
    Error::forbidden("the server does not let the user leave")
}
