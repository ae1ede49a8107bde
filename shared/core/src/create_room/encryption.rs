//! Rooms that are encrypted although nobody has asked for it: as the server is configured.

use std::str::FromStr;

use ruma::api::client::room::create_room::v3::Request;
use serde::Deserialize;

use super::{Plan, Preset, StateItem, object};

const EVENT_TYPE: &str = "m.room.encryption";

/// Which new rooms are encrypted, unless whoever makes them says how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncryptionByDefault {
    /// None.
    #[default]
    Off,
    /// Those that are joined by invitation: of the presets for private chats.
    Invite,
    /// All.
    All,
}

/// It is none of `off`, `invite` and `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encryption by default is one of off, invite, all")]
pub struct NoSuchDefault;

impl FromStr for EncryptionByDefault {
    type Err = NoSuchDefault;

    fn from_str(text: &str) -> Result<Self, NoSuchDefault> {
        match text {
            "off" => Ok(Self::Off),
            "invite" => Ok(Self::Invite),
            "all" => Ok(Self::All),
            _ => Err(NoSuchDefault),
        }
    }
}

/// Has a room begin encrypted where that is the default. One of a type is for no messages (spaces).
pub fn encrypt_by_default(plan: &mut Plan, request: &Request, which: EncryptionByDefault) {
    let is_private = matches!(Preset::of(request), Ok(Preset::Private | Preset::TrustedPrivate));
    let is_wanted = match which {
        EncryptionByDefault::Off => false,
        EncryptionByDefault::Invite => is_private,
        EncryptionByDefault::All => true,
    };
    let is_set = plan.state.iter().any(|it| it.event_type == EVENT_TYPE && it.state_key.is_empty());
    if is_wanted && !is_set && !plan.create_content.contains_key("type") {
        let content = object([("algorithm", "m.megolm.v1.aes-sha2".into())]);
        plan.state.push(StateItem::new(EVENT_TYPE, "", content));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ruma::{api::client::room::create_room::v3::RoomPreset, user_id};

    use super::{super::plan, *};

    fn is_encrypted(preset: RoomPreset, which: &str) -> bool {
        let mut request = Request::new();
        request.preset = Some(preset);
        let mut plan = plan(&request, user_id!("@ann:a"), &BTreeMap::new()).unwrap();
        encrypt_by_default(&mut plan, &request, which.parse().unwrap());
        encrypt_by_default(&mut plan, &request, which.parse().unwrap());
        let found = plan.state.iter().filter(|it| it.event_type == EVENT_TYPE).count();
        assert!(found <= 1);
        found == 1
    }

    #[test]
    fn which_rooms_are_encrypted() {
        let cases = [("off", false, false), ("invite", true, false), ("all", true, true)];
        for (which, private, public) in cases {
            assert_eq!(is_encrypted(RoomPreset::PrivateChat, which), private, "{which}");
            assert_eq!(is_encrypted(RoomPreset::TrustedPrivateChat, which), private, "{which}");
            assert_eq!(is_encrypted(RoomPreset::PublicChat, which), public, "{which}");
        }
        assert_eq!("ALL".parse::<EncryptionByDefault>(), Err(NoSuchDefault));
    }
}
