//! Summaries of rooms that are not here: servers that are in them are asked ([spec]).
//!
//! What they say is shown and not believed: nothing follows from it but what the user who asks is
//! shown.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ruma::{
    OwnedRoomId, OwnedServerName, RoomId,
    api::federation::space::get_hierarchy::v1::{Request, Response},
    events::room::member::MembershipState,
    room::{JoinRuleSummary, RoomSummary},
};
use skerry_core::{
    gather::Gather as _,
    hierarchy::{self, Child},
    room_summary::{Access, Openness},
};

use super::Shown;
use crate::{api::Cx, peers::Limits};

/// Servers that are asked for one room, one after the other.
pub(in crate::api) const MAX_SERVERS: usize = 3;

/// What an answer may take: a space and a hundred children, each of some KiB.
const LIMITS: Limits = Limits { max_answer_bytes: 1 << 20, timeout: Duration::from_secs(15) };

/// A room as another server shows it.
#[derive(Debug)]
pub(in crate::api) struct Told {
    /// The room.
    pub(in crate::api) room: Shown,
    /// Its children, where it is a space.
    pub(in crate::api) children: Vec<Child>,
    /// What is shown of them.
    pub(in crate::api) summaries: BTreeMap<OwnedRoomId, Shown>,
    /// Those of them that nobody here may know of.
    pub(in crate::api) inaccessible: BTreeSet<OwnedRoomId>,
}

/// What the first of these servers shows that knows the room. At most [`MAX_SERVERS`] are asked;
/// none is this one.
pub(in crate::api) async fn find(
    cx: &Cx,
    room_id: &RoomId,
    via: &[OwnedServerName],
    suggested_only: bool,
) -> Option<Told> {
    let mut asked = BTreeSet::new();
    let others = via.iter().filter(|it| **it != cx.server.name && asked.insert((*it).clone()));
    for server in others.take(MAX_SERVERS).collect::<Vec<_>>() {
        let mut request = Request::new(room_id.to_owned());
        request.suggested_only = suggested_only;
        match cx.peers().ask(server, request, LIMITS).await {
            Ok(answer) if answer.room.summary.room_id == room_id => {
                return Some(told(answer, suggested_only));
            }
            Ok(_) => tracing::debug!(%server, "it has answered for another room"),
            Err(error) => tracing::debug!(%server, %error, "it shows no such room"),
        }
    }
    None
}

fn told(answer: Response, suggested_only: bool) -> Told {
    let Response { room, children: summaries, inaccessible_children, .. } = answer;
    let is_space = room.summary.room_type.as_ref().is_some_and(|it| it.as_str() == "m.space");
    let events = room.children_state.iter().map(|it| it.json().get()).filter(|_| is_space);
    let children = hierarchy::children(events, suggested_only);
    let known: BTreeSet<_> = children.iter().map(|it| it.room_id.clone()).gather();
    // Of other rooms it has not been asked.
    let summaries = summaries.into_iter().filter(|it| known.contains(&it.room_id));
    Told {
        room: shown(room.summary),
        children,
        summaries: summaries.map(|it| (it.room_id.clone(), shown(it))).gather(),
        inaccessible: inaccessible_children.into_iter().gather(),
    }
}

fn shown(mut summary: RoomSummary) -> Shown {
    let join_rule = std::mem::replace(&mut summary.join_rule, JoinRuleSummary::Public);
    let allowed_room_ids = match &join_rule {
        JoinRuleSummary::Restricted(it) | JoinRuleSummary::KnockRestricted(it) => {
            Some(it.allowed_room_ids.clone())
        }
        _ => None,
    };
    Shown {
        summary,
        join_rule: join_rule.as_str().to_owned(),
        allowed_room_ids,
        membership: None,
        children_state: None,
    }
}

/// Whether a user may know of a room that is not here, by what is said of it.
pub(in crate::api) fn may_know(
    room: &Shown,
    membership: &MembershipState,
    joined: &[OwnedRoomId],
) -> bool {
    let openness = Openness {
        join_rule: &room.join_rule,
        world_readable: room.summary.world_readable,
        room_version: room.summary.room_version.as_ref(),
    };
    match openness.access(membership) {
        Access::Open => true,
        Access::Closed => false,
        Access::IfAdmitted => room.allowed_room_ids.iter().flatten().any(|it| joined.contains(it)),
    }
}
