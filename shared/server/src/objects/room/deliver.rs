//! What a room must tell its local members, so that nothing is lost and little is said.
//!
//! A membership is told before the request is answered; it stays marked in the store until it
//! was. Activity is told to a member once, and not again until they have read the room: a room
//! of a thousand sleeping members costs nothing per message. Who has been told is kept in memory
//! alone; the alarm writes down how far everybody has been told, and a room that finds itself
//! behind when it is loaded tells everybody again. Both messages are idempotent.

mod activity;
mod alarm;
mod commit;
mod memberships;
