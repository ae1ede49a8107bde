//! What rooms are asked before anybody knows which of them are given: where they stand, and which
//! rooms are children of a space.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde::Deserialize;
use skerry_core::sliding_sync::{MAX_FILTER_NAMES, Request};

use crate::{
    Error, Result,
    api::{Cx, access::UncheckedToken},
    messages::{
        Caller, RawJson,
        room::{GetFacts, Summarize, Viewer},
        user::Place,
    },
};

/// Rooms that are asked at once.
const ROOMS_AT_ONCE: usize = 32;

/// Asks rooms where they stand. Of one that does not answer nothing is known, as before.
pub(super) async fn ask(cx: &Cx, caller: &Caller, rooms: Vec<OwnedRoomId>) -> Vec<Place> {
    let asks = rooms.into_iter().map(|room_id| async move {
        let question = GetFacts { user_id: caller.user_id.clone() };
        let facts = cx.ports.objects.ask(&*room_id, question).await.ok()?;
        Some(Place { room_id, facts })
    });
    let asks: Vec<_> = asks.collect();
    stream::iter(asks).buffer_unordered(ROOMS_AT_ONCE).filter_map(async |it| it).collect().await
}

/// The children of the spaces that filters name, as far as the user is in them.
pub(super) async fn children(
    cx: &Cx,
    token: &UncheckedToken,
    request: &Request,
) -> Result<BTreeMap<OwnedRoomId, Vec<OwnedRoomId>>> {
    let spaces = request.lists.values().filter_map(|it| it.filters.spaces.as_ref());
    let spaces: BTreeSet<_> = spaces.flatten().cloned().collect();
    if spaces.is_empty() {
        return Ok(BTreeMap::new());
    }
    token.check(cx).await?;
    if spaces.len() > MAX_FILTER_NAMES {
        return Err(Error::invalid_param("the filters name too many spaces"));
    }
    let asks: Vec<_> = spaces.into_iter().map(|it| children_of(cx, token, it)).collect();
    let found: Vec<_> = stream::iter(asks).buffer_unordered(ROOMS_AT_ONCE).collect().await;
    found.into_iter().filter_map(Result::transpose).collect()
}

/// A space that the user is in, and its children.
async fn children_of(
    cx: &Cx,
    token: &UncheckedToken,
    space: OwnedRoomId,
) -> Result<Option<(OwnedRoomId, Vec<OwnedRoomId>)>> {
    let question = Summarize { viewer: Viewer::User(token.user_id.clone()), children: true };
    match cx.ports.objects.ask(&*space, question).await {
        Ok(summary) if summary.membership == MembershipState::Join => {
            let children = summary.children.iter().filter_map(child).collect();
            Ok(Some((space, children)))
        }
        Ok(_) => Ok(None),
        Err(error) if error.is_refusal() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The room that an event makes a child; none: it was taken back.
fn child(event: &RawJson) -> Option<OwnedRoomId> {
    #[derive(Deserialize)]
    struct Event {
        state_key: String,
        content: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        #[serde(default)]
        via: Vec<serde::de::IgnoredAny>,
    }
    let event: Event = serde_json::from_str(event.get()).ok()?;
    let is_child = !event.content.via.is_empty();
    RoomId::parse(event.state_key).ok().filter(|_| is_child)
}
