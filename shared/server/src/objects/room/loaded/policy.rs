//! What a room remembers of asking its policy server.

use std::sync::Mutex;

use skerry_core::policy::BackOff;

/// Who asks the policy server, and whether it is of use.
#[derive(Debug, Default)]
pub(crate) struct PolicyTurns {
    /// Held by whoever has an event signed that this server has made. One that is made meanwhile
    /// would come after the same events: the room would fork with everything that is said.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) back_off: Mutex<BackOff>,
}
