//! Changing memberships.

use std::sync::Arc;

use http::StatusCode;
use ruma::{
    CanonicalJsonObject, OwnedMxcUri, UserId, api::error::ErrorKind,
    events::room::member::MembershipState,
};
use serde::Deserialize;
use skerry_core::{
    membership::{self, Answer, Asker, Refusal},
    rate_limits::Bucket,
};

use crate::{
    Error, Result,
    messages::room::{ChangeMembership, MembershipAction, UpdateProfile},
    objects::room::{
        Room,
        author::check_reason,
        limits,
        loaded::{
            Loaded, draft::Draft, effects::Due, in_memory, plan::Plan, state_event::membership_of,
        },
    },
    store::room::{members, servers},
};

impl Room {
    /// Changes a membership.
    pub(crate) async fn change_membership(
        self: &Arc<Self>,
        command: ChangeMembership,
    ) -> Result<()> {
        if let Some(reason) = &command.reason {
            check_reason(reason)?;
        }
        let admitted_by = match command.action {
            MembershipAction::Join => self.admitted_by(&command.target).await?,
            _ => None,
        };
        if matches!(command.action, MembershipAction::Join | MembershipAction::Knock) {
            self.check_up_to_date().await?;
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let before = self.membership(room, &command.target).await?;
        let asker = self.asker(room, &command).await?;
        let unchanged = match membership::answer(command.action, &asker, &before) {
            Answer::Authorize => None,
            Answer::Done if !self.says_the_same(room, &command).await? => None,
            Answer::Done => Some(Ok(())),
            Answer::Refuse(refusal) => Some(Err(Self::refused_change(refusal))),
        };
        if let Some(answer) = unchanged {
            drop(guard);
            // They may be what they are by a request that was cut short after its commit.
            if command.caller.user_id == command.target {
                self.deliver_again(&command.target).await?;
            }
            return answer;
        }
        let mut content = content_of(&command);
        if command.action == MembershipAction::Join {
            let authorising = self.authorising_user(room, &before, admitted_by.as_ref()).await?;
            if let Some(user_id) = authorising {
                let key = "join_authorised_via_users_server".to_owned();
                content.insert(key, user_id.to_string().into());
            }
        }
        let target = command.target.as_str();
        let sender = &command.caller.user_id;
        let draft = Draft::state(sender, "m.room.member", target, content);
        self.check_target(&draft)?;
        let after = membership_after(command.action);
        if self.policy_server(room).await?.is_some() {
            drop(guard);
            let count = || self.count_membership(&before, &after);
            return self.send_by_policy(draft, count).await.map(drop);
        }
        let mut plan = Plan::new(room);
        self.plan_event(room, &mut plan, draft).await?;
        self.count_membership(&before, &after)?;
        self.commit(room, &mut plan).await?;
        self.deliver_plan(guard, plan).await;
        Ok(())
    }

    /// Answers as if there were no room where others are in it and nobody of this server: what is
    /// known of it is out of date.
    async fn check_up_to_date(self: &Arc<Self>) -> Result<()> {
        let _room = self.read().await?;
        if self.is_resident().await? {
            return Ok(());
        }
        match servers::list(self.sql(), self.scope()).await?.is_empty() {
            true => Ok(()),
            false => Err(Error::UnknownRoom),
        }
    }

    /// Counts a membership that is authorized and not yet written: what strangers are refused uses
    /// up nothing of the room's.
    pub(crate) fn count_membership(
        &self,
        before: &MembershipState,
        after: &MembershipState,
    ) -> Result<()> {
        let bucket = match after {
            MembershipState::Join if *before != MembershipState::Join => Bucket::JoinsRoom,
            MembershipState::Invite => Bucket::InvitesRoom,
            _ => return Ok(()),
        };
        self.host.limits().take(bucket, self.id.as_str(), 1, self.now_ms())
    }

    /// Closes the room to a user: only who has left can forget.
    pub(crate) async fn forget(self: &Arc<Self>, user_id: &UserId) -> Result<()> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        match self.membership(room, user_id).await? {
            MembershipState::Leave | MembershipState::Ban => {}
            _ => {
                let message = "leave the room before you forget it";
                let status = StatusCode::BAD_REQUEST;
                return Err(Error::with_status(status, ErrorKind::Unknown, message));
            }
        }
        let (sql, scope) = (self.sql(), self.scope());
        let mut plan = Plan::new(room);
        plan.stmts.push(members::update_forgotten(scope, user_id));
        if !members::is_wanted(sql, scope, &self.local(), Some(user_id)).await? {
            let at_ms = self.now_ms() + limits::DESTROY_GRACE_MS;
            plan.effects.agenda.set(Due::Destroy, at_ms);
        }
        self.commit_quietly(room, &mut plan).await
    }

