//! Who is there ([spec]): what a user's devices say makes their status, which is told on when it
//! changes, and which nobody believes for ever. No status has a position in a stream: of a user
//! the newest one counts.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#presence

use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, UInt,
    api::federation::transactions::edu::PresenceUpdate,
    events::presence::{PresenceEvent, PresenceEventContent},
    presence::PresenceState,
};
use serde::{Deserialize, Serialize};

use crate::integer::MAX_SAFE;

/// Bytes of a status message. A longer one is refused of a client, and left out of what another
/// server says.
pub const MAX_STATUS_MSG_BYTES: usize = 256;

/// Statuses that are read of one transaction, and that are kept for one that is to be sent.
pub const MAX_STATUSES: usize = 500;

/// Statuses of one EDU.
pub const MAX_STATUSES_PER_EDU: usize = 100;

/// How long after the user has done something they are still active, in milliseconds.
pub const IDLE_MS: u64 = 5 * 60 * 1000;

/// The times by which statuses come and go, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long after the end of a request a device counts as there.
    pub offline: u64,
    /// How often a user's status is told at most.
    pub told_every: u64,
    /// How often it is told though it is the same.
    pub refresh: u64,
    /// How long it is believed that is not told again.
    pub stale: u64,
}

/// A user's status, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Whether they are there.
    pub presence: PresenceState,
    /// What they say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_msg: Option<String>,
    /// When they last did something, in milliseconds since the Unix epoch; none: it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_ms: Option<u64>,
    /// When it was told, likewise.
    pub at_ms: u64,
}

impl Status {
    /// Whether the same is said, whenever.
    pub fn says_as(&self, other: &Self) -> bool {
        self.presence == other.presence && self.status_msg == other.status_msg
    }

    /// Whether the user is there, as far as that is still believed.
    pub fn is_believed(&self, now_ms: u64, times: Times) -> bool {
        self.presence != PresenceState::Offline && now_ms < self.at_ms.saturating_add(times.stale)
    }

    /// The content of the event for clients. Who is online has not been idle for long: the status
    /// changes when they are.
    pub fn content(&self, now_ms: u64) -> PresenceEventContent {
        let mut content = PresenceEventContent::new(self.presence.clone());
        content.status_msg.clone_from(&self.status_msg);
        content.last_active_ago = self.active_ms.map(|it| ago(it, now_ms));
        content.currently_active = Some(self.presence == PresenceState::Online);
        content
    }

    /// The event for clients.
    pub fn event(self, now_ms: u64) -> PresenceEvent {
        PresenceEvent { content: self.content(now_ms), sender: self.user_id }
    }

    /// What another server is told.
    pub fn update(self, now_ms: u64) -> PresenceUpdate {
        let ago = ago(self.active_ms.unwrap_or(self.at_ms), now_ms);
        let mut update = PresenceUpdate::new(self.user_id, self.presence, ago);
        update.currently_active = update.presence == PresenceState::Online;
        update.status_msg = self.status_msg;
        update
    }

    /// What another server has said. None: it is no status.
    pub fn received(update: PresenceUpdate, now_ms: u64) -> Option<Self> {
        rank(&update.presence)?;
        Some(Self {
            user_id: update.user_id,
            presence: update.presence,
            status_msg: update.status_msg.filter(|it| it.len() <= MAX_STATUS_MSG_BYTES),
            active_ms: Some(now_ms.saturating_sub(update.last_active_ago.into())),
            at_ms: now_ms,
        })
    }
}

fn ago(at_ms: u64, now_ms: u64) -> UInt {
    UInt::new_saturating(now_ms.saturating_sub(at_ms))
}

/// How much somebody is there; none: it is no state of the specification.
pub fn rank(presence: &PresenceState) -> Option<u8> {
    match presence {
        PresenceState::Offline => Some(0),
        PresenceState::Unavailable => Some(1),
        PresenceState::Online => Some(2),
        _ => None,
    }
}

/// What is known of a local user. Of their devices that one counts which is there the most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// What that device says.
    said: PresenceState,
    by: OwnedDeviceId,
    /// Until when it counts as there.
    until_ms: u64,
    active_ms: Option<u64>,
    status_msg: Option<String>,
    /// What was told last, and when.
    told: PresenceState,
    told_ms: u64,
    is_message_told: bool,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            said: PresenceState::Offline,
            by: OwnedDeviceId::from(""),
            until_ms: 0,
            active_ms: None,
            status_msg: None,
            told: PresenceState::Offline,
            told_ms: 0,
            is_message_told: true,
        }
    }
}

