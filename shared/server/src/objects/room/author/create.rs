//! Creating the room.

use std::sync::Arc;

use http::StatusCode;
use ruma::api::error::ErrorKind;
use skerry_core::{Pdu, pdu, room_version};

use crate::{
    Error, Result,
    messages::room::Create,
    objects::room::{
        Room,
        author::not_built,
        limits,
        loaded::{Loaded, draft::Draft, effects::Due, plan::Plan},
    },
    store::room::{meta, state},
};

impl Room {
    /// Makes the room: all events of the beginning in one batch.
    pub(crate) async fn create(self: &Arc<Self>, command: Create) -> Result<()> {
        let until_ms = command.until_ms;
        let Create { creator, room_version, create_event, state, invites, listed, alias, .. } =
            command;
        let mut guard = self.lock_to_begin().await?;
        if guard.is_some() || self.load().await?.is_some() {
            return Err(Error::api(ErrorKind::RoomInUse, "this room exists already"));
        }
        let rules = room_version::rules(&room_version).ok_or_else(|| {
            Error::api(ErrorKind::UnsupportedRoomVersion, "this room version is not supported")
        })?;
        let create = Pdu::from_signed(&create_event, &rules).map_err(not_built)?;
        if create.room_id != self.id || create.sender != creator.user_id {
            return Err(Error::internal("the create event is of another room or user"));
        }
        let mut room = Loaded::empty(room_version, rules);
        room.effects.alias = alias;
        let mut plan = Plan::new(&room);
        plan.effects.listed = listed;
        if room.effects.alias.is_some() {
            plan.effects.agenda.set(Due::Alias, self.now_ms() + limits::EFFECT_GRACE_MS);
        }
        plan.stmts.push(meta::insert(
            self.scope(),
            &room.version,
            listed,
            room.effects.alias.as_deref(),
        ));
        plan.stmts.push(state::insert_first_chain(self.scope()));
        self.add(&room, &mut plan, (&Arc::new(create), &[]), None, || false).await?;
        for it in &state {
            let content = pdu::parse_content(&it.content).map_err(not_built)?;
            let draft = Draft::state(&creator.user_id, &it.event_type, &it.state_key, content);
            self.plan_event(&mut room, &mut plan, draft).await?;
        }
        for (user_id, content) in &invites {
            let content = pdu::parse_content(content).map_err(not_built)?;
            let key = user_id.as_str();
            let draft = Draft::state(&creator.user_id, "m.room.member", key, content);
            self.check_target(&draft)?;
            self.plan_event(&mut room, &mut plan, draft).await?;
        }
        if until_ms.is_some_and(|it| it <= self.now_ms()) {
            let message = "it took too long to create the room: please try again";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Error::with_status(status, ErrorKind::Unknown, message));
        }
        self.commit(&mut room, &mut plan).await?;
        *guard = Some(room);
        self.deliver_plan(guard, plan).await;
        Ok(())
    }
}
