//! What rooms tell their member, and what is known of rooms.

use ruma::{
    OwnedRoomId, RoomId, UserId, api::error::ErrorKind, events::room::member::MembershipState,
};
use skerry_core::user_stream::{self, MembershipPlan};

use super::{User, limits};
use crate::{
    Error, Result,
    messages::{
        room::Position,
        user::{GetRoomPosition, Membership, RoomActivity},
    },
    store::user::{marks, rooms},
};

impl User {
    /// A room tells of a membership.
    pub(super) async fn take_membership(&self, told: Membership) -> Result<()> {
        let Membership { room_id, membership, position, sender, mut stripped_state } = told;
        let mut state = self.lock().await?;
        state.heard.remove(&room_id);
        let room = rooms::find(self.sql(), self.scope(), &room_id, None).await?;
        let entry = room.map(|it| it.entry);
        let seq = state.seq + 1;
        let plan = user_stream::plan_membership(entry.as_ref(), membership, position, seq);
        let Some(MembershipPlan { entry, drops_marks }) = plan else {
            return Ok(());
        };
        stripped_state.truncate(limits::STRIPPED_STATE_EVENTS);
        let stripped_state = match stripped_state.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&stripped_state)?),
        };
        let scope = self.scope();
        let mut stmts = vec![rooms::upsert(scope, &room_id, &entry, &sender, stripped_state, seq)];
        if drops_marks {
            stmts.push(marks::remove_room(scope, &room_id));
            stmts.push(rooms::update_unread(scope, &room_id));
        }
        self.commit_and_wake(&mut state, stmts, None).await?;
        Ok(())
    }

    /// A room tells that something waits to be read.
    pub(super) async fn take_activity(&self, activity: RoomActivity) -> Result<()> {
        let RoomActivity { room_id, position } = activity;
        let mut state = self.lock().await?;
        let is_news = match state.heard.get(&room_id) {
            Some(heard) => position > *heard,
            None => {
                let room = rooms::find(self.sql(), self.scope(), &room_id, None).await?;
                room.is_some_and(|it| user_stream::is_news(&it.entry, position))
            }
        };
        if !is_news {
            return Ok(());
        }
        let seq = state.seq + 1;
        let stmts = vec![rooms::update_known(self.scope(), &room_id, position, seq)];
        self.commit_and_wake(&mut state, stmts, None).await?;
        if state.heard.len() >= limits::HEARD_ROOMS {
            state.heard.clear();
        }
        state.heard.insert(room_id, position);
        Ok(())
    }

    /// How far a room had been read at a token.
    pub(super) async fn room_position(&self, asked: GetRoomPosition) -> Result<Option<Position>> {
        let GetRoomPosition { room_id, token } = asked;
        let _state = self.lock().await?;
        let room = rooms::find(self.sql(), self.scope(), &room_id, Some(token)).await?;
        Ok(room.and_then(|it| it.seen))
    }

    /// The rooms of one membership.
    pub(super) async fn list_rooms(
        &self,
        membership: &MembershipState,
    ) -> Result<Vec<OwnedRoomId>> {
        let _state = self.lock().await?;
        rooms::list_by_membership(self.sql(), self.scope(), membership).await
    }

    /// Forgets a room that was left.
    pub(super) async fn forget(&self, room_id: &RoomId) -> Result<()> {
        let mut state = self.lock().await?;
        let room = rooms::find(self.sql(), self.scope(), room_id, None).await?;
        let entry = match room {
            Some(room) => room.entry,
            None => return Err(Error::not_found(format!("you have never been in {room_id}"))),
        };
        if !matches!(entry.membership, MembershipState::Leave | MembershipState::Ban) {
            let status = http::StatusCode::BAD_REQUEST;
            let message = "leave the room before you forget it";
            return Err(Error::with_status(status, ErrorKind::Unknown, message));
        }
        if !entry.forgotten {
            let stmts = vec![
                rooms::update_forgotten(self.scope(), room_id),
                marks::remove_room(self.scope(), room_id),
            ];
            self.commit_and_wake(&mut state, stmts, None).await?;
        }
        Ok(())
    }

    /// Whether what this user sends is hidden.
    pub(super) fn is_ignored(ignored_users: &[ruma::OwnedUserId], user_id: &UserId) -> bool {
        ignored_users.iter().any(|it| it == user_id)
    }
}
