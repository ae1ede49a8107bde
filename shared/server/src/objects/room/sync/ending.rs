//! What `/sync` says of a room that the user has left: how it ended.
//!
//! The last event that is for them is their own membership, whoever set it and whatever the
//! history visibility: a client that does not get it shows an invitation for ever. Often it is an
//! event like any other, the last of those that the user may see. It is not where the user was
//! never joined (an invitation that was turned down or withdrawn, a knock that was denied), where
//! something came after they had left (a ban, another invitation), and where they have forgotten
//! the room.

use ruma::{UserId, events::room::member::MembershipState};
use skerry_core::{engine::StateAt, filter::Matcher, visibility::Access};

use crate::{
    Result,
    messages::room::{Position, SyncRoom},
    objects::room::{
        Room,
        loaded::Loaded,
        read::{access::View, scan::passes},
    },
    store::room::{events::StoredEvent, members},
};

/// The membership event that a user's time in a room ended with, where it is not among the events
/// that they may see.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Where the membership was set; zero: there is nothing to add.
    position: Position,
    event: Option<StoredEvent>,
    /// The event is to stand in the timeline.
    pub(crate) is_in_timeline: bool,
    /// The event is to stand in the state.
    is_in_state: bool,
}

impl Room {
    /// What a user sees of a room in `/sync`: of one they have left, what came until then, even
    /// where everybody may read it; of one they have forgotten, nothing.
    pub(crate) async fn view_in_sync(&self, room: &Loaded, user_id: &UserId) -> Result<View> {
        let timeline = self.timeline_of_user(room, user_id).await?;
        if timeline.memberships.is_empty() {
            return Err(Self::unknown());
        }
        let upto = match timeline.access_of_server() {
            Access::Member => room.head,
            Access::Former(position) => {
                let (sql, scope) = (self.sql(), self.scope());
                if members::find_forgotten(sql, scope, user_id).await? { 0 } else { position }
            }
            Access::Peeker | Access::None => 0,
        };
        let is_current = upto == room.head;
        let state = if is_current { room.state } else { StateAt { group: upto, ..room.state } };
        Ok(View { timeline, upto, state })
    }

    /// How the user's time in the room ended. `limit` is that of the timeline.
    pub(crate) async fn ending(
        &self,
        command: &SyncRoom,
        view: &View,
        limit: u64,
    ) -> Result<Ending> {
        let memberships = view.timeline.memberships.iter().rev();
        let mut ended =
            memberships.filter(|it| matches!(it.1, MembershipState::Leave | MembershipState::Ban));
        let is_joined = view.timeline.membership() == MembershipState::Join;
        let position = match ended.next() {
            Some((position, _)) if !is_joined && *position > view.upto => *position,
            _ => return Ok(Ending::default()),
        };
        let is_new = command.from.is_none_or(|from| position > from);
        if !is_new && !command.full_state {
            return Ok(Ending { position, ..Ending::default() });
        }
        let key = ("m.room.member".to_owned(), command.caller.user_id.to_string());
        let at = StateAt { group: position, ..view.state };
        let event = self.events_of(at, &[key]).await?.into_iter().next();
        let matcher = Matcher::of_room(&command.timeline, &self.id);
        let is_in_timeline =
            is_new && limit > 0 && event.as_ref().is_some_and(|it| passes(&matcher, it));
        let is_in_state = command.state_after || !is_in_timeline;
        Ok(Ending { position, event, is_in_timeline, is_in_state })
    }
}

impl Ending {
    /// Adds the event to the timeline, newest first, and to the state.
    pub(crate) fn add_to(&self, timeline: &mut Vec<StoredEvent>, state: &mut Vec<StoredEvent>) {
        let Some(event) = &self.event else { return };
        if self.is_in_timeline {
            timeline.insert(0, event.clone());
        }
        if self.is_in_state {
            state.retain(|it| it.event_type != event.event_type || it.state_key != event.state_key);
            state.push(event.clone());
        }
    }

    /// How far the room has been read, where its other events have been up to a position.
    pub(crate) fn to(&self, upto: Position) -> Position {
        self.position.max(upto)
    }
}
