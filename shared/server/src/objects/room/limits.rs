//! The limits of a room, in one place.

use std::num::NonZeroUsize;

use crate::objects::held::{Bound, Total};

/// What all rooms of a process hold in memory, of which so many bytes are not too much.
pub static ROOMS: Total = Total::new(48 << 20);
/// State keys whose events are kept in memory: those that were used last.
pub const CACHED_STATE: NonZeroUsize = NonZeroUsize::new(5_000).unwrap();
/// Bytes of these events, about.
pub const CACHED_STATE_BYTES: Bound = Bound { most: 4 << 20, share: 16 << 10 };
/// Members of whom it is kept in memory what they may see and have not read: those that were
/// active last.
pub const CACHED_MEMBERS: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();
/// Bytes of what they may see, of what they have not read, and of what servers may see: each.
pub const CACHED_MEMBERS_BYTES: Bound = Bound { most: 1 << 20, share: 16 << 10 };
/// Servers of which it is kept in memory what they may see: those that asked last.
pub const CACHED_SERVERS: NonZeroUsize = NonZeroUsize::new(500).unwrap();
/// Changes of the history's visibility, and of the membership of each user, that are looked at to
/// find out what somebody may see: the newest. Before them history counts as closed to newcomers,
/// and the user as not there.
pub const TIMELINE_CHANGES: usize = 1_000;
/// The newest events that are kept in memory.
pub const RECENT_EVENTS: usize = 20;
/// Bytes of these events.
pub const RECENT_EVENTS_BYTES: Bound = Bound { most: 80 << 10, share: 16 << 10 };
/// Events of a timeline in `/sync`, whatever the filter asks for.
pub const TIMELINE_EVENTS: u64 = 100;
/// Events of a timeline in `/sync` when the filter does not say.
pub const DEFAULT_TIMELINE_EVENTS: u64 = 10;
/// Bytes of a timeline in `/sync`, with what its events tell of others: more is left to paging
/// back. A hundred messages of the usual size fit. One event always does.
pub const TIMELINE_BYTES: usize = 128 * 1024;
/// Events of a page of history or of a context.
pub const PAGE_EVENTS: u64 = 1_000;
/// Bytes of a page of history or of a context, with what its events tell of others. A thousand
/// messages of the usual size fit. One event always does.
pub const PAGE_BYTES: usize = 1024 * 1024;
/// Stored events that one read looks at, about, before it gives what it has found.
pub const SCANNED_EVENTS: usize = 5_000;
/// Bytes of stored events that one read looks at, about, before it gives what it has found: some
/// milliseconds of reading and of looking for what a filter asks of a content. The
/// [`SCANNED_EVENTS`] fit where they are of the usual size.
pub const SCANNED_BYTES: usize = 8 << 20;
/// States that the current state never was in which one read looks for users of a server before it
/// gives what it has found.
pub const SCANNED_STATES: usize = 200;
/// Unread events that are counted; more are as good as this many.
pub const UNREAD_EVENTS: u64 = 1_000;
/// The newest events among which those are looked for: what notifies nobody can be many.
pub const UNREAD_SCANNED_EVENTS: u64 = 5_000;
/// Threads of which a user's receipts are kept; of the others they are as if never set.
pub const RECEIPT_THREADS: usize = 500;
/// Receipts in one `/sync` response.
pub const RECEIPTS: u64 = 5_000;
/// Heroes of a room without a name ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
pub const HEROES: u64 = 5;
/// Members to whom something is delivered at the same time.
pub const DELIVERIES_AT_ONCE: usize = 32;
/// Rounds of deliveries after one event or alarm, of
/// [`DELIVERIES_PER_ROUND`](skerry_core::delivery::DELIVERIES_PER_ROUND) each: within what a host
/// allows of requests for one.
pub const DELIVERY_ROUNDS: usize = 4;
/// Longest time a client may say that its user will be typing.
pub const TYPING_MS: u64 = 120_000;
/// How long a change of who is typing is shown to clients that may not have seen it.
pub const TYPING_SHOWN_MS: u64 = 120_000;
/// How long receipts and typing are gathered, so that many of them are delivered as one.
pub const EPHEMERAL_WINDOW_MS: u64 = 1_500;
/// Bytes of the engine's memory, roughly, beyond which it is dropped between two commands.
pub const ENGINE_MEMORY_BYTES: Bound = Bound { most: 24 << 20, share: 64 << 10 };
/// What one statement reads for the engine.
pub const ENGINE_PAGE: usize = 500;
/// How often one decision may ask for more.
pub const DECISION_ROUNDS: usize = 10_000;
/// Messages that are written in one batch.
pub const SENDS_A_BATCH: usize = 32;
/// Positions left free where history is missing.
pub const GAP: u64 = 1 << 20;
/// Positions left free for the history before a join.
pub const FIRST_GAP: u64 = 1 << 40;
/// Events that another server is given of those that others build on.
pub const ANCESTORS: u64 = 100;
/// Events from which it may begin.
pub const ANCESTORS_FROM: usize = 50;
/// Events of a state that are read for another server by one statement.
pub const STATE_PAGE: usize = 500;
/// Bytes of events of a state in one answer to another server.
pub const STATE_PAGE_BYTES: usize = 2 << 20;
/// Events that another server is given at a time of what waits for it.
pub const OUTGOING: u64 = 50;
/// Bytes of them; one event always fits.
pub const OUTGOING_BYTES: usize = 2 << 20;
/// Bytes of the ID of an attempt to join.
pub const ATTEMPT_BYTES: usize = 64;
/// Events that are staged for a join in one go.
pub const STAGED_PART: usize = 1_000;
/// Events of the state and of the auth chain that a join may bring. Their order takes up to 27 MB
/// of the 128 MB that an object at the edge has.
pub const STAGED_EVENTS: usize = 450_000;
/// How often these may name others as those that authorize them: nine times each. That takes up
/// to another 36 MB, as long as the order is being found.
pub const STAGED_CITATIONS: usize = 4_000_000;
/// Staged events in memory at a time.
pub const STAGED_PAGE: usize = 500;
/// Bytes of staged events in memory at a time.
pub const STAGED_PAGE_BYTES: usize = 1 << 20;
/// How long the events of an attempt to join are kept after the last of them has come, in
/// milliseconds.
pub const STAGED_MS: u64 = 3_600_000;
/// Events that a join lacks and that are named, at most: when these have come, the next ones are.
pub const MISSING_EVENTS: usize = 500;
/// Events that wait for others; beyond, the oldest of the server that has the most is dropped.
pub const PENDING_EVENTS: u64 = 1_000;
/// Events that wait for others which are looked at to find out where those belong.
pub const WAITING_PART: usize = 50;
/// How long after a commit the alarm brings about what the commit has put on the agenda, in
/// milliseconds, where that was not done right after it.
pub const EFFECT_GRACE_MS: u64 = 8_000;
/// How long a reply waits for the effects of its commit, in milliseconds.
pub const EFFECT_WAIT_MS: u64 = 1_000;
/// How long one thing that is due may take, in milliseconds; then it has failed.
pub const DUE_TIMEOUT_MS: u64 = 15_000;
/// How long something that is due is left alone after its first failure, in milliseconds.
pub const DUE_RETRY_MS: u64 = 10_000;
/// How often that time is doubled at most: to about an hour and a half.
pub const DUE_RETRY_DOUBLINGS: u32 = 9;
/// How long a transaction is remembered, in milliseconds: a client that repeats a request so late
/// sends its event again.
pub const TRANSACTION_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long an event waits for those that it names, in milliseconds.
pub const PENDING_EVENT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How long a redaction waits for what it redacts, in milliseconds.
pub const WAITING_REDACTION_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Redactions that wait for what they redact; beyond, the oldest are forgotten.
pub const WAITING_REDACTIONS: u64 = 1_000;
/// How often, at most, it is looked for rows that have become too old, in milliseconds.
pub const EXPIRE_EVERY_MS: u64 = 60 * 60 * 1_000;
/// Rows of one table that one batch removes.
pub const REMOVED_ROWS: u64 = 1_000;
/// Pages of rows that have become too old which one alarm removes.
pub const EXPIRED_PAGES: usize = 10;
/// When the alarm goes on with the pages that are left, in milliseconds.
pub const NEXT_PAGES_MS: u64 = 1_000;
/// How long after the last local user has forgotten a room it is removed, in milliseconds.
pub const DESTROY_GRACE_MS: u64 = 5_000;
/// Characters of a reason.
pub const REASON_CHARS: usize = 2_000;
/// Rooms named by a join rule that are asked whether somebody is in them, at most.
pub const ALLOWED_ROOMS: usize = 32;
/// Those that are asked at the same time.
pub const ALLOWED_AT_ONCE: usize = 6;
/// How long each of them may take to answer, in milliseconds; then it could not be asked.
pub const ALLOWED_TIMEOUT_MS: u64 = 10_000;
