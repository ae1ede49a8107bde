//! What must follow a commit outside the room, and what is due at a later time.
//!
//! A commit that has effects puts them on the room's agenda in its own batch, whoever caused it:
//! a client, another server, another object, the resolution of a fork. They are brought about
//! right after the commit, and the reply waits a moment for them. What a crash or a failure has
//! kept from being done, the alarm does. Doing it twice changes nothing.

mod agenda;
mod aliases;
mod destroy;
mod directory;
mod expire;
