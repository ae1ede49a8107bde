//! Whether a user may do what is written outside the room.

use std::sync::Arc;

use ruma::{
    UserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{Error, Result, messages::room::Action, objects::room::Room};

impl Room {
    pub(crate) async fn check_may(
        self: &Arc<Self>,
        user_id: &UserId,
        action: Action,
    ) -> Result<()> {
        let room = self.read().await?;
        match action {
            Action::BeJoined => self.check_joined(&room, user_id).await?,
            Action::ReadAliases => {
                let timeline = self.timeline_of_user(&room, user_id).await?;
                if timeline.membership() != MembershipState::Join && !timeline.is_world_readable() {
                    return Err(Self::unknown());
                }
            }
            Action::InviteByThirdParty => {
                self.check_joined(&room, user_id).await?;
                if !self.power_levels(&room).await?.user_can_invite(user_id) {
                    return Err(Error::forbidden("you lack the power to invite"));
                }
            }
            Action::ChangeDirectory | Action::RemoveAlias => {
                self.check_joined(&room, user_id).await?;
                let power = self.power_levels(&room).await?;
                if !power.user_can_send_state(user_id, StateEventType::RoomCanonicalAlias) {
                    return Err(Error::forbidden(
                        "you lack the power to change the room's aliases",
                    ));
                }
            }
        }
        Ok(())
    }
}
