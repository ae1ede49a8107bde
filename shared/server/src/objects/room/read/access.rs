//! What one requester may see of the room.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    OwnedDeviceId, ServerName, UserId,
    events::room::{history_visibility::HistoryVisibility, member::MembershipState},
};
use skerry_core::{
    engine::StateAt,
    gather::Gather as _,
    visibility::{Access, Timeline},
};

use crate::{
    Result,
    messages::{Caller, Requester, room::Position},
    objects::room::{
        Room,
        loaded::Loaded,
        read::{
            audience::Audience,
            found_states::{FoundState, FoundStates},
            timelines::{membership_in, visibility_in},
        },
    },
    store::room::{events::StoredEvent, members, state},
};

/// What one requester may see.
#[derive(Debug)]
pub(crate) struct View {
    /// Says it of each event.
    pub(crate) timeline: Arc<Timeline>,
    /// Nothing after this position is for them.
    pub(crate) upto: Position,
    /// The state they see.
    pub(crate) state: StateAt,
}

impl Room {
    /// How far a requester may look, or the refusal that does not say whether the room exists.
    pub(crate) async fn view(&self, room: &Loaded, requester: &Requester) -> Result<View> {
        let (timeline, access) = match requester {
            Requester::User(caller) => {
                let timeline = self.timeline_of_user(room, &caller.user_id).await?;
                let access = timeline.access_of_user();
                (timeline, access)
            }
            Requester::Server(server) => {
                if !self.is_let_in(room, server).await? {
                    return Err(Self::unknown());
                }
                let timeline = self.timeline_of_server(room, server).await?;
                let access = timeline.access_of_server();
                (timeline, access)
            }
        };
        let upto = match access {
            Access::Member | Access::Peeker => room.head,
            Access::Former(position) => {
                if let Requester::User(caller) = requester
                    && members::find_forgotten(self.sql(), self.scope(), &caller.user_id).await?
                {
                    return Err(Self::unknown());
                }
                position
            }
            Access::None => return Err(Self::unknown()),
        };
        let is_current = upto == room.head;
        let state = if is_current { room.state } else { StateAt { group: upto, ..room.state } };
        Ok(View { timeline, upto, state })
    }

    /// Whether a requester may see an event.
    pub(crate) async fn may_see(
        &self,
        audience: Audience<'_>,
        event: &StoredEvent,
    ) -> Result<bool> {
        self.may_see_by(audience, event, &mut FoundStates::default()).await
    }

    /// The same for one of many events, by what has been found for those before it.
    pub(crate) async fn may_see_by(
        &self,
        audience: Audience<'_>,
        event: &StoredEvent,
        found: &mut FoundStates,
    ) -> Result<bool> {
        let Some(states) = event.states else { return Ok(false) };
        // A change of membership or visibility is seen by whom either side of it allows.
        for at in [states.before, states.after].into_iter().gather::<BTreeSet<_>>() {
            if self.state_allows(audience, at, event.position, found).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a requester may see what a state event took the place of: that event itself, or the
    /// state in which it held until then. Their own memberships are theirs to see.
    pub(crate) async fn may_see_replaced(
        &self,
        audience: Audience<'_>,
        event: &StoredEvent,
        replaced: &StoredEvent,
        found: &mut FoundStates,
    ) -> Result<bool> {
        if let Requester::User(caller) = audience.requester
            && replaced.event_type == "m.room.member"
            && replaced.state_key.as_deref() == Some(caller.user_id.as_str())
        {
            return Ok(true);
        }
        if let Some(states) = event.states
            && self.state_allows(audience, states.before, event.position, found).await?
        {
            return Ok(true);
        }
        self.may_see_by(audience, replaced, found).await
    }

    /// Whether a user may see an event, on whichever device.
    pub(crate) async fn may_user_see(
        &self,
        room: &Loaded,
        user_id: &UserId,
        event: &StoredEvent,
    ) -> Result<bool> {
        let timeline = self.timeline_of_user(room, user_id).await?;
        let caller = Caller { user_id: user_id.to_owned(), device_id: OwnedDeviceId::from("") };
        let requester = Requester::User(caller);
        self.may_see(self.audience(room, &requester, &timeline), event).await
    }

    /// Whether a state allows a requester to see an event that stands at a position.
    async fn state_allows(
        &self,
        audience: Audience<'_>,
        at: StateAt,
        position: Position,
        found: &mut FoundStates,
    ) -> Result<bool> {
        if at.chain == 0 {
            return Ok(audience.timeline.allows_at(at.group, position));
        }
        let mut state = match found.states.get(&at) {
            Some(state) => state.clone(),
            None => self.find_state(audience.requester, at).await?,
        };
        let allows = |membership: &MembershipState| {
            audience.timeline.allows_in(membership, &state.visibility, position)
        };
        // What shows an event to who is not in the room shows it to everybody in it.
        let mut is_allowed = allows(state.membership.as_ref().unwrap_or(&MembershipState::Leave));
        if let Requester::Server(server) = audience.requester
            && state.membership.is_none()
            && !is_allowed
        {
            let membership = self.membership_of_server(at, server, &state.visibility).await?;
            is_allowed = allows(&membership);
            state.membership = Some(membership);
            found.searched += 1;
        }
        found.states.insert(at, state);
        Ok(is_allowed)
    }

    /// What a state says of visibility, and of a user. The users of a server may be many: they are
    /// looked for where it matters.
    async fn find_state(&self, requester: &Requester, at: StateAt) -> Result<FoundState> {
        let mut keys = vec![("m.room.history_visibility".to_owned(), String::new())];
        if let Requester::User(caller) = requester {
            keys.push(("m.room.member".to_owned(), caller.user_id.to_string()));
        }
        let events = self.events_of(at, &keys).await?;
        let json = |event_type: &str| {
            events.iter().find(|it| it.event_type == event_type).map(|it| it.json.as_str())
        };
        let visibility =
            json("m.room.history_visibility").map_or(HistoryVisibility::Shared, visibility_in);
        let membership = match requester {
            Requester::User(_) => {
                Some(json("m.room.member").map_or(MembershipState::Leave, membership_in))
            }
            Requester::Server(_) => None,
        };
        Ok(FoundState { visibility, membership })
    }

    /// The membership of a server as a whole in a state, as far as a visibility depends on it.
    async fn membership_of_server(
        &self,
        at: StateAt,
        server: &ServerName,
        visibility: &HistoryVisibility,
    ) -> Result<MembershipState> {
        let (sql, scope) = (self.sql(), self.scope());
        let (join, invite) = (MembershipState::Join, MembershipState::Invite);
        if state::has_member(sql, scope, at, server, &join).await? {
            return Ok(join);
        }
        let counts = *visibility == HistoryVisibility::Invited;
        match counts && state::has_member(sql, scope, at, server, &invite).await? {
            true => Ok(invite),
            false => Ok(MembershipState::Leave),
        }
    }
}
