//! Memory of the server before and after the load.

use std::time::Duration;

use tokio::time::sleep;

use crate::{error::Result, report::Sheet, world::World};

/// For the server to finish what it does in the background.
const SETTLE: Duration = Duration::from_secs(2);
const MIB: f64 = 1_048_576.0;

/// Memory before any request but the ones that see whether the server is up.
pub(crate) async fn idle(world: &World, sheet: &mut Sheet) -> Result<()> {
    resident(world, sheet).await
}

/// Memory after everything else, and the most it ever was.
pub(crate) async fn after(world: &World, sheet: &mut Sheet) -> Result<()> {
    resident(world, sheet).await?;
    if let Some(memory) = world.probe.memory() {
        sheet.figure("peak", memory.peak as f64 / MIB, "MiB");
    }
    if let Some(bytes) = world.probe.disk() {
        sheet.figure("data_directory", bytes as f64 / 1e6, "MB");
    }
    Ok(())
}

async fn resident(world: &World, sheet: &mut Sheet) -> Result<()> {
    if !world.probe.pids.is_empty() {
        sleep(SETTLE).await;
    }
    if let Some(memory) = world.probe.memory() {
        sheet.figure("resident", memory.resident as f64 / MIB, "MiB");
    }
    Ok(())
}
