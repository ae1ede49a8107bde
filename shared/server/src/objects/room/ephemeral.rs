//! What the room shows for a while and keeps no history of: receipts, who is typing, and which
//! members are there.

mod announce;
mod devices;
mod receipts;
mod receipts_plan;
mod receive;
mod servers;
mod statuses;
mod typing;

use ruma::UserId;

use crate::{
    Result,
    messages::{RawJson, room::Position},
    objects::room::{Room, loaded::Loaded},
};

impl Room {
    /// Ephemeral events that are new after a position: receipts and who is typing.
    pub(super) async fn ephemeral_since(
        &self,
        room: &Loaded,
        after: Position,
        user_id: &UserId,
    ) -> Result<Vec<RawJson>> {
        let receipts = self.receipts_since(room, after, user_id).await?;
        let typing = self.typing_since(room, after).await?;
        Ok(receipts.into_iter().chain(typing).collect())
    }
}
