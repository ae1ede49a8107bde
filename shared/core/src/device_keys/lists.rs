//! Lists of the devices of users of other servers, which are kept and follow what those servers say
//! ([spec]).
//!
//! An update says which ones it comes after. It is applied where all of these are known; where one
//! is not, something was missed, and the list is to be fetched again. Known are the update that the
//! list was fetched at, what had come before it was fetched, and what was applied since. So it does
//! not matter that a list is numbered by whatever happened last on its server, as Synapse does, and
//! updates by what was sent here.
//!
//! Servers number what they send upwards. One that begins anew, or sends all as the same number,
//! is not: then nothing is taken for known by its number alone.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#device-management

use std::collections::BTreeMap;

use ruma::{
    OwnedDeviceId, UserId,
    api::federation::{device::get_devices, keys::get_keys},
    encryption::CrossSigningKey,
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue as RawJsonValue;

use super::{
    answers::{remote_cross_signing, remote_device},
    changes::{Change, CrossSigningChange, DeviceChange},
    cross_signing::{MASTER, SELF_SIGNING},
    say_the_same,
};

/// Bytes of a list that is kept. A device has about one KiB.
pub const MAX_LIST_BYTES: usize = 256 * 1024;
/// Users of one server whose lists are kept.
pub const MAX_LISTS: u64 = 20_000;
/// Bytes of these.
pub const MAX_LISTS_BYTES: u64 = 64 << 20;
/// How old a list may be, in milliseconds, before it is asked for again, whatever was said of it:
/// so long a server may have failed to say that something has changed.
pub const MAX_AGE_MS: u64 = 24 * 60 * 60 * 1000;
/// How long it is tried to fetch a list again, in milliseconds. Then it is forgotten: it is asked
/// for when somebody wants it.
pub const FETCHED_FOR_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// IDs of updates of a user that are known.
const MAX_KNOWN: usize = 50;

/// The keys of a user of another server and of their devices, as far as they are believed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeviceList {
    /// Of the devices.
    pub devices: BTreeMap<OwnedDeviceId, Box<RawJsonValue>>,
    /// The master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The self-signing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signing: Option<String>,
}

impl PartialEq for DeviceList {
    fn eq(&self, other: &Self) -> bool {
        let texts = |it: &Self| {
            let devices = it.devices.iter().map(|(id, keys)| (id.clone(), keys.get().to_owned()));
            devices.collect::<Vec<_>>()
        };
        self.master == other.master
            && self.self_signing == other.self_signing
            && texts(self) == texts(other)
    }
}

impl DeviceList {
    /// What is believed of an answer about several users; and whether it says anything of this one.
    pub fn of_query(answer: &get_keys::v1::Response, user_id: &UserId) -> (Self, bool) {
        let mut list = Self::default();
        let said = answer.device_keys.get(user_id);
        for (device_id, keys) in said.into_iter().flatten() {
            list.add(user_id, device_id, keys.json().get(), None);
        }
        list.set_cross_signing(
            user_id,
            answer.master_keys.get(user_id),
            answer.self_signing_keys.get(user_id),
        );
        (list, said.is_some())
    }

    /// What is believed of an answer about one user, and its ID. None: it is about another.
    pub fn of_user(answer: &get_devices::v1::Response, user_id: &UserId) -> Option<(Self, u64)> {
        let mut list = Self::default();
        if answer.user_id != user_id {
            return None;
        }
        for device in &answer.devices {
            let name = device.device_display_name.as_deref();
            list.add(user_id, &device.device_id, device.keys.json().get(), name);
        }
        let (master, own) = (answer.master_key.as_ref(), answer.self_signing_key.as_ref());
        list.set_cross_signing(user_id, master, own);
        Some((list, answer.stream_id.into()))
    }

    fn add(&mut self, user_id: &UserId, device_id: &OwnedDeviceId, keys: &str, name: Option<&str>) {
        let keys = remote_device(keys, (user_id, device_id), name);
        if let Some(Ok(keys)) = keys.map(RawJsonValue::from_string) {
            self.devices.insert(device_id.clone(), keys);
        }
    }

