//! The native host: adapters over SQLite and the machine, the registry of objects, the HTTP
//! server and the command line.
//!
//! **Invariant:** no Matrix rule here. What a client can see is decided in `shared`.

pub mod dns;
pub mod doctor;
pub mod http;
pub mod machine;
pub mod memory;
pub mod options;
pub mod refetch_state;
pub mod registry;
pub mod rotate_key;
pub mod run;
pub mod serve;
pub mod sqlite;
pub mod store;
mod tls;
pub mod vital;
