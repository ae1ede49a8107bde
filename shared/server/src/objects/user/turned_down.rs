//! Telling other servers that the user has turned an invitation to a room down which is not here,
//! or has retracted a knock on one. Their own clients are not kept waiting for that.
//!
//! A server that is not reached is asked again, ever less often, and given up after
//! [`limits::LEAVE_ATTEMPTS`]. What the server says to it is its own affair.

use ruma::{CanonicalJsonObject, OwnedServerName, RoomId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};

use super::{User, limits, outbox::is_answer};
use crate::{
    Error, Result,
    messages::{Ask as _, RawJson, destination::Leave, user::Ending},
    store::user::outbox::Entry,
};

/// What an entry stores of it.
#[derive(Deserialize)]
struct TurnedDown {
    content: RawJson,
}

/// What a membership says that a user is shown.
pub(super) fn content_of(ending: &Ending) -> Result<RawJson> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(default)]
        content: Option<RawJson>,
    }
    let event: Event = serde_json::from_str(ending.event.get())?;
    event.content.map_or_else(leave, Ok)
}

fn leave() -> Result<RawJson> {
    let membership = MembershipState::Leave.to_string();
    let content = CanonicalJsonObject::from([("membership".to_owned(), membership.into())]);
    Ok(to_raw_value(&content)?)
}

impl User {
    /// Tells the servers, unless the user has to do with the room again.
    pub(super) async fn tell_turned_down(&self, entry: &Entry) -> Result<()> {
        let TurnedDown { content } =
            serde_json::from_str(&entry.command).map_err(Error::internal)?;
        let room_id = room_of(entry)?;
        match self.get_remote_room(room_id).await? {
            Some(it) if it.membership == MembershipState::Leave && it.sender == self.id => {
                self.leave_by(entry, it.servers, &content).await
            }
            _ => Ok(()),
        }
    }

    /// The account is closed: its user turns down what they have not answered.
    pub(super) async fn leave_elsewhere(&self, entry: &Entry) -> Result<()> {
        match self.get_remote_room(room_of(entry)?).await? {
            Some(it)
                if matches!(it.membership, MembershipState::Invite | MembershipState::Knock) =>
            {
                self.leave_by(entry, it.servers, &leave()?).await
            }
            _ => Ok(()),
        }
    }

    /// Asks one server after the other; those first that were not reached the last time.
    async fn leave_by(
        &self,
        entry: &Entry,
        mut servers: Vec<OwnedServerName>,
        content: &RawJsonValue,
    ) -> Result<()> {
        if entry.attempts >= limits::LEAVE_ATTEMPTS {
            return Ok(());
        }
        servers.truncate(limits::LEAVE_SERVERS);
        if let Ok(attempts) = usize::try_from(entry.attempts)
            && let Some(first) = attempts.checked_rem(servers.len())
        {
            servers.rotate_left(first);
        }
        let mut unreached = None;
        for server in servers {
            let room_id = room_of(entry)?.to_owned();
            let user_id = self.id.clone();
            let leave = Leave { room_id, user_id, content: content.to_owned() };
            match self.host.objects().destination(&server, leave.into_command()).await {
                Ok(_) => return Ok(()),
                Err(error) if is_answer(&error) => {}
                Err(error) => unreached = Some(error),
            }
        }
        unreached.map_or(Ok(()), Err)
    }
}

fn room_of(entry: &Entry) -> Result<&RoomId> {
    <&RoomId>::try_from(entry.about.as_str()).map_err(Error::internal)
}
