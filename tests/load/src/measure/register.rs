//! Registration of all users that the other measurements need.

use crate::{error::Result, report::Sheet, window::Window, world::World};

/// Registers every user, a few at a time.
pub(crate) async fn register(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let count = world.scale.joiners + 1;
    let window = Window::open(world);
    let mut latencies = world.register_up_to(count).await?;
    let usage = window.close(world);
    sheet.rate(latencies.count(), &usage);
    sheet.percentiles(&mut latencies);
    sheet.usage(usage);
    Ok(())
}
