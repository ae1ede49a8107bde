//! Joins of restricted rooms ([spec]): whoever is in one of the rooms that the join rule names may
//! come in, in the name of a member who may invite.
//!
//! The named rooms are asked before the room takes its lock: they may be slow, or down. Under the
//! lock the join rule is looked at again.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, Either},
    stream,
};
use ruma::{
    OwnedRoomId, OwnedUserId, UserId,
    api::error::ErrorKind,
    events::room::member::MembershipState,
    room::{AllowRule, JoinRule},
};

use crate::{
    Error, Result,
    messages::room::IsJoined,
    objects::room::{Room, limits, loaded::Loaded},
    store::room::members,
};

impl Room {
    /// Whether a user is joined; none where no user of this server is.
    pub(crate) async fn is_joined(self: &Arc<Self>, user_id: &UserId) -> Result<Option<bool>> {
        match self.read().await {
            Ok(room) if self.is_resident().await? => {
                Ok(Some(self.membership(&room, user_id).await? == MembershipState::Join))
            }
            Ok(_) | Err(Error::UnknownRoom) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a user of this server is joined: else what is known of the room is out of date.
    pub(crate) async fn is_resident(&self) -> Result<bool> {
        let some = members::list_joined_local(self.sql(), self.scope(), &self.local(), 1).await?;
        Ok(!some.is_empty())
    }

    /// For somebody who wants to join: one of the rooms named by the join rule that they are in.
    /// None: they are in none of them, or need not be.
    pub(crate) async fn admitted_by(
        self: &Arc<Self>,
        user_id: &UserId,
    ) -> Result<Option<OwnedRoomId>> {
        let room_ids = {
            let room = match self.read().await {
                Ok(room) => room,
                // What is to be said of it is said where the room is changed.
                Err(Error::UnknownRoom) => return Ok(None),
                Err(error) => return Err(error),
            };
            let before = self.membership(&room, user_id).await?;
            match is_restricted_for(&before) {
                true => self.admitting_rooms(&room).await?.unwrap_or_default(),
                false => Vec::new(),
            }
        };
        let ask = |room_id: OwnedRoomId| async move {
            let question = IsJoined { user_id: user_id.to_owned() };
            let is_joined = Box::pin(self.host.objects().ask(&*room_id, question));
            let timeout = self.host.sleep(Duration::from_millis(limits::ALLOWED_TIMEOUT_MS));
            let answer = match future::select(is_joined, timeout).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(Error::internal("it took too long")),
            };
            (room_id, answer)
        };
        let room_ids = room_ids.into_iter().filter(|it| *it != self.id).take(limits::ALLOWED_ROOMS);
        let mut answers = stream::iter(room_ids).map(ask).buffer_unordered(limits::ALLOWED_AT_ONCE);
        let mut cannot_tell = false;
        while let Some((room_id, answer)) = answers.next().await {
            match answer {
                Ok(Some(true)) => return Ok(Some(room_id)),
                Ok(Some(false)) => {}
                // A local user is in no room that no local user is in.
                Ok(None) => cannot_tell |= !self.server.is_local(user_id),
                Err(error) => {
                    tracing::warn!(%error, %room_id, "a room could not be asked who is in it");
                    cannot_tell = true;
                }
            }
        }
        match cannot_tell {
            false => Ok(None),
            true => Err(Error::api(
                ErrorKind::UnableToAuthorizeJoin,
                "it could not be found out whether you are in a room that this room admits from: \
                 try again later",
            )),
        }
    }

    /// In a restricted room: a local member with the power to invite, in whose name a user joins
    /// who is in the room that has said so, if the join rule names that room.
    pub(crate) async fn authorising_user(
        &self,
        room: &Loaded,
        before: &MembershipState,
        admitted_by: Option<&OwnedRoomId>,
    ) -> Result<Option<OwnedUserId>> {
        if !is_restricted_for(before) {
            return Ok(None);
        }
        let Some(room_ids) = self.admitting_rooms(room).await? else { return Ok(None) };
        if !admitted_by.is_some_and(|it| room_ids.contains(it)) {
            return Err(Error::forbidden("you are not in any of the rooms this room admits from"));
        }
        self.member_who_may_invite(room).await?.map(Some).ok_or_else(|| {
            Error::api(ErrorKind::UnableToGrantJoin, "no member of this server may invite")
        })
    }

    /// The rooms whose members may join; none: the join rule is of another kind.
    pub(crate) async fn admitting_rooms(&self, room: &Loaded) -> Result<Option<Vec<OwnedRoomId>>> {
        if !room.rules.authorization.restricted_join_rule {
            return Ok(None);
        }
        let rule: Option<JoinRule> = self.state_content(room, "m.room.join_rules").await?;
        let Some(JoinRule::Restricted(rule) | JoinRule::KnockRestricted(rule)) = rule else {
            return Ok(None);
        };
        let allowed = rule.allow.into_iter().filter_map(|rule| match rule {
            AllowRule::RoomMembership(membership) => Some(membership.room_id),
            _ => None,
        });
        let mut room_ids = Vec::new();
        for room_id in allowed {
            if !room_ids.contains(&room_id) {
                room_ids.push(room_id);
            }
        }
        Ok(Some(room_ids))
    }

    /// A joined local member with the power to invite.
    async fn member_who_may_invite(&self, room: &Loaded) -> Result<Option<OwnedUserId>> {
        let power = self.power_levels(room).await?;
        let creators = power.rules.privileged_creators.iter().flatten();
        let candidates: Vec<_> = power.users.keys().chain(creators).cloned().collect();
        // Of so many one is not among them.
        let enough = candidates.len() + 1;
        for user_id in candidates {
            if self.server.is_local(&user_id)
                && power.user_can_invite(&user_id)
                && self.membership(room, &user_id).await? == MembershipState::Join
            {
                return Ok(Some(user_id));
            }
        }
        if power.users_default < power.invite {
            return Ok(None);
        }
        // Whoever is not named among the powers may invite as well.
        let local = format!(":{}", self.server.name);
        let local = members::list_joined_local(self.sql(), self.scope(), &local, enough).await?;
        Ok(local.into_iter().find(|it| power.user_can_invite(it)))
    }
}

/// Whether a user with this membership needs to be in another room to join a restricted one.
fn is_restricted_for(before: &MembershipState) -> bool {
    !matches!(before, MembershipState::Join | MembershipState::Invite)
}
