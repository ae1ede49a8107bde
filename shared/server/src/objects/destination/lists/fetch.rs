//! Asking the server for lists, and rooms for whom they are shared with.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, future::join, stream};
use ruma::{
    OwnedRoomId, OwnedUserId, UserId,
    api::federation::{device::get_devices, keys::get_keys},
    events::room::member::MembershipState,
};
use skerry_core::{
    device_keys::lists::{DeviceList, MAX_LIST_BYTES},
    gather::Gather as _,
};

use super::MAX_GIVEN_BYTES;
use crate::{
    Result,
    messages::{room::WhoShares, user::ListRooms},
    objects::destination::Destination,
    peers::{Limits, PeerError, Peers},
};

/// Bytes of an answer about several users.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// Users of whom one request asks.
const USERS_PER_REQUEST: usize = 200;

/// Bytes of an answer about one user.
const MAX_USER_BYTES: u64 = 2 * MAX_LIST_BYTES as u64;
/// Users who are asked for one by one, so that the answers have IDs. Where there are more, these
/// are not worth so many requests.
const MAX_SINGLE: usize = 20;
/// Such requests at the same time.
const SINGLE_AT_ONCE: usize = 4;

/// Rooms that are asked whether they are shared.
const MAX_ROOMS: usize = 200;
/// Those that are asked at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// A list as the server has given it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) list: DeviceList,
    /// The update that it was fetched at.
    pub(super) id: Option<u64>,
    /// The server says something of this user. If not, that is no list that could be kept.
    pub(super) is_said: bool,
}

/// What came of asking for one user's list.
enum Single {
    Fetched(Fetched),
    /// It may be had together with others.
    Refused,
    Silent,
}

impl Destination {
    /// Asks the server for lists, until a time. Users of whom it has said nothing are not among
    /// the answer. `users`: whether an ID is wanted. `for_client`: a client waits, who shall not do
    /// so for a server that has lately not answered.
    ///
    /// The specification has two ways to ask: of several users, without IDs, and of one, with an ID
    /// which says behind which update the list stands. Without one the next update has the list
    /// fetched again: so that is good enough for lists of which no update has come yet.
    pub(super) async fn fetch_lists(
        &self,
        users: BTreeMap<OwnedUserId, bool>,
        deadline_ms: u64,
        for_client: bool,
    ) -> BTreeMap<OwnedUserId, Fetched> {
        let peers = if for_client { self.peers().sparing_silent() } else { self.peers() };
        let (mut single, mut several) = (Vec::new(), Vec::new());
        for (user_id, wants_id) in users {
            let is_single = wants_id && single.len() < MAX_SINGLE;
            if is_single { single.push(user_id) } else { several.push(user_id) }
        }
        let ask = |user_id: OwnedUserId| async move {
            let answer = self.fetch_one(peers, &user_id, deadline_ms).await;
            (user_id, answer)
        };
        let single = stream::iter(single).map(ask).buffer_unordered(SINGLE_AT_ONCE).collect();
        let (single, mut fetched): (Vec<_>, _) =
            join(single, self.fetch_several(peers, &several, deadline_ms)).await;
        let mut refused = Vec::new();
        for (user_id, answer) in single {
            match answer {
                Single::Fetched(it) => drop(fetched.insert(user_id, it)),
                Single::Refused => refused.push(user_id),
                Single::Silent => {}
            }
        }
        fetched.extend(self.fetch_several(peers, &refused, deadline_ms).await);
        fetched
    }

    async fn fetch_one(&self, peers: Peers<'_>, user_id: &UserId, deadline_ms: u64) -> Single {
        let Some(limits) = self.limits_until(deadline_ms, MAX_USER_BYTES) else {
            return Single::Silent;
        };
        let request = get_devices::v1::Request::new(user_id.to_owned());
        match peers.ask(&self.name, request, limits).await {
            Ok(answer) => match DeviceList::of_user(&answer, user_id) {
                Some((list, id)) => Single::Fetched(Fetched { list, id: Some(id), is_said: true }),
                None => Single::Refused,
            },
            Err(error) => {
                self.log_failure(&error);
                if error.may_pass() { Single::Silent } else { Single::Refused }
            }
        }
    }

    async fn fetch_several(
        &self,
        peers: Peers<'_>,
        users: &[OwnedUserId],
        deadline_ms: u64,
    ) -> BTreeMap<OwnedUserId, Fetched> {
        let (mut fetched, mut bytes) = (BTreeMap::new(), 0);
        for users in users.chunks(USERS_PER_REQUEST) {
            let Some(limits) = self.limits_until(deadline_ms, MAX_ANSWER_BYTES) else { break };
            let asked = users.iter().map(|it| (it.clone(), Vec::new())).gather();
            let request = get_keys::v1::Request::new(asked);
            let answer = match peers.ask(&self.name, request, limits).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.log_failure(&error);
                    break;
                }
            };
            for user_id in users {
                let (list, is_said) = DeviceList::of_query(&answer, user_id);
                bytes += list.bytes() as u64;
                if bytes <= MAX_GIVEN_BYTES {
                    fetched.insert(user_id.clone(), Fetched { list, id: None, is_said });
                }
            }
        }
        fetched
    }

    fn limits_until(&self, deadline_ms: u64, max_answer_bytes: u64) -> Option<Limits> {
        let left_ms = deadline_ms.saturating_sub(self.host.clock().now_ms());
        let timeout = Duration::from_millis(left_ms);
        (left_ms > 0).then_some(Limits { max_answer_bytes, timeout })
    }

    fn log_failure(&self, error: &PeerError) {
        tracing::debug!(server = %self.name, %error, "a server does not say which devices there are");
    }

    /// An encrypted room for each of some users that they share with a local user, where there is
    /// one of which this server is told what happens there.
    pub(super) async fn find_shared_rooms(
        &self,
        reader: &UserId,
        mut users: Vec<OwnedUserId>,
    ) -> BTreeMap<OwnedUserId, OwnedRoomId> {
        let mut shared = BTreeMap::new();
        if users.is_empty() {
            return shared;
        }
        let rooms = self.rooms_with(reader).await.unwrap_or_else(|error| {
            tracing::debug!(server = %self.name, %error, "nobody knows which rooms are shared");
            Vec::new()
        });
        for rooms in rooms.chunks(ROOMS_AT_ONCE) {
            let asks = rooms.iter().map(|room_id| {
                let (user_id, others) = (reader.to_owned(), users.clone());
                async move {
                    let question = WhoShares { user_id, others };
                    (room_id, self.host.objects().ask(&**room_id, question).await)
                }
            });
            let asks: Vec<_> = asks.collect();
            let answers: Vec<_> =
                stream::iter(asks).buffer_unordered(ROOMS_AT_ONCE).collect().await;
            for (room_id, who) in answers {
                for user_id in who.unwrap_or_default() {
                    shared.entry(user_id).or_insert_with(|| room_id.clone());
                }
            }
            users.retain(|it| !shared.contains_key(it));
            if users.is_empty() {
                break;
            }
        }
        shared
    }

    /// Rooms of a local user in which the server is given events.
    async fn rooms_with(&self, reader: &UserId) -> Result<Vec<OwnedRoomId>> {
        let question = ListRooms { membership: MembershipState::Join };
        let mut rooms = self.host.objects().ask(reader, question).await?;
        let state = self.lock().await?;
        rooms.retain(|it| state.rooms.contains_key(it));
        rooms.truncate(MAX_ROOMS);
        Ok(rooms)
    }
}
