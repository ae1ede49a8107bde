//! What rooms tell their member, and what is known of rooms.

use std::sync::Arc;

use ruma::{
    OwnedDeviceId, OwnedRoomId, RoomId, UserId, api::error::ErrorKind,
    events::room::member::MembershipState,
};
use skerry_core::user_stream::{self, Heard, Marks, MembershipPlan, Whereabouts};

use super::{State, User, limits, outbox::Effect};
use crate::{
    Error, Result,
    messages::user::{Delivered, GetWhereabouts, Membership, RoomActivity, ShownProfile},
    objects::agenda::AgendaPlan,
    store::user::{
        account_data,
        rooms::{self, NewMembership},
    },
};

impl User {
    /// A room tells of a membership. What it shows to be out of date in the room is for the outbox.
    /// Of whom nobody has registered nothing is stored: any name may be banned.
    pub(super) async fn take_membership(self: &Arc<Self>, told: Membership) -> Result<()> {
        let Membership { room_id, membership, position, sender, mut stripped_state, shown } = told;
        let mut state = self.lock().await?;
        let account = self.account(&mut state).await?;
        if account.account.is_none() {
            return Ok(());
        }
        let is_closed = account.is_closed();
        let room = rooms::find(self.sql(), self.scope(), &room_id).await?;
        let entry = room.map(|it| it.entry);
        let seq = state.seq + 1;
        let plan = user_stream::plan_membership(entry.as_ref(), membership, position, seq);
        let is_known = entry.is_some();
        let Some(MembershipPlan { entry, drops_marks }) = plan else {
            return Ok(());
        };
        let is_over = matches!(entry.membership, MembershipState::Leave | MembershipState::Ban);
        let effect = match is_closed {
            // By then nobody is in any room. That they left by themselves and it is known is what
            // was to be.
            true if is_over && is_known && sender == self.id => None,
            true => Some(Effect::Leave { device_id: OwnedDeviceId::from("") }),
            // The profile may have changed while the join that repeats it was under way.
            false if drops_marks && self.is_outdated(shown).await? => {
                Some(Effect::UpdateProfile {})
            }
            false => None,
        };
        stripped_state.truncate(limits::STRIPPED_STATE_EVENTS);
        let new = NewMembership {
            entry: &entry,
            sender: &sender,
            stripped_state: &stripped_state,
            remote: None,
        };
        let mut stmts = vec![rooms::upsert(self.scope(), &room_id, new, (seq, drops_marks))?];
        let mut agenda = AgendaPlan::default();
        // Servers in an encrypted room may know the user from elsewhere, and not their devices.
        let has_keys = drops_marks && !is_closed && self.keys_changed(&mut state).await? > 0;
        let tells = has_keys.then_some(Effect::ChangeDevices {});
        for effect in effect.iter().chain(&tells) {
            stmts.push(self.outbox_entry_about(&state, effect, &room_id, &mut agenda)?);
        }
        stmts.extend(agenda.stmts(self.scope()));
        self.commit_step(&mut state, stmts, agenda.alarm_by_ms()).await?;
        state.agenda.apply(agenda);
        state.changed.changed(&room_id, seq, entry.is_unread());
        self.host.wake();
        if entry.membership == MembershipState::Join {
            self.presence_in(&state, room_id);
        }
        drop(state);
        if effect.is_some() || has_keys {
            self.drain_outbox_later();
        }
        Ok(())
    }

    /// Whether a membership event shows another profile than the user has.
    async fn is_outdated(&self, shown: Option<ShownProfile>) -> Result<bool> {
        let Some(shown) = shown else { return Ok(false) };
        let (displayname, avatar_url) = self.profile_in_rooms().await?;
        let avatar_url = avatar_url.map(|it| it.to_string());
        Ok(shown != ShownProfile { displayname, avatar_url })
    }

    /// A room tells that something waits to be read.
    pub(super) async fn take_activity(&self, activity: RoomActivity) -> Result<Delivered> {
        let mut state = self.lock().await?;
        self.note_activity(&mut state, activity).await
    }

    /// Notes in the stream that something waits in a room, unless the room is unread already.
    pub(super) async fn note_activity(
        &self,
        state: &mut State,
        activity: RoomActivity,
    ) -> Result<Delivered> {
        let RoomActivity { room_id, position } = activity;
        let heard = match state.heard.hear_from_memory(&room_id, position) {
            Some(heard) => heard,
            None => {
                let room = rooms::find(self.sql(), self.scope(), &room_id).await?;
                state.heard.hear(&room_id, room.as_ref().map(|it| &it.entry), position)
            }
        };
        match heard {
            Heard::Unread => return Ok(Delivered::Unread),
            Heard::Known => return Ok(Delivered::Noted),
            Heard::News => {}
        }
        let seq = state.seq + 1;
        let stmts = vec![rooms::update_known(self.scope(), &room_id, position, seq)];
        self.commit_step(state, stmts, None).await?;
        state.heard.noted(&room_id, position);
        state.changed.changed(&room_id, seq, true);
        self.host.wake();
        Ok(Delivered::Noted)
    }

    /// Where a room was when a token was made.
    pub(super) async fn whereabouts(&self, asked: GetWhereabouts) -> Result<Whereabouts> {
        let GetWhereabouts { room_id, token } = asked;
        let state = self.lock().await?;
        // A token beyond the stream is another server's, or from before a backup was restored.
        if token.newest() > state.seq {
            return Ok(Whereabouts::default());
        }
        let (entry, marks) = match rooms::find(self.sql(), self.scope(), &room_id).await? {
            Some(room) => (Some(room.entry), room.marks),
            None => (None, Marks::default()),
        };
        Ok(user_stream::whereabouts(entry.as_ref(), &marks, token))
    }

    /// The rooms of one membership.
    pub(super) async fn list_rooms(
        &self,
        membership: &MembershipState,
    ) -> Result<Vec<OwnedRoomId>> {
        let _state = self.lock().await?;
        rooms::list_by_membership(self.sql(), self.scope(), membership).await
    }

    /// Forgets a room that was left, with the account data of it; and has the room forget the user.
    pub(super) async fn forget(self: &Arc<Self>, room_id: &RoomId) -> Result<()> {
        let mut state = self.lock().await?;
        let room = rooms::find(self.sql(), self.scope(), room_id).await?;
        let entry = match room {
            Some(room) => room.entry,
            None => return Err(Error::not_found(format!("you have never been in {room_id}"))),
        };
        if !matches!(entry.membership, MembershipState::Leave | MembershipState::Ban) {
            let status = http::StatusCode::BAD_REQUEST;
            let message = "leave the room before you forget it";
            return Err(Error::with_status(status, ErrorKind::Unknown, message));
        }
        if entry.forgotten {
            return Ok(());
        }
        let mut agenda = AgendaPlan::default();
        let stmts = vec![
            rooms::update_forgotten(self.scope(), room_id),
            account_data::remove_of_room(self.scope(), room_id),
            self.outbox_entry_about(&state, &Effect::Forget {}, room_id, &mut agenda)?,
        ];
        self.commit_with(&mut state, stmts, agenda).await?;
        drop(state);
        self.host.wake();
        self.drain_outbox_soon().await;
        Ok(())
    }

    /// Whether what this user sends is hidden.
    pub(super) fn is_ignored(ignored_users: &[ruma::OwnedUserId], user_id: &UserId) -> bool {
        ignored_users.iter().any(|it| it == user_id)
    }
}
