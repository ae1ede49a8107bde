//! What must hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use skerry_tests::encode;

use super::{Keys, device::Device, journal::Sent, waiting_path};
use crate::{inspect, log, users::Room};

/// Requests until what others were asked for is answered: the network is well by then.
const TRIES: usize = 20;

fn no_faults() {
    let faults = log::take_faults();
    assert!(faults.is_empty(), "{faults:#?}");
}

impl Keys {
    /// Checks all of it.
    pub async fn check(&mut self) {
        no_faults();
        self.enough.cancel();
        for task in std::mem::take(&mut self.syncing) {
            task.await.expect("a client that syncs to the end");
        }
        let sent = self.secrets.entries().sent.clone();
        for device in &self.devices {
            self.everything_has_come_once(device, &sent);
            self.what_waits_has_come_once(device, &sent).await;
        }
        self.nobody_is_out_of_date().await;
        no_faults();
    }

    /// A device that syncs has every message, once, and those of one sender in their order.
    fn everything_has_come_once(&self, device: &Device, sent: &BTreeMap<u64, Sent>) {
        let of = (device.user.id().to_owned(), device.id.clone());
        let received = device.known().received.clone();
        for (index, (from, number)) in received.iter().enumerate() {
            let message = sent.get(number).unwrap_or_else(|| panic!("nobody has sent {number}"));
            assert!(message.from == *from && message.to.contains(&of), "{of:?} got {number}");
            for (other, later) in &received[index + 1..] {
                assert_ne!(number, later, "{of:?} got {number} twice");
                let is_older = || sent[later].acknowledged < message.began;
                assert!(other != from || !is_older(), "{of:?} got {later} behind {number}");
            }
            self.world.tally.count("messages that devices got");
        }
        let received: BTreeSet<_> = received.iter().map(|it| it.1).collect();
        for (number, message) in sent.iter().filter(|it| it.1.to.contains(&of)) {
            assert!(received.contains(number), "{of:?} never got {number}: {message:?}");
        }
    }

    /// The dehydrated device of a user has every message that was sent to it, once.
    async fn what_waits_has_come_once(&self, device: &Device, sent: &BTreeMap<u64, Sent>) {
        let user_id = device.user.id().to_owned();
        let left = self.secrets.entries().dehydrated.get(&user_id).cloned();
        let Some(left) = left else { return };
        let (mut found, mut from) = (Vec::new(), String::new());
        loop {
            let target = format!("{}?limit=7{from}", waiting_path(&left));
            let page = device.user.client.get(&target).await.ok();
            let events = page["events"].as_array().expect("events").iter();
            found.extend(events.map(|it| it["content"]["n"].as_u64().expect("a number")));
            match page["next_batch"].as_str() {
                Some(next) => from = format!("&from={}", encode(next)),
                None => break,
            }
        }
        let once: BTreeSet<_> = found.iter().copied().collect();
        assert_eq!(once.len(), found.len(), "{left} of {user_id} got some twice: {found:?}");
        let of = (user_id, left);
        for (number, _) in sent.iter().filter(|it| it.1.to.contains(&of)) {
            assert!(once.contains(number), "{of:?} never got {number}");
            self.world.tally.count("messages of dehydrated devices");
        }
    }

    /// Who shares an encrypted room with somebody, or is they, knows their devices as they are, or
    /// knows that they have changed.
    async fn nobody_is_out_of_date(&self) {
        let mut right = BTreeMap::new();
        for device in &self.devices {
            right.insert(device.user.id().to_owned(), device.own_keys().await);
        }
        for device in &self.devices {
            let mut of = self.sharing_with(device).await;
            of.insert(device.user.id().to_owned());
            let is_known =
                |it: &String| device.known().lists.get(it).is_some_and(|it| !it.is_outdated);
            let known: Vec<_> = of.iter().filter(|it| is_known(it)).cloned().collect();
            self.world.tally.add("device lists that were kept", known.len() as u64);
            for user_id in &known {
                self.is_right(device, user_id, &right[user_id], "is told nothing and knows");
            }
            let mut left: BTreeSet<_> =
                of.difference(&known.into_iter().collect()).cloned().collect();
            for _ in 0..TRIES {
                device.query(left.clone()).await;
                left.retain(|it| !is_known(it));
            }
            // One that is told of at this moment is told of for ever.
            for user_id in &of {
                self.is_right(device, user_id, &right[user_id], "has asked and knows");
            }
        }
    }

    fn is_right(&self, device: &Device, user_id: &str, right: &Value, how: &str) {
        let found = device.known().lists.get(user_id).map(|it| it.keys.clone());
        let found = found.unwrap_or_else(|| json!("nothing"));
        assert_eq!(found, *right, "{} {how} this of {user_id}", device.user.id());
        self.world.tally.count("device lists that were right");
    }

    /// Those who share an encrypted room with a device's user, as both of their servers know.
    async fn sharing_with(&self, device: &Device) -> BTreeSet<String> {
        let mut users = BTreeSet::new();
        for room in &self.world.rooms {
            let group = self.world.in_touch(&room.id).await;
            if !group.contains(&device.user.server)
                || !self.has_both(room, device.user.server, device, device).await
            {
                continue;
            }
            for other in &self.devices {
                let server = other.user.server;
                if group.contains(&server)
                    && self.has_both(room, device.user.server, device, other).await
                    && self.has_both(room, server, device, other).await
                {
                    users.insert(other.user.id().to_owned());
                }
            }
        }
        users
    }

    /// Whether a server knows a room as encrypted, with both of these users in it.
    async fn has_both(&self, room: &Room, server: usize, one: &Device, other: &Device) -> bool {
        let database = &self.world.servers[server].database;
        let members = inspect::members(database, &room.id).await;
        let is_joined = |it: &Device| members.get(it.user.id()).is_some_and(|it| it == "join");
        let encryption = ("m.room.encryption".to_owned(), String::new());
        is_joined(one)
            && is_joined(other)
            && inspect::state(database, &room.id).await.contains_key(&encryption)
    }
}
