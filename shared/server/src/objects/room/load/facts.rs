//! What lists of rooms look at.

use serde::Deserialize;

use crate::{
    Result,
    messages::room::RoomFacts,
    objects::room::{Room, loaded::Loaded},
};

impl Room {
    /// What lists look at.
    pub(crate) async fn facts(&self, room: &Loaded) -> Result<RoomFacts> {
        #[derive(Deserialize)]
        struct Create {
            #[serde(rename = "type")]
            room_type: Option<String>,
        }
        let create: Option<Create> = self.state_content(room, "m.room.create").await?;
        let room_type = create.and_then(|it| it.room_type);
        let is_encrypted = self.is_encrypted(room).await?;
        Ok(RoomFacts { active_us: room.stored_us, room_type, is_encrypted })
    }
}
