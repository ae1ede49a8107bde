//! The state that goes with a timeline: what the client wants of it, as far as it does not have it.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedUserId, events::room::member::MembershipState};
use skerry_core::{authorize::StateKey, sliding_sync::RequiredState};

use super::MEMBER;
use crate::{
    Result,
    messages::room::SlideRoom,
    objects::room::{
        Room,
        read::{access::View, scan::Scan, whole_states::PartSpace},
    },
    store::room::{
        events::{self, StoredEvent},
        state::Change,
    },
};

/// What of a state is wanted.
pub(super) struct Need {
    me: OwnedUserId,
    /// Whatever it was before.
    anew: RequiredState,
    /// Where it has changed.
    changed: RequiredState,
}

impl Need {
    pub(super) fn new(it: &SlideRoom) -> Self {
        let me = it.caller.user_id.clone();
        let anew = if it.from.is_none() { &it.required_state } else { &it.added_state };
        Self { me, anew: anew.clone(), changed: it.required_state.clone() }
    }

    /// Whether a part of the state is read as a whole.
    pub(super) fn is_whole(&self) -> bool {
        self.anew.has_wildcards()
    }

    /// Whether all members are read.
    pub(super) fn has_all_members(&self) -> bool {
        self.anew.has_all_members()
    }

    fn wants(&self, required: &RequiredState, event: &StoredEvent) -> bool {
        let key = event.state_key.as_deref().unwrap_or_default();
        required.wants(&event.event_type, key, &self.me)
    }
}

impl Room {
    /// The state after a timeline that the client wants and does not have.
    pub(super) async fn required_state(
        &self,
        view: &View,
        it: &SlideRoom,
        need: &Need,
        (scan, changes, space): (&Scan, &[Change], Option<PartSpace<'_>>),
    ) -> Result<Vec<StoredEvent>> {
        let mut found = Vec::new();
        if let Some(space) = &space {
            let whole = self.list_state(view.state, space).await?;
            found.extend(whole.into_iter().filter(|event| need.wants(&need.anew, event)));
        }
        let mut keys: BTreeSet<StateKey> = need.anew.keys(&need.me).into_iter().collect();
        if need.changed.is_lazy() {
            keys.extend(named_by(scan));
        }
        if view.timeline.membership() != MembershipState::Join {
            // What a client takes the room for is decided by this alone.
            keys.insert((MEMBER.to_owned(), need.me.to_string()));
        }
        for event in &found {
            let key = event.state_key.clone().unwrap_or_default();
            keys.remove(&(event.event_type.clone(), key));
        }
        found.extend(self.changed_state(it, need, scan, changes, &mut keys).await?);
        let keys: Vec<_> = keys.into_iter().collect();
        found.extend(self.events_of(view.state, &keys).await?);
        found.sort_by_key(|it| it.num);
        found.dedup_by_key(|it| it.num);
        Ok(found)
    }

    /// What has changed and is wanted. `keys`: what is found anyway; of these, what is found here
    /// is taken out.
    async fn changed_state(
        &self,
        it: &SlideRoom,
        need: &Need,
        scan: &Scan,
        changes: &[Change],
        keys: &mut BTreeSet<StateKey>,
    ) -> Result<Vec<StoredEvent>> {
        // Where something was left out, clients look for members anew.
        let all_members = need.changed.is_lazy() && scan.next.is_none() && !it.expands;
        let is_wanted = |(event_type, key): &StateKey| {
            (all_members && event_type == MEMBER)
                || need.changed.wants(event_type, key, &need.me)
                || keys.contains(&(event_type.clone(), key.clone()))
        };
        let latest: BTreeMap<&StateKey, Option<u64>> =
            changes.iter().filter(|it| is_wanted(&it.key)).map(|it| (&it.key, it.event)).collect();
        let nums: Vec<_> = latest.values().copied().flatten().collect();
        for key in latest.keys() {
            keys.remove(*key);
        }
        events::list(self.sql(), self.scope(), &nums).await
    }
}

/// The members that a timeline names: who has sent its events, and whose memberships they are.
fn named_by(scan: &Scan) -> impl Iterator<Item = StateKey> {
    let members = scan.events.iter().flat_map(|it| {
        let target = it.state_key.as_deref().filter(|_| it.event_type == MEMBER);
        [Some(it.sender.as_str()), target].into_iter().flatten()
    });
    members.map(|it| (MEMBER.to_owned(), it.to_owned()))
}
