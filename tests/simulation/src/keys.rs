//! Clients that encrypt, as far as servers see it, in the same world: devices with keys that others
//! claim and ask for, and messages from device to device, while the network fails and servers
//! crash. No one-time key is given twice, no message to a device is lost or comes twice, and when
//! the dust has settled nobody takes anybody's devices for others than they are.

mod check;
mod device;
mod journal;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use skerry_tests::path;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::subscriber;

use self::{device::Device, journal::Secrets};
use crate::{
    host::runtime,
    log,
    tally::Tally,
    template::templates,
    users::{Room, User},
    world::World,
};

/// Runs a seed. Gives what happened, and a number that only the same run comes to.
///
/// # Panics
///
/// When something does not hold that must.
pub fn run_keys(seed: u64) -> (Arc<Tally>, u64) {
    run_keys_on(seed, 0)
}

/// Runs a seed on disks of which each forgets so many of a hundred batches that it acknowledges.
///
/// # Panics
///
/// When that is noticed.
pub fn run_keys_on(seed: u64, forgets: usize) -> (Arc<Tally>, u64) {
    log::note_panics();
    templates();
    drop(log::take_faults());
    let _log = subscriber::set_default(log::Log::new());
    runtime().block_on(async {
        let mut keys = Keys::begin(World::small(seed, forgets).await).await;
        keys.live().await;
        keys.world.heal().await;
        keys.check().await;
        let mut digest = DefaultHasher::new();
        keys.world.network.digest().hash(&mut digest);
        keys.world.tally.to_string().hash(&mut digest);
        keys.world.end().await;
        (keys.world.tally.clone(), digest.finish())
    })
}

/// The world, and who encrypts in it.
pub struct Keys {
    world: World,
    secrets: Arc<Secrets>,
    devices: Vec<Arc<Device>>,
    /// Clients that sync, until they have had enough.
    syncing: Vec<JoinHandle<()>>,
    enough: CancellationToken,
}

impl Keys {
    /// Every user's device uploads its keys and begins to sync; most rooms are encrypted.
    async fn begin(mut world: World) -> Self {
        let (secrets, enough) = (Arc::new(Secrets::default()), CancellationToken::new());
        let (mut devices, mut syncing) = (Vec::new(), Vec::new());
        for user in world.users.clone() {
            let device = Device::begin(user, world.rng.next(), secrets.clone()).await;
            syncing.push(tokio::spawn(device.clone().read_on(world.rng.next(), enough.clone())));
            devices.push(device);
        }
        for _ in 0..=world.rng.below(2) {
            world.make_room().await;
        }
        let mut keys = Self { world, secrets, devices, syncing, enough };
        for room in keys.world.rooms.clone() {
            if keys.world.rng.percent(80) {
                keys.encrypt(&room).await;
            }
            for user in keys.world.users.clone() {
                if keys.world.rng.percent(60) {
                    user.join(&room.id, std::slice::from_ref(&room.maker)).await;
                }
            }
        }
        keys
    }

    /// Somebody who may makes a room encrypted.
    async fn encrypt(&self, room: &Room) {
        let joined = self.joined(room);
        let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        for user in joined {
            if user.set_state(&room.id, "m.room.encryption", &content).await {
                return;
            }
        }
    }

    fn joined(&self, room: &Room) -> Vec<User> {
        let entries = self.world.journal.entries();
        let is_joined =
            |it: &&User| entries.joined.contains(&(room.id.clone(), it.id().to_owned()));
        self.world.users.iter().filter(is_joined).cloned().collect()
    }

    /// Clients and chance do what they do.
    async fn live(&mut self) {
        let steps = 30 + self.world.rng.below(80);
        for _ in 0..steps {
            match self.world.rng.below(100) {
                0..76 => self.act(),
                76..88 => self.meet(),
                _ => self.world.disturb().await,
            }
            let most = [5, 300, 3_000, 20_000][self.world.rng.below(4)];
            sleep(Duration::from_millis(self.world.rng.below(most) as u64)).await;
        }
    }

    /// One device does something.
    fn act(&mut self) {
        let rng = &mut self.world.rng;
        let Some(device) = rng.pick(&self.devices).cloned() else { return };
        let mut others = Vec::new();
        for _ in 0..=rng.below(3) {
            others.extend(rng.pick(&self.devices).cloned());
        }
        let (what, number) = (rng.below(100), rng.next());
        self.world.tell(&format!("{} does {what}", device.user.id()));
        self.world.tasks.push(tokio::spawn(async move {
            match what {
                0..38 => device.send(&others, number).await,
                38..60 => device.claim(&others).await,
                60..70 => device.upload_one_time_keys().await,
                70..78 => device.leave_dehydrated(number).await,
                78..81 => device.remove_dehydrated().await,
                81..92 => device.query(others.iter().map(|it| it.user.id().to_owned())).await,
                92..96 => device.sign(number).await,
                _ => device.rename(number).await,
            }
        }));
    }

    /// Somebody comes into a room, leaves it, says something or makes it encrypted.
    fn meet(&mut self) {
        let rng = &mut self.world.rng;
        let Some(room) = rng.pick(&self.world.rooms).cloned() else { return };
        let anybody = rng.pick(&self.world.users).expect("users").clone();
        let (what, is_left) = (rng.below(100), rng.percent(50));
        let joined = self.joined(&room);
        let member = self.world.rng.pick(&joined).cloned();
        self.world.tell(&format!("{} meets {what} in {}", anybody.id(), room.id));
        self.world.tasks.push(tokio::spawn(async move {
            let Some(member) = member else { return };
            match what {
                0..40 => {
                    member.change(&room.id, "invite", anybody.id()).await;
                    anybody.join(&room.id, std::slice::from_ref(&room.maker)).await;
                }
                40..60 if is_left => member.leave(&room.id).await,
                60..65 => {
                    member.change(&room.id, "kick", anybody.id()).await;
                }
                65..75 => {
                    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
                    member.set_state(&room.id, "m.room.encryption", &content).await;
                }
                _ => {
                    member.send(&room.id).await;
                }
            }
        }));
    }
}

/// The path of a dehydrated device.
fn dehydrated_path(rest: &str) -> String {
    let prefix = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
    format!("{prefix}{rest}")
}

/// The path of the messages that wait for one.
fn waiting_path(device_id: &str) -> String {
    dehydrated_path(&path([device_id, "events"]))
}
