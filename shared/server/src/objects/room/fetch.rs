//! What the room misses is asked of other servers: what events wait for ([`filling`]), and what
//! was before what is here ([`history`]).
//!
//! **Invariant:** nothing is asked under the room's lock. What is missing is written down, and what
//! comes is received like what any server sends: it is believed no more than that.

mod ask;
mod filling;
mod history;
mod policy;
mod refetch;
mod states;
mod unverified;

pub(crate) use self::history::{Backfill, Filled};
