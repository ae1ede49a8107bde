//! Telling who is there. Rooms say whom it concerns, and remember it for those who come; each of
//! these is told once, however many rooms they share, without a row and without an answer. What is
//! lost comes when it changes, or is told again.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};
use skerry_core::presence::{Status, Times};

use crate::{
    messages::{
        destination,
        room::{Audience, NoteStatuses},
        user,
    },
    ports::Objects,
};

/// How statuses come and go. One of another server is believed for half an hour, as Synapse does
/// it. Tests wait for all of it.
pub(super) const TIMES: Times = if cfg!(feature = "test-routes") {
    Times { offline: 4_000, told_every: 500, refresh: 4_000, stale: 6_000 }
} else {
    Times { offline: 2 * 60_000, told_every: 10_000, refresh: 25 * 60_000, stale: 30 * 60_000 }
};

/// Rooms in which statuses are told.
pub(super) const ROOMS: usize = 200;

/// Local users who are told at most, and other servers likewise.
const TOLD: usize = 1_000;

/// Rooms, users and servers that are asked or told at the same time.
const AT_ONCE: usize = 8;

/// Whom statuses concern.
#[derive(Debug, Default)]
struct Concerned {
    /// Local users, and whose statuses.
    users: BTreeMap<OwnedUserId, BTreeSet<OwnedUserId>>,
    /// Other servers likewise, and the rooms that they share.
    servers: BTreeMap<OwnedServerName, (BTreeSet<OwnedUserId>, Vec<OwnedRoomId>)>,
}

impl Concerned {
    fn add(&mut self, room_id: &OwnedRoomId, audience: Audience) {
        let Audience { joined, users, servers } = audience;
        for user_id in users {
            if self.users.len() < TOLD || self.users.contains_key(&user_id) {
                self.users.entry(user_id).or_default().extend(joined.iter().cloned());
            }
        }
        for server in servers {
            if self.servers.len() < TOLD || self.servers.contains_key(&server) {
                let (of, rooms) = self.servers.entry(server).or_default();
                of.extend(joined.iter().cloned());
                rooms.push(room_id.clone());
            }
        }
    }
}

/// Tells the statuses of users in some rooms: local users who read these, and other servers in them
/// where those are to be told.
pub(super) async fn tell(
    objects: &dyn Objects,
    rooms: Vec<OwnedRoomId>,
    statuses: Vec<Status>,
    to_servers: bool,
) {
    let concerned = concerned(objects, rooms, &statuses, to_servers).await;
    let pick = |of: &BTreeSet<OwnedUserId>| -> Vec<Status> {
        statuses.iter().filter(|it| of.contains(&it.user_id)).cloned().collect()
    };
    let users = concerned.users.into_iter().map(|(user_id, of)| (user_id, pick(&of)));
    let tell_user = |(user_id, statuses): (OwnedUserId, _)| async move {
        if let Err(error) = objects.ask(&*user_id, user::StatusActivity { statuses }).await {
            tracing::debug!(%error, %user_id, "a user was not told who is there");
        }
    };
    let users: Vec<_> = users.collect();
    stream::iter(users).for_each_concurrent(AT_ONCE, tell_user).await;
    let servers = concerned.servers.into_iter().map(|(server, (of, rooms))| {
        (server, destination::StatusActivity { rooms, statuses: pick(&of) })
    });
    let servers: Vec<_> = servers.collect();
    let tell_server = |(server, activity): (OwnedServerName, _)| async move {
        if let Err(error) = objects.ask(&*server, activity).await {
            tracing::debug!(%error, %server, "a server was not told who is there");
        }
    };
    stream::iter(servers).for_each_concurrent(AT_ONCE, tell_server).await;
}

/// Asks rooms whom statuses concern. One that fails concerns nobody.
async fn concerned(
    objects: &dyn Objects,
    rooms: Vec<OwnedRoomId>,
    statuses: &[Status],
    to_servers: bool,
) -> Concerned {
    let ask = |room_id: OwnedRoomId| async move {
        let question = NoteStatuses { statuses: statuses.to_vec(), to_servers };
        let answer = objects.ask(&*room_id, question).await;
        (room_id, answer)
    };
    let mut answers = stream::iter(rooms).map(ask).buffer_unordered(AT_ONCE);
    let mut concerned = Concerned::default();
    while let Some((room_id, answer)) = answers.next().await {
        match answer {
            Ok(audience) => concerned.add(&room_id, audience),
            Err(error) => tracing::debug!(%error, %room_id, "a room was not told who is there"),
        }
    }
    concerned
}
