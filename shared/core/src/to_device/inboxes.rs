//! How much waits for the devices of a user, and how much may.

use std::collections::BTreeMap;

use crate::gather::Gather as _;
use ruma::{DeviceId, OwnedDeviceId};

/// Messages that wait for one device. Who has been away for months finds what came last.
pub const MAX_MESSAGES: usize = 10_000;

/// Bytes of the messages that wait for one device.
pub const MAX_BYTES: usize = 16 << 20;

/// Bytes of the messages that wait for all devices of a user.
pub const MAX_TOTAL_BYTES: usize = 128 << 20;

/// Messages, and the bytes that they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many.
    pub messages: usize,
    /// Of all of them.
    pub bytes: usize,
}

impl Size {
    /// Of a message.
    pub fn of(bytes: usize) -> Self {
        Self { messages: 1, bytes }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl std::ops::SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What waits for each device of a user.
#[derive(Clone, Debug, Default)]
pub struct Inboxes(BTreeMap<OwnedDeviceId, Size>);

impl Inboxes {
    /// What is stored.
    pub fn new(sizes: impl IntoIterator<Item = (OwnedDeviceId, Size)>) -> Self {
        Self(sizes.into_iter().gather())
    }

    /// Whether nothing waits for a device.
    pub fn is_empty(&self, device_id: &DeviceId) -> bool {
        self.0.get(device_id).is_none_or(|it| it.is_empty())
    }

    /// More waits.
    pub fn add(&mut self, device_id: &DeviceId, size: Size) {
        *self.0.entry(device_id.to_owned()).or_default() += size;
    }

    /// It was given, or has gone.
    pub fn remove(&mut self, device_id: &DeviceId, size: Size) {
        if let Some(known) = self.0.get_mut(device_id) {
            *known -= size;
        }
    }

    /// The device has gone.
    pub fn forget(&mut self, device_id: &DeviceId) {
        self.0.remove(device_id);
    }

    /// A device for which too much waits, and how much at least is to go.
    pub fn excess(&self) -> Option<(&DeviceId, Size)> {
        let over = |size: &Size| Size {
            messages: size.messages.saturating_sub(MAX_MESSAGES),
            bytes: size.bytes.saturating_sub(MAX_BYTES),
        };
        let mut each = self.0.iter().map(|(device_id, size)| (&**device_id, over(size)));
        if let Some(found) = each.find(|(_, over)| !over.is_empty()) {
            return Some(found);
        }
        let total: usize = self.0.values().map(|it| it.bytes).sum();
        let bytes = total.checked_sub(MAX_TOTAL_BYTES).filter(|it| *it > 0)?;
        let (device_id, _) = self.0.iter().max_by_key(|(_, size)| size.bytes)?;
        Some((device_id, Size { messages: 0, bytes }))
    }
}

/// How many of these go, the oldest first, so that at least so much has gone; and what that is.
pub fn cut(oldest: impl IntoIterator<Item = usize>, excess: Size) -> (usize, Size) {
    let (mut count, mut gone) = (0, Size::default());
    for bytes in oldest {
        if gone.messages >= excess.messages && gone.bytes >= excess.bytes {
            break;
        }
        gone += Size::of(bytes);
        count += 1;
    }
    (count, gone)
}
