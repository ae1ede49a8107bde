//! What a room delivers to its local members, so that nothing is lost and little is said.
//!
//! A membership is delivered before the request is answered; a row says that it was, and the alarm
//! delivers those of which none does. Activity is delivered to a member once, and not again until
//! they have read the room: a room of a thousand sleeping members costs nothing per message. Both
//! messages are idempotent. What is delivered when, to whom, and what is written of it,
//! [`skerry_core::delivery`] decides; here it is carried out.

mod activity;
mod alarm;
mod commit;
mod memberships;