    /// Writes a new profile into a user's membership: nothing happens where the user is not
    /// joined.
    pub(crate) async fn update_profile(self: &Arc<Self>, profile: UpdateProfile) -> Result<()> {
        let UpdateProfile { user_id, displayname, avatar_url } = profile;
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let event = self.state_event(room, "m.room.member", user_id.as_str()).await?;
        let Some((_, event)) = event else { return Ok(()) };
        let mut content: CanonicalJsonObject = serde_json::from_str(event.content.get())?;
        let before = content.clone();
        if content.get("membership") != Some(&"join".to_owned().into()) {
            return Ok(());
        }
        set_profile(&mut content, displayname.as_deref(), avatar_url.as_ref());
        if content == before {
            return Ok(());
        }
        // These belong to the join they came with.
        content.remove("reason");
        content.remove("join_authorised_via_users_server");
        let draft = Draft::state(&user_id, "m.room.member", user_id.as_str(), content);
        if self.policy_server(room).await?.is_some() {
            drop(guard);
            return self.send_by_policy(draft, || Ok(())).await.map(drop);
        }
        let mut plan = Plan::new(room);
        self.plan_event(room, &mut plan, draft).await?;
        self.commit(room, &mut plan).await?;
        self.deliver_plan(guard, plan).await;
        Ok(())
    }

    /// Who asks for a change, as far as it decides what they may be told.
    async fn asker(&self, room: &Loaded, command: &ChangeMembership) -> Result<Asker> {
        let (user_id, target) = (&*command.caller.user_id, &*command.target);
        let has_power = match command.action {
            MembershipAction::Join | MembershipAction::Leave | MembershipAction::Knock => true,
            action => self.power_levels(room).await.is_ok_and(|power| match action {
                MembershipAction::Kick => power.user_can_kick_user(user_id, target),
                MembershipAction::Ban => power.user_can_ban_user(user_id, target),
                MembershipAction::Unban => power.user_can_unban_user(user_id, target),
                _ => power.user_can_invite(user_id),
            }),
        };
        let membership = self.membership(room, user_id).await?;
        Ok(Asker { membership, is_target: user_id == target, has_power })
    }

    /// What a refusal of core is to a client.
    pub(super) fn refused_change(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Outside => Self::unknown(),
            Refusal::Power => Error::forbidden("you lack the power to do this to this user"),
            Refusal::TargetAbsent => Error::forbidden("this user is not in the room"),
            Refusal::TargetNotBanned => Error::forbidden("this user is not banned"),
            Refusal::TargetJoined => Error::forbidden("this user is in the room already"),
        }
    }

    /// Whether the event that would come says just what the present one says.
    async fn says_the_same(&self, room: &Loaded, command: &ChangeMembership) -> Result<bool> {
        if command.action != MembershipAction::Join {
            return Ok(true);
        }
        let event = self.state_event(room, "m.room.member", command.target.as_str()).await?;
        let now: Profile = event
            .and_then(|(_, it)| serde_json::from_str(it.content.get()).ok())
            .unwrap_or_default();
        Ok(now.displayname == command.displayname && now.avatar_url == command.avatar_url)
    }

    /// Refuses to write an invitation of a user of another server: that is made first, and written
    /// when their server has signed it ([`Self::make_invite`]).
    pub(crate) fn check_target(&self, draft: &Draft<'_>) -> Result<()> {
        let (Some(target), "m.room.member") = (draft.state_key, draft.event_type) else {
            return Ok(());
        };
        let target = UserId::parse(target)
            .map_err(|_| Error::invalid_param("the state key is not a user ID"))?;
        let content = serde_json::to_string(&draft.content)?;
        if membership_of(&content) == MembershipState::Invite && !self.server.is_local(&target) {
            return Err(Error::forbidden("the server of this user has to sign the invitation"));
        }
        Ok(())
    }
}

/// The profile in a membership event.
#[derive(Default, Deserialize)]
struct Profile {
    displayname: Option<String>,
    avatar_url: Option<OwnedMxcUri>,
}

/// The membership that an action leads to.
fn membership_after(action: MembershipAction) -> MembershipState {
    match action {
        MembershipAction::Join => MembershipState::Join,
        MembershipAction::Leave | MembershipAction::Kick | MembershipAction::Unban => {
            MembershipState::Leave
        }
        MembershipAction::Invite => MembershipState::Invite,
        MembershipAction::Ban => MembershipState::Ban,
        MembershipAction::Knock => MembershipState::Knock,
    }
}

/// The content of the membership event.
fn content_of(command: &ChangeMembership) -> CanonicalJsonObject {
    let membership = membership_after(command.action);
    let mut content = CanonicalJsonObject::new();
    content.insert("membership".to_owned(), membership.as_str().to_owned().into());
    if matches!(
        membership,
        MembershipState::Join | MembershipState::Invite | MembershipState::Knock
    ) {
        set_profile(&mut content, command.displayname.as_deref(), command.avatar_url.as_ref());
    }
    if let Some(reason) = &command.reason {
        content.insert("reason".to_owned(), reason.clone().into());
    }
    if command.is_direct && membership == MembershipState::Invite {
        content.insert("is_direct".to_owned(), true.into());
    }
    content
}

/// Sets or removes the profile fields.
fn set_profile(
    content: &mut CanonicalJsonObject,
    displayname: Option<&str>,
    avatar_url: Option<&OwnedMxcUri>,
) {
    let fields = [
        ("displayname", displayname.map(str::to_owned)),
        ("avatar_url", avatar_url.map(ToString::to_string)),
    ];
    for (name, value) in fields {
        match value {
            Some(value) => content.insert(name.to_owned(), value.into()),
            None => content.remove(name),
        };
    }
}
