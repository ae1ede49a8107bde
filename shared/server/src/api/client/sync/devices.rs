//! `device_lists` of a `/sync` response: rooms say whose devices changed, with whom they are shared
//! and with whom not any more. Who is left of the latter is with whom no encrypted room is shared.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use skerry_core::gather::Gather as _;

use super::ROOMS_AT_ONCE;
use crate::{
    Result,
    api::Cx,
    messages::{
        Caller,
        room::{DeviceChanges, WhoShares},
        user::ListRooms,
    },
};

/// Rooms that are asked with whom they are shared. Who is in more is not told who has left: their
/// client goes on knowing keys that it does not need.
const MAX_SHARED_ROOMS: usize = 200;

/// What rooms have said.
#[derive(Debug, Default)]
pub(in super::super) struct Devices {
    changed: BTreeSet<OwnedUserId>,
    left: BTreeSet<OwnedUserId>,
}

impl Devices {
    /// Of these keys are to be asked for anew, whatever rooms say.
    pub(in super::super) fn new(changed: Vec<OwnedUserId>) -> Self {
        Self { changed: changed.into_iter().gather(), left: BTreeSet::new() }
    }

    /// What a room says.
    pub(in super::super) fn add(&mut self, changes: DeviceChanges) {
        self.changed.extend(changes.changed);
        self.left.extend(changes.left);
    }

    /// What the client is told.
    pub(in super::super) async fn resolve(
        mut self,
        cx: &Cx,
        caller: &Caller,
    ) -> Result<DeviceChanges> {
        self.left.retain(|it| !self.changed.contains(it));
        if !self.left.is_empty() {
            let left = self.left.into_iter().collect();
            self.left = not_shared(cx, caller, left).await?.into_iter().gather();
        }
        let (changed, left) = (self.changed.into_iter(), self.left.into_iter());
        Ok(DeviceChanges { changed: changed.gather(), left: left.gather() })
    }
}

/// Those of some users who share no encrypted room with the caller.
async fn not_shared(
    cx: &Cx,
    caller: &Caller,
    mut users: Vec<OwnedUserId>,
) -> Result<Vec<OwnedUserId>> {
    let question = ListRooms { membership: MembershipState::Join };
    let rooms = cx.ports.objects.ask(&*caller.user_id, question).await?;
    if rooms.len() > MAX_SHARED_ROOMS {
        return Ok(Vec::new());
    }
    for rooms in rooms.chunks(ROOMS_AT_ONCE) {
        let asks = rooms.iter().map(|it| who_shares(cx, caller, it.clone(), users.clone()));
        let asks: Vec<_> = asks.collect();
        let answers: Vec<_> = stream::iter(asks).buffer_unordered(ROOMS_AT_ONCE).collect().await;
        for answer in answers {
            match answer {
                Ok(shared) => users.retain(|it| !shared.contains(it)),
                Err(error) if error.is_refusal() => {}
                // Nobody knows who is there: nobody is said to have left.
                Err(_) => return Ok(Vec::new()),
            }
        }
        if users.is_empty() {
            break;
        }
    }
    Ok(users)
}

async fn who_shares(
    cx: &Cx,
    caller: &Caller,
    room_id: OwnedRoomId,
    others: Vec<OwnedUserId>,
) -> Result<Vec<OwnedUserId>> {
    let question = WhoShares { user_id: caller.user_id.clone(), others };
    cx.ports.objects.ask(&*room_id, question).await
}