impl Own {
    /// A client sets the status.
    pub fn set(
        &mut self,
        device_id: &DeviceId,
        presence: PresenceState,
        status_msg: Option<String>,
        (now_ms, times): (u64, Times),
    ) {
        let is_offline = presence == PresenceState::Offline;
        let status_msg = status_msg.filter(|_| !is_offline);
        self.is_message_told &= self.status_msg == status_msg;
        self.status_msg = status_msg;
        // Whatever other devices have said.
        self.until_ms = 0;
        if is_offline {
            self.said = presence;
        } else {
            self.claim(device_id, presence, now_ms.saturating_add(times.offline), now_ms);
        }
    }

    /// A client asks for what is new, and waits for so long. Who asks as if they were offline says
    /// nothing of it.
    pub fn asked(
        &mut self,
        device_id: &DeviceId,
        presence: PresenceState,
        wait_ms: u64,
        (now_ms, times): (u64, Times),
    ) {
        if presence != PresenceState::Offline {
            let until_ms = now_ms.saturating_add(wait_ms).saturating_add(times.offline);
            self.claim(device_id, presence, until_ms, now_ms);
        }
    }

    /// A device that is less there than another one does not count.
    fn claim(&mut self, device_id: &DeviceId, said: PresenceState, until_ms: u64, now_ms: u64) {
        let is_there = now_ms < self.until_ms;
        if is_there && self.by != device_id && rank(&said) < rank(&self.said) {
            return;
        }
        let was_online = is_there && self.said == PresenceState::Online;
        if said == PresenceState::Online && !was_online {
            self.active_ms = Some(now_ms);
        }
        if !is_there || self.said != said || self.by == device_id || until_ms > self.until_ms {
            self.by = device_id.to_owned();
            self.until_ms = until_ms;
        }
        self.said = said;
    }

    /// The user has done something: whoever is there is online then.
    pub fn acted(&mut self, at_ms: u64, now_ms: u64) {
        let at_ms = at_ms.min(now_ms);
        let is_newer = self.active_ms.is_none_or(|it| it < at_ms);
        if now_ms < self.until_ms && is_newer {
            self.active_ms = Some(at_ms);
            if now_ms < at_ms.saturating_add(IDLE_MS) {
                self.said = PresenceState::Online;
            }
        }
    }

    /// A device is there still, whatever was known of it.
    pub fn stays(&mut self, now_ms: u64, times: Times) {
        if self.said != PresenceState::Offline {
            self.until_ms = self.until_ms.max(now_ms.saturating_add(times.offline));
        }
    }

    /// Whether the user is there.
    pub fn shown(&self, now_ms: u64) -> PresenceState {
        let is_idle = self.active_ms.is_none_or(|it| now_ms >= it.saturating_add(IDLE_MS));
        match &self.said {
            _ if now_ms >= self.until_ms => PresenceState::Offline,
            PresenceState::Online if is_idle => PresenceState::Unavailable,
            said => said.clone(),
        }
    }

    /// The status as it is now.
    pub fn status(&self, user_id: OwnedUserId, now_ms: u64) -> Status {
        Status {
            user_id,
            presence: self.shown(now_ms),
            status_msg: self.status_msg.clone(),
            active_ms: self.active_ms,
            at_ms: now_ms,
        }
    }

    fn is_news(&self, now_ms: u64) -> bool {
        self.shown(now_ms) != self.told || !self.is_message_told
    }

    /// Whether the status is to be told now, which then counts as told.
    pub fn tell(&mut self, now_ms: u64, times: Times) -> bool {
        let due_ms = match self.is_news(now_ms) {
            true => self.told_ms.saturating_add(times.told_every),
            false if self.told == PresenceState::Offline => MAX_SAFE,
            false => self.told_ms.saturating_add(times.refresh),
        };
        if now_ms < due_ms {
            return false;
        }
        self.told = self.shown(now_ms);
        self.told_ms = now_ms;
        self.is_message_told = true;
        true
    }

    /// When to look again, if nothing else happens.
    pub fn due_ms(&self, now_ms: u64, times: Times) -> Option<u64> {
        if self.is_news(now_ms) {
            return Some(self.told_ms.saturating_add(times.told_every));
        }
        let refresh_ms = self.told_ms.saturating_add(times.refresh);
        let idle_ms = self.active_ms.map(|it| it.saturating_add(IDLE_MS));
        match &self.told {
            PresenceState::Offline => None,
            PresenceState::Online => idle_ms.into_iter().chain([self.until_ms, refresh_ms]).min(),
            _ => Some(self.until_ms.min(refresh_ms)),
        }
    }
}

#[cfg(test)]
mod tests;
