//! What other users of this server were shown of the keys last: rooms ask for it by the thousand,
//! and keys change rarely.

use crate::{
    messages::user::UserKeys,
    objects::{held::Held, user::limits},
};

/// The answer that other users of this server are given, for as long as nothing is written.
#[derive(Debug)]
pub(in super::super) struct Shown {
    keys: Option<Box<UserKeys>>,
    held: Held,
}

impl Default for Shown {
    fn default() -> Self {
        Self { keys: None, held: Held::of(&limits::USERS) }
    }
}

impl Shown {
    /// The answer, if it is known.
    pub(super) fn get(&self) -> Option<Box<UserKeys>> {
        self.keys.clone()
    }

    /// This is the answer. It is kept if it is not too large.
    pub(super) fn keep(&mut self, keys: &UserKeys) {
        self.forget();
        self.held.set(size(keys));
        match self.held.exceeds(limits::SHOWN_KEYS_BYTES) {
            true => self.held.set(0),
            false => self.keys = Some(Box::new(keys.clone())),
        }
    }

    /// Something has been written, or may have been.
    pub(in super::super) fn forget(&mut self) {
        self.keys = None;
        self.held.set(0);
    }
}

/// Bytes, about.
fn size(keys: &UserKeys) -> usize {
    /// Of a device, besides its name and its keys.
    const DEVICE: usize = 100;
    let devices = keys.devices.iter();
    let devices = devices.map(|(id, json)| DEVICE + id.as_str().len() + json.get().len());
    let signing = &keys.cross_signing;
    let signing = [&signing.master, &signing.self_signing, &signing.user_signing];
    let signing = signing.into_iter().flatten().map(String::len);
    size_of::<UserKeys>() + devices.chain(signing).sum::<usize>()
}
