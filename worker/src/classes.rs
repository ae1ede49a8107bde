//! The classes of Durable Objects: one for each kind of object. `wrangler.toml` and `entry.mjs`
//! name them too.

#![expect(missing_docs, reason = "of what the macro exports")]

use skerry::objects::{destination::Destination, room::Room, user::User};

use crate::shell::durable_object;

durable_object!(RoomObject, Room);
durable_object!(UserObject, User);
durable_object!(DestinationObject, Destination);
