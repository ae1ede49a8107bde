//! Every SQL statement, once, as typed functions.
//!
//! **Invariant:** no SQL outside this layer; parameters only; "not found" is `Ok(None)`.
//! Functions that write give a [`crate::ports::Stmt`], so that an object can put several into
//! one atomic batch.

pub mod agenda;
pub mod destination;
pub mod global;
pub mod migrations;
pub mod room;
pub mod user;
