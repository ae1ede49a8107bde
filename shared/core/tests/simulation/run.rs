//! One seed, from an empty room to the verdict.

pub mod actions;
pub mod byzantine;
pub mod identity;
pub mod oracle;
pub mod rng;
pub mod seeds;
pub mod server;
pub mod store;
pub mod verdict;
pub mod world;

use skerry_core::engine::Verdict;

use self::world::World;

/// What happened, so that a run shows what it covers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub events: usize,
    pub soft_failed: usize,
    pub rejected: usize,
    pub most_extremities: usize,
    pub heals: usize,
    /// Heals after which a server was out of touch.
    pub splits: usize,
    /// Heals after which nobody compared states, because someone lied about them.
    pub lies: usize,
}

impl Tally {
    fn add(&mut self, world: &World) {
        let all = world.servers.iter().filter_map(|it| it.room.as_ref());
        for room in all {
            let count = |verdict| room.events.iter().filter(|it| it.verdict == verdict).count();
            self.events = self.events.max(room.events.len());
            self.soft_failed = self.soft_failed.max(count(Verdict::SoftFailed));
            self.rejected = self.rejected.max(count(Verdict::Rejected));
            self.most_extremities = self.most_extremities.max(room.extremities.len());
        }
        self.heals += 1;
        self.splits +=
            usize::from(verdict::in_touch(world).len() < verdict::participants(world).len());
        self.lies += usize::from(world.lied);
    }

    /// Adds another seed's.
    pub fn sum(&mut self, other: &Self) {
        self.events += other.events;
        self.soft_failed += other.soft_failed;
        self.rejected += other.rejected;
        self.most_extremities = self.most_extremities.max(other.most_extremities);
        self.heals += other.heals;
        self.splits += other.splits;
        self.lies += other.lies;
    }
}

/// Runs a seed. Gives the world that is left.
///
/// # Panics
///
/// When something does not hold that should.
pub fn run(seed: u64) -> (Tally, World) {
    let mut tally = Tally::default();
    let mut world = World::new(seed);
    for _ in 0..=world.rng.below(3) {
        world.is_lossy = true;
        for _ in 0..10 + world.rng.below(15) {
            let pause = world.rng.below(25) as u64;
            world.run_for(pause);
            if world.rng.percent(8) {
                world.split();
            }
            let server = world.rng.below(world.servers.len());
            match !world.is_honest(server) && world.rng.percent(60) {
                true => byzantine::attack(&mut world, server),
                false => actions::act(&mut world, server),
            }
        }
        world.is_lossy = false;
        verdict::heal(&mut world);
        verdict::tell(&world);
        verdict::check(&mut world);
        tally.add(&world);
    }
    (tally, world)
}
