//! The pure core of Skerry: events, room versions, authorization, visibility and planning.
//!
//! **Invariant:** no async, no I/O, no clock, no randomness, no SQL. Everything that crosses a
//! trust boundary is checked here, where a table test reaches it.

pub mod address;
pub mod ancestors;
pub mod authorize;
pub mod canonical_alias;
pub mod client_event;
pub mod create_room;
pub mod delivery;
pub mod destination;
pub mod device_keys;
pub mod discovery;
pub mod dns_json;
pub mod dummy_event;
pub mod edu;
pub mod engine;
mod event_json;
pub mod faults;
pub mod filter;
pub mod gather;
pub mod hierarchy;
pub mod identifier;
pub mod integer;
pub mod invite;
pub mod join_order;
pub mod json_parts;
pub mod key_backup;
pub mod membership;
pub mod near;
pub mod notify;
pub mod pdu;
pub mod policy;
pub mod presence;
pub mod profile;
pub mod rate_limits;
pub mod receipt;
pub mod redact;
pub mod relation;
pub mod request_path;
pub mod room_summary;
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
pub mod third_party_invite;
pub mod to_device;
pub mod token;
pub mod turns;
pub mod user_stream;
pub mod visibility;
pub mod x_matrix;

pub use self::{pdu::Pdu, signing_key::SigningKey};
