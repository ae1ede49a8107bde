//! Lazy loading of members ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId, api::client::filter::LazyLoadOptions};
use skerry_core::{authorize::StateKey, gather::Gather as _};

use crate::{messages::room::SyncRoom, store::room::events::StoredEvent};

/// Lazy loading of members ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members
pub(crate) struct Lazy<'a> {
    pub(crate) is_on: bool,
    /// The client is given the whole state, and not what changed of it.
    is_whole: bool,
    /// Members that the client needs for this timeline.
    needed: BTreeSet<&'a str>,
    timeline: &'a [StoredEvent],
}

impl<'a> Lazy<'a> {
    /// What lazy loading makes of this request and timeline.
    pub(crate) fn new(
        command: &'a SyncRoom,
        timeline: &'a [StoredEvent],
        heroes: &'a [OwnedUserId],
    ) -> Self {
        let LazyLoadOptions::Enabled { include_redundant_members } =
            command.state.lazy_load_options
        else {
            return Self { is_on: false, is_whole: true, needed: BTreeSet::new(), timeline };
        };
        let is_whole = command.from.is_none() || command.full_state;
        let mut needed: BTreeSet<_> = timeline.iter().map(|it| it.sender.as_str()).gather();
        // The specification wants the heroes' events wherever the heroes are.
        needed.extend(heroes.iter().map(|it| it.as_str()));
        if is_whole {
            needed.insert(command.caller.user_id.as_str());
        }
        if !include_redundant_members && !command.full_state {
            for known in &command.known_members {
                needed.remove(known.as_str());
            }
        }
        Self { is_on: true, is_whole, needed, timeline }
    }

    /// Whether a state event is for a client that loads members lazily. Where the state comes as a
    /// whole, members that the client does not need are left for it to ask for; else what changed
    /// of them must not be lost.
    pub(crate) fn wants(&self, event: &StoredEvent) -> bool {
        !self.is_on
            || !self.is_whole
            || event.event_type != "m.room.member"
            || event.state_key.as_deref().is_some_and(|it| self.needed.contains(it))
    }

    /// Needed members whose events are not among these.
    pub(crate) fn missing(&self, state: &[StoredEvent]) -> Vec<StateKey> {
        let present: BTreeSet<_> = state
            .iter()
            .filter(|it| it.event_type == "m.room.member")
            .filter_map(|it| it.state_key.as_deref())
            .gather();
        self.needed
            .difference(&present)
            .map(|it| ("m.room.member".to_owned(), (*it).to_owned()))
            .collect()
    }

    /// Members whose events the client has after this response.
    pub(crate) fn sent(&self, state: &[StoredEvent]) -> Vec<OwnedUserId> {
        if !self.is_on {
            return Vec::new();
        }
        state
            .iter()
            .chain(self.timeline)
            .filter(|it| it.event_type == "m.room.member")
            .filter_map(|it| UserId::parse(it.state_key.as_deref()?).ok())
            .collect()
    }
}
