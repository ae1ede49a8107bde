//! Reading: events, state, members and history, as far as the requester may see them.

pub(super) mod access;
mod ancestors;
pub(super) mod audience;
mod context;
mod departures;
mod events;
mod found_states;
mod members;
mod messages;
mod near;
mod outgoing;
mod permission;
mod public_info;
mod reduced_state;
pub(super) mod render;
pub(super) mod scan;
mod state;
mod state_before;
mod summary;
mod timelines;
pub(super) mod whole_states;

use crate::{Error, Result, messages::RawJson};

fn unseen() -> Error {
    Error::not_found("there is no such event that you may see")
}

/// The only event, or "not found".
fn one(events: Vec<RawJson>) -> Result<RawJson> {
    let event = events.into_iter().next();
    let event = event.ok_or_else(|| Error::not_found("the room has no such state"))?;
    Ok(event)
}
