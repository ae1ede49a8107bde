//! What other servers may read of a room (T15a, T15b).

mod forks;
mod linear;
pub(crate) mod stand;
