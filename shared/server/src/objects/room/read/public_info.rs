//! What the room directory and summaries show of the room.

use std::sync::Arc;

use ruma::events::room::history_visibility::HistoryVisibility;
use serde_json::Value as JsonValue;
use skerry_core::shown_state;

use crate::{
    Result,
    messages::room::PublicInfo,
    objects::room::{Room, loaded::Loaded},
};

impl Room {
    pub(crate) async fn get_public_info(self: &Arc<Self>) -> Result<Box<PublicInfo>> {
        let room = self.read().await?;
        Ok(Box::new(self.public_info(&room).await?))
    }

    /// What is shown of the room as it is in memory.
    pub(crate) async fn public_info(&self, room: &Loaded) -> Result<PublicInfo> {
        let keys: Vec<_> =
            shown_state::summarized().map(|it| (it.to_owned(), String::new())).collect();
        let events = self.state_events(room, &keys).await?;
        let text = |event_type: &str, field: &str| -> Option<String> {
            let (_, (_, event)) = events.iter().find(|(key, _)| key.0 == event_type)?;
            let content: JsonValue = serde_json::from_str(event.content.get()).ok()?;
            content.get(field)?.as_str().filter(|it| !it.is_empty()).map(str::to_owned)
        };
        let visibility = text("m.room.history_visibility", "history_visibility");
        Ok(PublicInfo {
            name: text("m.room.name", "name"),
            topic: text("m.room.topic", "topic"),
            avatar_url: text("m.room.avatar", "url"),
            canonical_alias: text("m.room.canonical_alias", "alias")
                .and_then(|it| it.try_into().ok()),
            joined_members: room.joined,
            join_rule: text("m.room.join_rules", "join_rule").unwrap_or_else(|| "invite".into()),
            world_readable: visibility.as_deref()
                == Some(HistoryVisibility::WorldReadable.as_str()),
            guest_can_join: text("m.room.guest_access", "guest_access").as_deref()
                == Some("can_join"),
            room_type: text("m.room.create", "type"),
            room_version: room.version.to_string(),
            encryption: text("m.room.encryption", "algorithm"),
            listed: room.effects.listed,
            position: room.head,
        })
    }
}
