//! The objects: each has a name, a private store that only it writes, and a mailbox.
//!
//! **Invariant:** plan → one atomic batch → effects. A refused command leaves no trace; nothing
//! read before an `await` that can interleave is trusted after it.

pub mod room;
pub mod user;
