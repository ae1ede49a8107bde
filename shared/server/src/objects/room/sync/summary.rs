//! A room's summary in a `/sync` response: heroes and member counts.

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use crate::{
    Result,
    messages::room::SyncRoom,
    objects::room::{Room, limits, loaded::Loaded},
    store::room::{members, state::Change},
};

/// The types of state that name a room.
const NAMES: [&str; 2] = ["m.room.name", "m.room.canonical_alias"];

impl Room {
    /// Heroes and member counts, when they may have changed.
    pub(crate) async fn summary(
        &self,
        room: &Loaded,
        command: &SyncRoom,
        changes: &[Change],
    ) -> Result<(Option<Vec<OwnedUserId>>, Option<(u64, u64)>)> {
        let is_new = command.from.is_none() || command.full_state;
        let touches = |name: &str| changes.iter().any(|it| it.key.0 == name);
        let members_changed = is_new || touches("m.room.member");
        if !members_changed && !NAMES.iter().any(|it| touches(it)) {
            return Ok((None, None));
        }
        let counts = members_changed.then_some((room.joined, room.invited));
        if self.is_named(room).await? {
            return Ok((None, counts));
        }
        Ok((Some(self.heroes(&command.caller.user_id).await?), counts))
    }

    /// Whether the room has a name, or an address that stands for one.
    pub(crate) async fn is_named(&self, room: &Loaded) -> Result<bool> {
        let keys = NAMES.map(|it| (it.to_owned(), String::new()));
        Ok(self.state_events(room, &keys).await?.iter().any(|(_, (_, event))| {
            let content: serde_json::Value =
                serde_json::from_str(event.content.get()).unwrap_or_default();
            ["name", "alias"].iter().any(|it| {
                content.get(it).and_then(|it| it.as_str()).is_some_and(|it| !it.is_empty())
            })
        }))
    }

    /// The first members but this user: joined and invited ones, or else those who left.
    pub(crate) async fn heroes(&self, user_id: &UserId) -> Result<Vec<OwnedUserId>> {
        let groups = [
            [MembershipState::Join, MembershipState::Invite],
            [MembershipState::Leave, MembershipState::Ban],
        ];
        for group in groups {
            let mut found =
                members::list(self.sql(), self.scope(), &group, limits::HEROES + 1).await?;
            found.retain(|it| it.user_id != user_id);
            found.truncate(usize::try_from(limits::HEROES).unwrap_or(usize::MAX));
            if !found.is_empty() {
                return Ok(found.into_iter().map(|it| it.user_id).collect());
            }
        }
        Ok(Vec::new())
    }
}
