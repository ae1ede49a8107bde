//! What need not be kept any longer goes.

use super::{Due, User, limits};
use crate::{Result, objects::agenda::AgendaPlan, store::user::to_device};

impl User {
    /// Forgets messages that nobody repeats any more, and removes a page of the keys that no backup
    /// has. When nothing is left, it is not due again.
    pub(super) async fn clean(&self) -> Result<()> {
        let now_ms = self.host.clock().now_ms();
        let mut state = self.lock().await?;
        let seen = to_device::count_seen(self.sql(), self.scope()).await?;
        let mut stmts = vec![to_device::remove_seen(self.scope(), now_ms)];
        let mut agenda = AgendaPlan::default();
        match (self.purge_keys(&mut stmts).await?, seen) {
            (true, _) => agenda.set(Due::Clean, now_ms),
            (false, 0) => agenda.clear(Due::Clean),
            (false, _) => agenda.set(Due::Clean, now_ms + limits::CLEAN_MS),
        }
        self.write(&mut state, stmts, agenda).await?;
        state.waiting = None;
        Ok(())
    }
}
