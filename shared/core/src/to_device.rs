//! Messages from device to device ([spec]): what is one, which devices get it, how it goes to other
//! servers and comes from them, and how much may wait for a device.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging

mod inboxes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonValue, OwnedDeviceId, OwnedTransactionId, OwnedUserId, ServerName, UserId,
    api::federation::transactions::edu::{DirectDeviceContent, DirectDeviceMessages, Edu},
    events::AnyToDeviceEventContent,
    serde::Raw,
    to_device::DeviceIdOrAllDevices,
};
use serde::{Deserialize, Serialize};

pub use self::inboxes::{Inboxes, MAX_BYTES, MAX_MESSAGES, MAX_TOTAL_BYTES, Size, cut};
use crate::{identifier::MAX_ID_BYTES, token};

/// Bytes of a content.
pub const MAX_CONTENT_BYTES: usize = 64 * 1024;

/// Bytes of a type, as of an event.
pub const MAX_TYPE_BYTES: usize = 255;

/// Messages that one response gives to a device ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
pub const PAGE_MESSAGES: usize = 100;

/// Bytes of the messages that one response gives to a device, about.
pub const PAGE_BYTES: usize = 1 << 20;

/// Bytes of the contents in one EDU, about; what does not fit goes into further ones.
pub const EDU_BYTES: usize = 64 * 1024;

/// Users whose messages in one transaction of another server are taken: each is a request to an
/// object.
pub const MAX_USERS: usize = 5_000;

/// How long it is remembered that a message has come from a device of this server, in
/// milliseconds: as long as a room remembers a transaction.
const OWN_REMEMBERED_MS: u64 = 24 * 60 * 60 * 1000;

/// How long it is remembered that one has come from another server, which repeats it until it is
/// answered.
const OTHERS_REMEMBERED_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// What one user's devices are to get.
pub type Contents = BTreeMap<DeviceIdOrAllDevices, Raw<AnyToDeviceEventContent>>;

/// A message to devices of one user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Of whoever sends it, who gives no other one the same.
    pub id: String,
    /// Who sends it.
    pub sender: OwnedUserId,
    /// Its type.
    pub event_type: String,
    /// Its content for each device, or for all.
    pub contents: Contents,
}

/// Why a content is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// It is no JSON object.
    #[error("the content of a message is not a JSON object")]
    NoObject,
    /// It goes to another server, and has numbers that no server signs.
    #[error("the content of a message for another server is not canonical JSON")]
    NotCanonical,
    /// It has more than [`MAX_CONTENT_BYTES`].
    #[error("the content of a message is larger than 64 KiB")]
    TooLarge,
}

/// Checks one content.
///
/// # Errors
///
/// See [`ContentError`].
pub fn check(content: &Raw<AnyToDeviceEventContent>) -> Result<(), ContentError> {
    let json = content.json().get();
    match json.len() {
        _ if !json.starts_with('{') => Err(ContentError::NoObject),
        0..=MAX_CONTENT_BYTES => Ok(()),
        _ => Err(ContentError::TooLarge),
    }
}

/// Checks one content that goes to another server: it is part of a request that is signed.
///
/// # Errors
///
/// See [`ContentError`].
pub fn check_signed(content: &Raw<AnyToDeviceEventContent>) -> Result<(), ContentError> {
    check(content)?;
    let canonical = serde_json::from_str::<CanonicalJsonValue>(content.json().get());
    canonical.map(drop).map_err(|_| ContentError::NotCanonical)
}

/// The ID of a message that a device of this server sends: the same for a repeated request.
pub fn id(sender: &UserId, device_id: &str, event_type: &str, transaction_id: &str) -> String {
    short_hash(&format!("{sender}\0{device_id}\0{event_type}\0{transaction_id}"))
}

/// 16 bytes of a hash, in a form that any text may have in it.
fn short_hash(text: &str) -> String {
    let mut hash = token::hash(text).replace('+', "-").replace('/', "_");
    hash.truncate(22);
    hash
}

impl Message {
    /// By what it is known again.
    pub fn key(&self) -> String {
        short_hash(&format!("{}\0{}", self.sender, self.id))
    }

    /// Until when it is to be known again.
    pub fn remembered_until_ms(&self, own: &ServerName, now_ms: u64) -> u64 {
        let is_own = self.sender.server_name() == own;
        now_ms.saturating_add(if is_own { OWN_REMEMBERED_MS } else { OTHERS_REMEMBERED_MS })
    }

