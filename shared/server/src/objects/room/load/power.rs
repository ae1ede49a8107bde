//! Who has which power: read from the current state, or from any other.

use std::sync::Arc;

use ruma::{
    UserId,
    events::room::{
        create::RoomCreateEventContent,
        power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent},
    },
    room_version_rules::RoomVersionRules,
};
use skerry_core::{Pdu, authorize::StateKey, engine::State};

use crate::{
    Error, Result,
    objects::room::{
        Room,
        loaded::{Loaded, state_event::StateEvent},
    },
};

impl Room {
    /// The room's power levels, with the creators' where the version has it.
    pub(crate) async fn power_levels(&self, room: &Loaded) -> Result<RoomPowerLevels> {
        let create = self.state_event(room, "m.room.create", "").await?;
        let power = self.state_event(room, "m.room.power_levels", "").await?;
        let event = |it: &Option<StateEvent>| it.as_ref().map(|(_, it)| Arc::clone(it));
        power_levels(event(&create).as_deref(), event(&power).as_deref(), &room.rules)
    }

    /// Whether the state before lets the sender notify the whole room.
    pub(crate) async fn may_notify_by(
        &self,
        room: &mut Loaded,
        pdu: &Pdu,
        before: Option<&State>,
    ) -> Result<bool> {
        let state = self.powers(room, before).await?;
        Ok(!state.is_empty() && may_notify(&state, &pdu.sender, &room.rules))
    }

    /// What says in a state who has which power.
    pub(crate) async fn powers(
        &self,
        room: &mut Loaded,
        state: Option<&State>,
    ) -> Result<Vec<(StateKey, Arc<Pdu>)>> {
        let Some(state) = state else { return Ok(Vec::new()) };
        let keys = ["m.room.create", "m.room.power_levels"]
            .map(|event_type| room.engine_memory.keys.intern(event_type, ""));
        let pieces = self.pieces(room, state, &keys).await?;
        Ok(pieces.into_iter().map(|(key, (_, event))| (key, event)).collect())
    }
}

/// The power levels that these two state events make.
pub(crate) fn power_levels(
    create: Option<&Pdu>,
    power: Option<&Pdu>,
    rules: &RoomVersionRules,
) -> Result<RoomPowerLevels> {
    let create = create.ok_or_else(|| Error::internal("the room has no create event"))?;
    let content: RoomCreateEventContent = serde_json::from_str(create.content.get())?;
    let mut creators = vec![create.sender.clone()];
    creators.extend(content.additional_creators);
    let power: Option<RoomPowerLevelsEventContent> =
        power.and_then(|it| serde_json::from_str(it.content.get()).ok());
    Ok(RoomPowerLevels::new(power.into(), &rules.authorization, creators))
}

/// Whether the state lets a user notify the whole room.
pub(crate) fn may_notify(
    state: &[(StateKey, Arc<Pdu>)],
    sender: &UserId,
    rules: &RoomVersionRules,
) -> bool {
    let piece = |name| state.iter().find(|(key, _)| key.0 == name).map(|(_, it)| &**it);
    let (create, power) = (piece("m.room.create"), piece("m.room.power_levels"));
    power_levels(create, power, rules).is_ok_and(|it| it.user_can_trigger_room_notification(sender))
}
