//! What is shown of rooms to those who may not be in them: in summaries, and in trees of spaces.

pub(super) mod elsewhere;

use futures_util::{StreamExt as _, stream};
use js_int::UInt;
use ruma::{
    OwnedMxcUri, OwnedRoomId, RoomId, RoomVersionId, UserId,
    events::room::member::MembershipState,
    room::{JoinRuleSummary, RoomSummary},
};
use serde::Serialize;
use skerry_core::room_summary::{Access, Openness};

use super::{Cx, client::room::joined_rooms};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{PublicInfo, Summarize, Summary, Viewer},
    },
};

/// Rooms of a join rule that are asked whether a server is in them.
const MAX_ADMITTING: usize = 32;

/// Those that are asked at the same time.
const ASKED_AT_ONCE: usize = 6;

/// What a room that is here says of itself. None: there is none, or nobody of this server is in it,
/// so that what is known of it is out of date.
pub(super) async fn find(
    cx: &Cx,
    room_id: &RoomId,
    viewer: &Viewer,
    children: bool,
) -> Result<Option<Summary>> {
    let question = Summarize { viewer: viewer.clone(), children };
    match cx.ports.objects.ask(room_id, question).await {
        Ok(found) => Ok(Some(*found).filter(|it| it.is_resident)),
        Err(Error::UnknownRoom) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the viewer may know of a room that is here.
pub(super) async fn may_know(cx: &Cx, viewer: &Viewer, room: &Summary) -> Result<bool> {
    if room.is_kept_out {
        return Ok(false);
    }
    let room_version = RoomVersionId::try_from(&*room.info.room_version).ok();
    let openness = Openness {
        join_rule: &room.info.join_rule,
        world_readable: room.info.world_readable,
        room_version: room_version.as_ref(),
    };
    let admitting = room.allowed_room_ids.as_deref().unwrap_or_default();
    match (openness.access(&room.membership), viewer) {
        (Access::Open, _) => Ok(true),
        (Access::Closed, _) | (Access::IfAdmitted, Viewer::Anyone) => Ok(false),
        (Access::IfAdmitted, Viewer::User(user_id)) => is_in_one(cx, user_id, admitting).await,
        (Access::IfAdmitted, Viewer::Server(_)) => is_any_in_one(cx, viewer, admitting).await,
    }
}

/// Whether a user is in one of these rooms.
async fn is_in_one(cx: &Cx, user_id: &UserId, rooms: &[OwnedRoomId]) -> Result<bool> {
    let joined = joined_rooms::list(cx, user_id, MembershipState::Join).await?;
    Ok(rooms.iter().any(|it| joined.contains(it)))
}

/// Whether a server is in one of these rooms, as far as they are here.
async fn is_any_in_one(cx: &Cx, viewer: &Viewer, rooms: &[OwnedRoomId]) -> Result<bool> {
    let find = |room_id: OwnedRoomId| async move { find(cx, &room_id, viewer, false).await };
    let rooms = rooms.iter().take(MAX_ADMITTING).cloned();
    let mut found = stream::iter(rooms).map(find).buffer_unordered(ASKED_AT_ONCE);
    while let Some(room) = found.next().await {
        if room?.is_some_and(|it| it.membership == MembershipState::Join) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A summary as it is answered. Its join rule is always there, which ruma leaves out where it is
/// `public`, and cannot write where it is none that ruma knows.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    /// All else.
    #[serde(flatten)]
    pub(super) summary: RoomSummary,
    /// The join rule.
    pub(super) join_rule: String,
    /// The rooms whose members may join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allowed_room_ids: Option<Vec<OwnedRoomId>>,
    /// The membership of who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) membership: Option<MembershipState>,
    /// The events that give a space its children. None: they are not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) children_state: Option<Vec<RawJson>>,
}

impl Shown {
    /// What is shown of a room that is here.
    pub(super) fn of(room_id: &RoomId, room: Summary) -> Self {
        let Summary { info, allowed_room_ids, .. } = room;
        Self {
            join_rule: info.join_rule.clone(),
            summary: summary(room_id, info),
            allowed_room_ids,
            membership: None,
            children_state: None,
        }
    }

    /// Whether it is a space.
    pub(super) fn is_space(&self) -> bool {
        self.summary.room_type.as_ref().is_some_and(|it| it.as_str() == "m.space")
    }
}

fn summary(room_id: &RoomId, info: PublicInfo) -> RoomSummary {
    let mut summary = RoomSummary::new(
        room_id.to_owned(),
        JoinRuleSummary::Public,
        info.guest_can_join,
        UInt::new_saturating(info.joined_members),
        info.world_readable,
    );
    summary.canonical_alias = info.canonical_alias;
    summary.name = info.name;
    summary.topic = info.topic;
    summary.avatar_url = info.avatar_url.map(OwnedMxcUri::from);
    summary.room_type = info.room_type.map(Into::into);
    summary.encryption = info.encryption.map(Into::into);
    summary.room_version = info.room_version.try_into().ok();
    summary
}