    /// Which of these devices get it, and what: a content that names the device comes before that
    /// for all. Devices that there are not get nothing.
    pub fn events(&self, devices: &[OwnedDeviceId]) -> Vec<(String, Vec<OwnedDeviceId>)> {
        let event = |content: &Raw<AnyToDeviceEventContent>| {
            let event_type = serde_json::Value::from(self.event_type.as_str());
            let sender = serde_json::Value::from(self.sender.as_str());
            let content = content.json().get();
            format!("{{\"type\":{event_type},\"sender\":{sender},\"content\":{content}}}")
        };
        let named = |it: &OwnedDeviceId| DeviceIdOrAllDevices::DeviceId(it.clone());
        let mut events = Vec::new();
        for (to, content) in &self.contents {
            let devices: Vec<_> = match to {
                DeviceIdOrAllDevices::DeviceId(to) => {
                    devices.iter().filter(|it| *it == to).cloned().collect()
                }
                DeviceIdOrAllDevices::AllDevices => {
                    let is_left = |it: &&OwnedDeviceId| !self.contents.contains_key(&named(it));
                    devices.iter().filter(is_left).cloned().collect()
                }
            };
            if !devices.is_empty() {
                events.push((event(content), devices));
            }
        }
        events
    }
}

/// What goes to another server: as few EDUs as have it, in the order of users and devices. The
/// same message gives the same EDUs.
pub fn edus(
    sender: &UserId,
    event_type: &str,
    id: &str,
    messages: BTreeMap<OwnedUserId, Contents>,
) -> Vec<Edu> {
    let mut parts = vec![DirectDeviceMessages::new()];
    let mut bytes = 0;
    for (user_id, contents) in messages {
        for (device_id, content) in contents {
            bytes += content.json().get().len();
            if bytes > EDU_BYTES && parts.last().is_some_and(|it| !it.is_empty()) {
                bytes = content.json().get().len();
                parts.push(DirectDeviceMessages::new());
            }
            if let Some(part) = parts.last_mut() {
                part.entry(user_id.clone()).or_default().insert(device_id, content);
            }
        }
    }
    let edu = |(index, messages): (usize, DirectDeviceMessages)| {
        let id = OwnedTransactionId::from(format!("{id}-{index}"));
        let mut content = DirectDeviceContent::new(sender.to_owned(), event_type.into(), id);
        content.messages = messages;
        Edu::DirectToDevice(content)
    };
    parts.into_iter().filter(|it| !it.is_empty()).enumerate().map(edu).collect()
}

/// What a server says to the devices of users of this one: the JSON of its EDUs, in their order. It
/// is believed of its own users. What is malformed is passed over.
pub fn read<'a>(
    origin: &ServerName,
    own: &ServerName,
    edus: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<OwnedUserId, Vec<Message>> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        edu_type: std::borrow::Cow<'a, str>,
    }
    let mut users = BTreeMap::<_, Vec<Message>>::new();
    for json in edus {
        let is_one = |it: Kind<'_>| it.edu_type == "m.direct_to_device";
        if !serde_json::from_str(json).is_ok_and(is_one) {
            continue;
        }
        let Ok(Edu::DirectToDevice(content)) = serde_json::from_str(json) else { continue };
        let DirectDeviceContent { sender, ev_type, message_id, messages, .. } = content;
        let event_type = ev_type.to_string();
        let is_short = |it: &UserId| it.as_str().len() <= MAX_ID_BYTES;
        if sender.server_name() != origin || !is_short(&sender) || event_type.len() > MAX_TYPE_BYTES
        {
            continue;
        }
        for (user_id, mut contents) in messages {
            contents.retain(|_, content| check(content).is_ok());
            let has_space = users.len() < MAX_USERS || users.contains_key(&user_id);
            let is_own = user_id.server_name() == own && is_short(&user_id);
            if !contents.is_empty() && is_own && has_space {
                let (id, sender) = (message_id.to_string(), sender.clone());
                let message = Message { id, sender, event_type: event_type.clone(), contents };
                users.entry(user_id).or_default().push(message);
            }
        }
    }
    users
}

/// How many of these go into so many items and about so many bytes: the first one always does.
pub fn fitting(sizes: impl IntoIterator<Item = usize>, items: usize, bytes: usize) -> usize {
    let mut sum = 0_usize;
    let fits = |(index, size): &(usize, usize)| {
        sum = sum.saturating_add(*size);
        *index == 0 || sum <= bytes
    };
    sizes.into_iter().take(items).enumerate().take_while(fits).count()
}
