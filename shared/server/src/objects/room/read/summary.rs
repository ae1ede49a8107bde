//! What the room shows to those who may not be in it.

use std::sync::Arc;

use ruma::{OwnedServerName, ServerName, events::room::member::MembershipState};
use serde_json::value::RawValue as RawJsonValue;

use crate::{
    Result,
    messages::room::{PublicInfo, Summarize, Summary, Viewer},
    objects::room::{Room, loaded::Loaded},
    store::room::{
        servers,
        state::{self, Part},
    },
};

impl Room {
    /// Whether a server is in the room.
    pub(crate) async fn has_server(self: &Arc<Self>, server: &ServerName) -> Result<bool> {
        drop(self.read().await?);
        let found = servers::find(self.sql(), self.scope(), server).await?;
        Ok(found.is_some_and(|it| it.until.is_none()))
    }

    pub(crate) async fn summarize(self: &Arc<Self>, question: Summarize) -> Result<Box<Summary>> {
        let Summarize { viewer, children } = question;
        // Whether it is a space never changes.
        let space = match children && self.is_space().await? {
            true => Some(self.space_for(Part::Children).await?),
            false => None,
        };
        let room = self.read().await?;
        let info = self.public_info(&room).await?;
        let children = match space {
            Some(space) => self.list_state(room.state, &space).await?,
            None => Vec::new(),
        };
        let children = children.into_iter().map(|it| RawJsonValue::from_string(it.json));
        let (membership, is_kept_out) = match &viewer {
            Viewer::Anyone => (MembershipState::Leave, false),
            Viewer::User(user_id) => (self.membership(&room, user_id).await?, false),
            Viewer::Server(server) => {
                let membership = self.membership_of_all(&room, &info, server).await?;
                (membership, !self.is_let_in(&room, server).await?)
            }
        };
        Ok(Box::new(Summary {
            allowed_room_ids: self.admitting_rooms(&room).await?,
            membership,
            is_kept_out,
            is_resident: self.is_resident().await?,
            children: children.collect::<Result<_, _>>()?,
            info,
        }))
    }

    async fn is_space(self: &Arc<Self>) -> Result<bool> {
        let room = self.read().await?;
        Ok(self.public_info(&room).await?.room_type.as_deref() == Some("m.space"))
    }

    /// What the users of a server taken together are in the room. Who is invited is looked for
    /// where nobody may know of the room but who is in it.
    async fn membership_of_all(
        &self,
        room: &Loaded,
        info: &PublicInfo,
        server: &ServerName,
    ) -> Result<MembershipState> {
        let (sql, scope) = (self.sql(), self.scope());
        let presence = servers::find(sql, scope, server).await?;
        if presence.is_some_and(|it| it.until.is_none()) {
            return Ok(MembershipState::Join);
        }
        let is_open = info.world_readable || matches!(&*info.join_rule, "public" | "knock");
        let invite = MembershipState::Invite;
        match !is_open && state::has_member(sql, scope, room.state, server, &invite).await? {
            true => Ok(invite),
            false => Ok(MembershipState::Leave),
        }
    }

    /// Servers that are in the room besides this one.
    pub(crate) async fn list_servers(self: &Arc<Self>) -> Result<Vec<OwnedServerName>> {
        let _room = self.read().await?;
        servers::list(self.sql(), self.scope()).await
    }
}
