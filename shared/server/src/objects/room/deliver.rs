//! What a room delivers to its local members, so that nothing is lost and little is said.
//!
//! A membership is delivered before the request is answered; a row says that it was, and the alarm
//! delivers those of which none does. Activity is delivered to a member once, and not again until
//! they have read the room: a room of a thousand sleeping members costs nothing per message
//! ([`skerry_core::delivery`]). Both messages are idempotent.

mod activity;
mod alarm;
mod commit;
mod memberships;
