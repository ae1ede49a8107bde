//! Of whom a member is to ask for keys anew ([spec]): whose devices changed, and with whom the room
//! is shared since.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#e2e-extensions-to-sync

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use skerry_core::gather::Gather as _;

use crate::{
    Result,
    messages::room::{DeviceChanges, GetDeviceChanges, Position, WhoShares},
    objects::room::{
        Room,
        loaded::{
            Loaded,
            state_event::{ENCRYPTION, membership_of},
        },
        read::access::View,
    },
    store::room::{
        device_changes, events, members,
        state::{self, Change},
    },
};

const MEMBER: &str = "m.room.member";

impl Room {
    /// What changed for a member since they have read the room up to a position.
    pub(crate) async fn get_device_changes(
        self: &Arc<Self>,
        it: GetDeviceChanges,
    ) -> Result<DeviceChanges> {
        let GetDeviceChanges { user_id, from } = it;
        let room = self.read().await?;
        let view = self.view_in_sync(&room, &user_id).await?;
        let changes = match from {
            Some(from) => state::list_changes(self.sql(), self.scope(), from, view.upto).await?,
            None => Vec::new(),
        };
        self.device_changes(&room, &user_id, from, &view, &changes).await
    }

    /// As [`Self::get_device_changes`], with the state that changed.
    pub(super) async fn device_changes(
        &self,
        room: &Loaded,
        user_id: &UserId,
        from: Option<Position>,
        view: &View,
        changes: &[Change],
    ) -> Result<DeviceChanges> {
        if !self.is_encrypted(room).await? {
            return Ok(DeviceChanges::default());
        }
        let memberships = &view.timeline.memberships;
        if view.timeline.membership() != MembershipState::Join {
            let was_joined = memberships.iter().any(|(_, it)| *it == MembershipState::Join);
            let left =
                if was_joined { self.joined_upto(user_id, view.upto).await? } else { Vec::new() };
            return Ok(DeviceChanges { changed: Vec::new(), left });
        }
        let began = changes.iter().any(|it| it.key.0 == ENCRYPTION && it.previous.is_none());
        let Some(from) = from.filter(|_| !began) else {
            let changed = self.joined_upto(user_id, view.upto).await?;
            return Ok(DeviceChanges { changed, left: Vec::new() });
        };
        let (mut changed, mut left) = self.came_and_went(user_id, changes).await?;
        if room.devices_head > from {
            let range = (from, view.upto);
            let listed = device_changes::list(self.sql(), self.scope(), range).await?;
            changed.extend(listed.into_iter().map(|(_, it)| it));
        }
        left.retain(|it| !changed.contains(it));
        Ok(DeviceChanges {
            changed: changed.into_iter().collect(),
            left: left.into_iter().collect(),
        })
    }

    /// All other members who are joined since a position or before.
    async fn joined_upto(&self, user_id: &UserId, upto: Position) -> Result<Vec<OwnedUserId>> {
        let joined = members::list_joined_upto(self.sql(), self.scope(), upto).await?;
        Ok(joined.into_iter().filter(|it| it != user_id).collect())
    }

    /// Other users who have joined, maybe again, and who have left.
    async fn came_and_went(
        &self,
        user_id: &UserId,
        changes: &[Change],
    ) -> Result<(BTreeSet<OwnedUserId>, BTreeSet<OwnedUserId>)> {
        let of_members =
            || changes.iter().filter(|it| it.key.0 == MEMBER && it.key.1 != user_id.as_str());
        let nums: BTreeSet<_> = of_members().flat_map(|it| [it.event, it.previous]).gather();
        let nums: Vec<_> = nums.into_iter().flatten().collect();
        let (mut came, mut went) = (BTreeSet::new(), BTreeSet::new());
        if nums.is_empty() {
            return Ok((came, went));
        }
        let found = events::list(self.sql(), self.scope(), &nums).await?;
        let joined: BTreeSet<_> = found
            .into_iter()
            .filter(|it| membership_in(&it.json) == MembershipState::Join)
            .map(|it| it.num)
            .gather();
        let is_join = |num: Option<_>| num.is_some_and(|it| joined.contains(&it));
        // Whether each was joined at first, always, and at last.
        let mut of_user: BTreeMap<&str, (bool, bool, bool)> = BTreeMap::new();
        for it in of_members() {
            let (before, after) = (is_join(it.previous), is_join(it.event));
            let known = of_user.entry(&it.key.1).or_insert((before, before, after));
            (known.1, known.2) = (known.1 && before && after, after);
        }
        for (other, (before, always, after)) in of_user {
            let Ok(other) = UserId::parse(other) else { continue };
            match (before, always, after) {
                (_, false, true) => came.insert(other),
                (true, _, false) => went.insert(other),
                _ => false,
            };
        }
        Ok((came, went))
    }

    /// Which users are joined to this encrypted room together with who asks.
    pub(crate) async fn who_shares(self: &Arc<Self>, it: WhoShares) -> Result<Vec<OwnedUserId>> {
        let WhoShares { user_id, others } = it;
        let room = self.read().await?;
        if !self.is_encrypted(&room).await?
            || self.membership(&room, &user_id).await? != MembershipState::Join
        {
            return Ok(Vec::new());
        }
        members::list_joined_of(self.sql(), self.scope(), &others).await
    }
}

/// The membership that a membership event says.
fn membership_in(event: &str) -> MembershipState {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        content: &'a serde_json::value::RawValue,
    }
    serde_json::from_str::<Event<'_>>(event)
        .map_or(MembershipState::Leave, |it| membership_of(it.content.get()))
}
