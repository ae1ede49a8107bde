//! Invitations to rooms that are not here, and knocks on them: another server says so, or the user
//! turns them down. They stand in the stream as those that rooms deliver.

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};
use skerry_core::user_stream::{self, MembershipPlan};

use super::{State, User, limits, outbox::Effect, turned_down::content_of};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        user::{Ending, RemoteMembership, RemoteRoom, TurnDown},
    },
    objects::agenda::AgendaPlan,
    store::user::rooms::{self, NewMembership, Remote, Room},
};

impl User {
    /// Another server tells of a membership.
    pub(super) async fn take_remote_membership(&self, told: RemoteMembership) -> Result<()> {
        let RemoteMembership { room_id, remote, mut stripped_state, ending } = told;
        let mut state = self.lock().await?;
        if self.account(&mut state).await?.active().is_none() {
            return Err(Error::not_found("there is no such user on this server"));
        }
        let room = rooms::find(self.sql(), self.scope(), &room_id).await?;
        let is_known = room.as_ref().and_then(|it| it.remote.as_ref());
        if is_known.is_some_and(|it| it.event_id == remote.event_id) {
            return Ok(());
        }
        if remote.membership == MembershipState::Invite {
            self.check_may_be_invited(room.as_ref()).await?;
        }
        stripped_state.truncate(limits::STRIPPED_STATE_EVENTS);
        let new = (remote, &*stripped_state, ending);
        self.set_remote(&mut state, &room_id, room, new, None).await
    }

    /// Refuses an invitation of somebody who is joined, or has too many that they have not
    /// answered.
    async fn check_may_be_invited(&self, room: Option<&Room>) -> Result<()> {
        let before = room.map(|it| &it.entry.membership);
        if before == Some(&MembershipState::Join) {
            return Err(Error::forbidden("this user is in the room already"));
        }
        let is_invited = before == Some(&MembershipState::Invite);
        let invites = rooms::count_remote(self.sql(), self.scope(), &MembershipState::Invite);
        match !is_invited && invites.await? >= limits::REMOTE_INVITES {
            true => Err(Error::forbidden("this user has too many invitations to answer first")),
            false => Ok(()),
        }
    }

    /// Writes a membership that no room has told, if there is anything to write; and what is to be
    /// done for it elsewhere.
    async fn set_remote(
        &self,
        state: &mut State,
        room_id: &OwnedRoomId,
        before: Option<Room>,
        (remote, stripped_state, ending): (RemoteRoom, &[RawJson], Option<Ending>),
        effect: Option<Effect>,
    ) -> Result<()> {
        let seq = state.seq + 1;
        let entry = before.as_ref().map(|it| &it.entry);
        let RemoteRoom { membership, sender, event_id, room_version, servers } = remote;
        let plan = user_stream::plan_remote_membership(entry, membership, seq);
        let Some(MembershipPlan { entry, drops_marks }) = plan else {
            return Ok(());
        };
        let remote = Remote { event_id, room_version, servers, ending };
        let new =
            NewMembership { entry: &entry, sender: &sender, stripped_state, remote: Some(&remote) };
        let mut stmts = vec![rooms::upsert(self.scope(), room_id, new, (seq, drops_marks))?];
        let mut agenda = AgendaPlan::default();
        if let Some(effect) = effect {
            stmts.push(self.outbox_entry_about(state, &effect, room_id, &mut agenda)?);
        }
        stmts.extend(agenda.stmts(self.scope()));
        self.commit_step(state, stmts, agenda.alarm_by_ms()).await?;
        state.agenda.apply(agenda);
        state.changed.changed(room_id, seq, entry.is_unread());
        self.host.wake();
        Ok(())
    }

    /// What is known of a room that is not here.
    pub(super) async fn get_remote_room(&self, room_id: &RoomId) -> Result<Option<RemoteRoom>> {
        let _state = self.lock().await?;
        let room = rooms::find(self.sql(), self.scope(), room_id).await?;
        Ok(room.as_ref().and_then(known))
    }

    /// Ends an invitation or a knock of the user's own accord. The reply waits a moment until the
    /// server of whom it is has been told.
    pub(super) async fn turn_down(
        self: &Arc<Self>,
        question: TurnDown,
    ) -> Result<Option<RemoteRoom>> {
        let TurnDown { room_id, ending } = question;
        let mut state = self.lock_in_use().await?;
        let room = rooms::find(self.sql(), self.scope(), &room_id).await?;
        let Some(known) = room.as_ref().and_then(known) else { return Ok(None) };
        match known.membership {
            MembershipState::Invite | MembershipState::Knock => {
                let own = RemoteRoom {
                    membership: MembershipState::Leave,
                    sender: self.id.clone(),
                    ..known.clone()
                };
                let effect = Effect::TurnDown { content: content_of(&ending)? };
                let own = (own, &[][..], Some(ending));
                self.set_remote(&mut state, &room_id, room, own, Some(effect)).await?;
                drop(state);
                self.drain_outbox_soon().await;
                Ok(Some(known))
            }
            // It may be what is left of a request that was cut short.
            MembershipState::Leave if known.sender == self.id => Ok(Some(known)),
            _ => Ok(None),
        }
    }
}

/// What no room has told, unless it was forgotten.
fn known(room: &Room) -> Option<RemoteRoom> {
    let Remote { event_id, room_version, servers, .. } = room.remote.clone()?;
    let membership = room.entry.membership.clone();
    let sender = room.sender.clone();
    let known = RemoteRoom { membership, sender, event_id, room_version, servers };
    Some(known).filter(|_| !room.entry.forgotten)
}
