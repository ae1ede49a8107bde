//! One seed from beginning to end.

use std::sync::Arc;

use tracing::subscriber;

use crate::{host::runtime, log, tally::Tally, template::templates, world::World};

/// Runs a seed. Gives what happened, and a number that only the same run comes to.
///
/// # Panics
///
/// When something does not hold that must.
pub fn run(seed: u64) -> (Arc<Tally>, u64) {
    run_on(seed, 0)
}

/// Runs a seed on disks of which each forgets so many of a hundred batches that it acknowledges.
///
/// # Panics
///
/// When that is noticed.
pub fn run_on(seed: u64, forgets: usize) -> (Arc<Tally>, u64) {
    log::note_panics();
    templates();
    drop(log::take_faults());
    let _log = subscriber::set_default(log::Log::new());
    runtime().block_on(async {
        let mut world = World::new(seed, forgets).await;
        world.begin().await;
        world.live().await;
        world.heal().await;
        world.tell_rooms().await;
        world.check().await;
        let digest = world.network.digest();
        world.end().await;
        (world.tally.clone(), digest)
    })
}
