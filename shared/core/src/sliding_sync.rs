//! What sliding sync decides ([MSC4186]): which rooms a request asks for, and what a client has
//! been given of each room. Plain data in, plain data out; the `User` object stores it.
//!
//! A request names *lists*, windows into the user's rooms in the order of their last activity, and
//! *subscriptions*, single rooms. What is wanted of a room is what all that match it want together
//! ([`wanted`]). A *connection* ([`Connection`]) knows of each room up to where the client was
//! given it and with which settings, so that settings which grow give the rest.
//!
//! [MSC4186]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

mod connection;
mod lists;
mod request;
mod required_state;
mod step;

pub use self::{
    connection::{Connection, Given, GivenRoom, MAX_GIVEN_ROOMS, Pos, UnknownPos},
    lists::{Traits, Wanted, Windows, wanted},
    request::{
        Extensions, Filters, InvalidRequest, List, MAX_CONN_ID_BYTES, MAX_EXTENSION_NAMES,
        MAX_FILTER_NAMES, MAX_LIST_NAME_BYTES, MAX_LISTS, MAX_RANGES, MAX_REQUIRED_STATE,
        MAX_REQUIRED_STATE_BYTES, MAX_SUBSCRIPTIONS, MAX_TIMELINE_EVENTS, Request, RoomSettings,
        Scope, ToDevice, Toggle,
    },
    required_state::RequiredState,
    step::{Besides, Step, step},
};

/// Connections of one device: when it begins one more, the one goes that was used the longest ago.
pub const MAX_CONNECTIONS: usize = 8;

/// Rooms of which one answer asks where they stand, because they may have gone on since the user's
/// stream has heard of them.
pub const MAX_PROBES: usize = 64;

/// The types of events that count as activity of people: they set the `bump_stamp` of a room.
pub const BUMP_TYPES: [&str; 7] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "m.beacon_info",
];

/// Whether an event of this type sets the `bump_stamp` of its room.
pub fn bumps(event_type: &str) -> bool {
    BUMP_TYPES.contains(&event_type)
}
