//! Dummy events: too many forward extremities are joined when nobody here says anything.

use std::sync::Arc;

use http::StatusCode;
use ruma::{
    CanonicalJsonObject, OwnedDeviceId, OwnedUserId, events::room::member::MembershipState,
};
use serde_json::value::to_raw_value;
use skerry_core::dummy_event::{
    AT_ONCE, EVENT_TYPE, FEW_EXTREMITIES, MAX_SENDERS, NOBODY_MS, PAUSE_MS, senders,
};

use crate::{
    Error, Result,
    messages::{Caller, room::Send},
    objects::room::{
        Room,
        loaded::{Loaded, effects::Due, in_memory, plan::Plan},
    },
    store::room::members,
};

impl Room {
    /// Sends dummy events until one extremity is left, some at most; the rest is put on the agenda.
    pub(crate) async fn join_extremities(self: &Arc<Self>) -> Result<()> {
        let Some(senders) = self.begin_joining().await? else { return Ok(()) };
        for sender in senders {
            if self.join_extremities_as(&sender).await? {
                return Ok(());
            }
        }
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        tracing::info!(room_id = %self.id, "nobody here may join the room's extremities");
        let mut plan = Plan::new(room);
        plan.effects.agenda.set(Due::Extremities, self.now_ms() + NOBODY_MS);
        self.commit_quietly(room, &mut plan).await
    }

    /// In whose name it is tried. None: nothing is to be done. The next time stands on the agenda
    /// before anything is sent: however this ends, it is not tried again at once.
    async fn begin_joining(self: &Arc<Self>) -> Result<Option<Vec<OwnedUserId>>> {
        let mut guard = self.write().await?;
        let room = in_memory(&mut guard)?;
        let mut plan = Plan::new(room);
        let is_needed = room.extremities.len() > FEW_EXTREMITIES && self.is_resident().await?;
        let senders = match is_needed {
            true => Some(self.list_dummy_senders(room).await?),
            false => None,
        };
        match senders {
            Some(_) => plan.effects.agenda.set(Due::Extremities, self.now_ms() + PAUSE_MS),
            None => plan.effects.agenda.clear(Due::Extremities),
        }
        self.commit_quietly(room, &mut plan).await?;
        Ok(senders)
    }

    /// Joined users of this server who may send a dummy event by the current state, some of them.
    async fn list_dummy_senders(&self, room: &Loaded) -> Result<Vec<OwnedUserId>> {
        let power = self.power_levels(room).await?;
        let (named, is_open) = senders(&power, |it| self.server.is_local(it));
        let mut found = Vec::new();
        for user_id in named {
            if found.len() < MAX_SENDERS
                && self.membership(room, &user_id).await? == MembershipState::Join
            {
                found.push(user_id);
            }
        }
        if is_open {
            let (sql, scope, local) = (self.sql(), self.scope(), self.local());
            let joined = members::list_joined_local(sql, scope, &local, MAX_SENDERS).await?;
            found.extend(joined.into_iter().filter(|it| !power.users.contains_key(it)));
        }
        found.truncate(MAX_SENDERS);
        Ok(found)
    }

    /// Sends them in a user's name. False: the room does not let the user.
    async fn join_extremities_as(self: &Arc<Self>, user_id: &OwnedUserId) -> Result<bool> {
        let caller = Caller { user_id: user_id.clone(), device_id: OwnedDeviceId::from("") };
        for _ in 0..AT_ONCE {
            let send = Send {
                caller: caller.clone(),
                event_type: EVENT_TYPE.to_owned(),
                state_key: None,
                content: to_raw_value(&CanonicalJsonObject::new())?,
                transaction_id: None,
                timestamp_ms: None,
            };
            match self.send(send).await {
                Ok(_) if self.read().await?.extremities.len() == 1 => break,
                Ok(_) => {}
                Err(error) if is_about_sender(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Whether another user may be let.
fn is_about_sender(error: &Error) -> bool {
    error.is_refusal() && error.status() == StatusCode::FORBIDDEN
}
