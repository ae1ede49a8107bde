//! The pure core of Skerry: events, room versions, authorization, visibility and planning.
//!
//! **Invariant:** no async, no I/O, no clock, no randomness, no SQL. Everything that crosses a
//! trust boundary is checked here, where a table test reaches it.

pub mod address;
pub mod authorize;
pub mod canonical_alias;
pub mod client_event;
pub mod create_room;
pub mod delivery;
pub mod destination;
pub mod discovery;
pub mod dns_json;
pub mod engine;
mod event_json;
pub mod filter;
pub mod identifier;
pub mod integer;
pub mod join_order;
pub mod membership;
pub mod notify;
pub mod pdu;
pub mod rate_limits;
pub mod receipt;
pub mod redact;
pub mod relation;
pub mod request_path;
pub mod room_version;
pub mod server_keys;
pub mod sessions;
pub mod shown_state;
pub mod signed_text;
pub mod signing_key;
pub mod slots;
pub mod state_content;
pub mod state_res;
pub mod sync_token;
pub mod token;
pub mod turns;
pub mod user_stream;
pub mod visibility;
pub mod x_matrix;

pub use self::{pdu::Pdu, signing_key::SigningKey};
