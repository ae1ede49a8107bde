//! Alarms of rooms that fail, and agendas that are due, because a test asked for it. Not compiled
//! into what is deployed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedRoomId, RoomId};
use serde::Serialize;

use crate::{Error, Result};

/// What has become of the alarms of a room since a test asked for it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Alarms {
    /// So many are yet to fail.
    pub failures_left: u64,
    /// So many have failed.
    pub failed: u64,
    /// So many have not.
    pub succeeded: u64,
}

/// Rooms at whose next alarm everything on their agenda is due.
static ALL_DUE: Mutex<BTreeSet<OwnedRoomId>> = Mutex::new(BTreeSet::new());

static ROOMS: Mutex<BTreeMap<OwnedRoomId, Alarms>> = Mutex::new(BTreeMap::new());

fn rooms() -> MutexGuard<'static, BTreeMap<OwnedRoomId, Alarms>> {
    ROOMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the room's next alarms fail.
pub fn let_fail(room_id: OwnedRoomId, failures_left: u64) {
    rooms().insert(room_id, Alarms { failures_left, ..Alarms::default() });
}

/// What has become of the room's alarms.
pub fn find(room_id: &RoomId) -> Option<Alarms> {
    rooms().get(room_id).copied()
}

/// The room's alarm goes off.
pub(super) fn goes_off(room_id: &RoomId) -> Result<()> {
    let mut rooms = rooms();
    let Some(alarms) = rooms.get_mut(room_id) else { return Ok(()) };
    match alarms.failures_left.checked_sub(1) {
        Some(left) => {
            *alarms = Alarms { failures_left: left, failed: alarms.failed + 1, ..*alarms };
            Err(Error::internal("a test asked for this failure"))
        }
        None => {
            alarms.succeeded += 1;
            Ok(())
        }
    }
}

/// Lets everything on the room's agenda be due at its next alarm.
pub fn let_all_be_due(room_id: OwnedRoomId) {
    ALL_DUE.lock().unwrap_or_else(PoisonError::into_inner).insert(room_id);
}

/// What the room's agenda takes for the time at this alarm, in milliseconds since the Unix epoch.
pub(super) fn agenda_ms(room_id: &RoomId, now_ms: u64) -> u64 {
    let mut all_due = ALL_DUE.lock().unwrap_or_else(PoisonError::into_inner);
    if all_due.remove(room_id) { u64::MAX } else { now_ms }
}