    fn set_cross_signing(
        &mut self,
        user_id: &UserId,
        master: Option<&Raw<CrossSigningKey>>,
        own: Option<&Raw<CrossSigningKey>>,
    ) {
        let read = |key: Option<&Raw<CrossSigningKey>>, usage| {
            key.and_then(|it| remote_cross_signing(it.json().get(), user_id, usage))
        };
        self.master = read(master, MASTER);
        self.self_signing = read(own, SELF_SIGNING);
    }

    /// Bytes of it, about.
    pub fn bytes(&self) -> usize {
        let keys = [self.master.as_deref(), self.self_signing.as_deref()];
        let keys: usize = keys.into_iter().flatten().map(str::len).sum();
        let devices = self.devices.iter().map(|(id, json)| id.as_str().len() + json.get().len());
        keys + devices.sum::<usize>()
    }

    fn says(&self, change: &DeviceChange) -> bool {
        self.devices.get(&change.device_id).map(|it| it.get()) == change.keys.as_deref()
    }

    fn change_device(&mut self, change: &DeviceChange) {
        let keys = change.keys.clone().map(RawJsonValue::from_string);
        match keys {
            Some(Ok(keys)) => drop(self.devices.insert(change.device_id.clone(), keys)),
            _ => drop(self.devices.remove(&change.device_id)),
        }
    }

    fn change_cross_signing(&mut self, change: &CrossSigningChange) {
        if let Some(master) = &change.master {
            if !self.master.as_ref().is_some_and(|it| say_the_same(it, master)) {
                // What the old one has signed counts for nothing.
                self.self_signing = None;
            }
            self.master = Some(master.clone());
        }
        if let Some(own) = &change.self_signing {
            self.self_signing = Some(own.clone());
        }
    }
}

/// IDs of updates of which it is known what they say, in ascending order: the newest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Known(Vec<u64>);

/// Where an update stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind what is known.
    Next,
    /// It is known.
    Known,
    /// Nobody knows.
    Unclear,
}

impl Known {
    /// One more is known.
    pub fn note(&mut self, id: u64) {
        if let Err(at) = self.0.binary_search(&id) {
            self.0.insert(at, id);
        }
        let excess = self.0.len().saturating_sub(MAX_KNOWN);
        self.0.drain(..excess);
    }

    fn has(&self, id: u64) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    fn place(&self, change: &DeviceChange) -> Place {
        if change.after.is_empty() || !change.after.iter().all(|it| self.has(*it)) {
            return Place::Unclear;
        }
        match self.0.last() {
            _ if self.has(change.id) => Place::Known,
            Some(newest) if *newest < change.id => Place::Next,
            // It may stand in the list already, and what came after it.
            _ => Place::Unclear,
        }
    }
}

/// What comes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// The list is another one.
    Changed,
    /// The list is to be fetched again.
    Stale,
}

/// A list that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptList {
    /// The list.
    pub list: DeviceList,
    /// Updates that it has.
    pub known: Known,
    /// It is to be fetched again. Then those are known that came since: what is fetched after
    /// them has them.
    pub is_stale: bool,
}

impl KeptList {
    /// The server says that something has changed.
    pub fn take(&mut self, change: &Change) -> Effect {
        let effect = match change {
            _ if self.is_stale => Effect::Stale,
            Change::Unknown => Effect::Stale,
            Change::Device(change) => match self.known.place(change) {
                Place::Next => {
                    let says = self.list.says(change);
                    self.list.change_device(change);
                    self.known.note(change.id);
                    if says { Effect::Nothing } else { Effect::Changed }
                }
                // It comes again, or something else has taken its number.
                Place::Known if self.list.says(change) => Effect::Nothing,
                Place::Known | Place::Unclear => Effect::Stale,
            },
            Change::CrossSigning(change) => {
                let before = (self.list.master.clone(), self.list.self_signing.clone());
                self.list.change_cross_signing(change);
                let after = (&self.list.master, &self.list.self_signing);
                match (&before.0, &before.1) == after {
                    true => Effect::Nothing,
                    false => Effect::Changed,
                }
            }
        };
        if effect == Effect::Stale {
            if !std::mem::replace(&mut self.is_stale, true) {
                self.known = Known::default();
            }
            if let Change::Device(change) = change {
                self.known.note(change.id);
            }
        }
        effect
    }
}

#[cfg(test)]
mod tests;
