//! The limits of a room, in one place.

use std::{num::NonZeroUsize, time::Duration};

use crate::{
    objects::held::{Bound, Total},
    peers::Limits,
};

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
/// Neighbours of which the median is a probe, where the place of a time is looked for.
pub const PROBE: u64 = 5;
/// Events on the other side of that place which are looked at too.
pub const AROUND: u64 = 10;
/// Events among which the nearest one to a time is found.
pub const NEAR_EVENTS: u64 = 32;
/// Reads of history in which it is looked for.
pub const NEAR_SCANS: usize = 4;
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
/// How long a user of another server counts as typing unless that server says so again, in
/// milliseconds.
pub const REMOTE_TYPING_MS: u64 = 60_000;
/// Users who count as typing in a room at the same time.
pub const TYPING_USERS: usize = 500;
/// When other servers are told again of a local user who goes on typing, in milliseconds: before
/// they would believe that it had ended.
pub const TYPING_REPEATED_MS: u64 = 40_000;
/// Other servers that are told who types.
pub const TYPING_SERVERS: usize = 500;
/// Members whose statuses are kept for those who come.
pub const STATUSES: NonZeroUsize = NonZeroUsize::new(200).unwrap();
/// Local users, and other servers, whom the statuses of members concern.
pub const STATUS_READERS: usize = 500;
/// How long a change of who is typing is shown to clients that may not have seen it.
pub const TYPING_SHOWN_MS: u64 = 120_000;
/// How long receipts and typing are gathered, so that many of them are delivered as one.
pub const EPHEMERAL_WINDOW_MS: u64 = 1_500;
/// How long receipts of local users are gathered before other servers are told that some wait for
/// them, at least, in milliseconds.
pub const RECEIPT_WINDOW_MS: u64 = 2_000;
/// How much longer for each server that is told, in milliseconds: of 50 servers a second.
pub const RECEIPT_WINDOW_PER_SERVER_MS: u64 = 20;
/// Bytes of the engine's memory, roughly, beyond which it is dropped between two commands.
pub const ENGINE_MEMORY_BYTES: Bound = Bound { most: 24 << 20, share: 64 << 10 };
/// What one statement reads for the engine.
pub const ENGINE_PAGE: usize = 500;
/// How often one decision may ask for more.
pub const DECISION_ROUNDS: usize = 10_000;
/// Messages that are written in one batch.
pub const SENDS_A_BATCH: usize = 32;
/// Events of other servers that are written in one batch.
pub const RECEIVED_A_BATCH: usize = 50;
/// Statements after which such a batch is not to be larger: an event may change much of the state.
pub const STMTS_A_BATCH: usize = 500;
/// Bytes after which it is not to be.
pub const BYTES_A_BATCH: usize = 1 << 20;
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
/// Receipts that another server is given at a time.
pub const OUTGOING_RECEIPTS: usize = skerry_core::destination::MAX_RECEIPTS;
/// Bytes of the events; one always fits.
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
/// Events of a join that could not be verified and are kept until they can be; what comes beyond is
/// as if it had not come.
pub const UNVERIFIED_EVENTS: u64 = 1_000;
/// Bytes of these events.
pub const UNVERIFIED_BYTES: u64 = 4 << 20;
/// Those whose keys are looked for at the same time.
pub const UNVERIFIED_PAGE: usize = 100;
/// How soon that is done for the first time, and done again, in milliseconds: after a quarter of
/// the time since they have come, between these.
pub const VERIFY_FIRST_MS: u64 = 10_000;
/// As [`VERIFY_FIRST_MS`].
pub const VERIFY_LAST_MS: u64 = 6 * 3_600_000;
/// How long after it has begun the alarm comes again, in milliseconds.
pub const VERIFY_MS: u64 = 300_000;
/// How long they are kept, in milliseconds.
pub const UNVERIFIED_MS: u64 = 14 * 86_400_000;
/// Events that a join lacks and that are named, at most: when these have come, the next ones are.
pub const MISSING_EVENTS: usize = 500;
/// Events that wait for others; beyond, the oldest of the server that has the most is dropped.
pub const PENDING_EVENTS: u64 = 1_000;
/// Events of a room that is being joined which are kept until it is here.
pub const EARLY_EVENTS: u64 = 200;
/// Events that wait for others which are looked at to find out where those belong.
pub const WAITING_PART: usize = 50;
/// What an answer of another server with some events may take.
pub const EVENTS: Limits =
    Limits { max_answer_bytes: 8 * 1024 * 1024, timeout: Duration::from_secs(20) };
/// What one with the IDs of a state and its auth chain may take.
pub const STATE_IDS: Limits =
    Limits { max_answer_bytes: 16 * 1024 * 1024, timeout: Duration::from_secs(30) };
/// What one with the events of a state and its auth chain may take.
pub const STATE: Limits =
    Limits { max_answer_bytes: 32 * 1024 * 1024, timeout: Duration::from_mins(1) };
/// Servers that are asked for what is missing, one after the other.
pub const ASKED_SERVERS: usize = 5;
/// Events that one server is asked for of those that come before others.
pub const MISSING_ASKED: usize = 50;
/// How often one server is asked for the events before those that it has given.
pub const MISSING_ROUNDS: usize = 10;
/// Events that wait, before which one question looks.
pub const ROOTS_ASKED: usize = 10;
/// Forward extremities at which it stops.
pub const EARLIEST_ASKED: usize = 20;
/// Events that wait for which others are asked for in one go.
pub const FILLED_AT_ONCE: usize = 20;
/// When the next ones are, in milliseconds.
pub const FILL_PAUSE_MS: u64 = 5_000;
/// How long after it has begun to ask for them the alarm comes again, in milliseconds.
pub const FILL_MS: u64 = 120_000;
/// Forward extremities at which a named server is asked for the state, at most: the deepest.
pub const REFETCHED_EXTREMITIES: usize = 10;
/// Pieces of the state that are told of each kind of what came of that: the others are counted.
pub const TOLD_CHANGES: usize = 500;
/// Local members of whose devices is told in one step, where a room has become encrypted.
pub const TOLD_DEVICES: usize = 100;
/// Events of a state that are asked for one by one; where more are missing, the whole state is.
pub const ASKED_ONE_BY_ONE: usize = 50;
/// Those that are asked for at the same time.
pub const ASKED_AT_ONCE: usize = 6;
/// Events of the history that one server is asked for.
pub const BACKFILL_ASKED: usize = 100;
/// Missing events from which it is to begin.
pub const BACKFILLED_FROM: u64 = 20;
/// Events of such an answer of which the state before them is asked for.
pub const BACKFILLED_STATES: usize = 5;
/// How far the clocks of other servers may be from this one's, in milliseconds, where the time
/// of an event of theirs is compared with it.
pub const CLOCK_SKEW_MS: u64 = 60 * 1_000;
/// How long whoever reads history waits for what is not here, in milliseconds.
pub const BACKFILL_WAIT_MS: u64 = 15_000;
/// How often one page of history may ask for what is not here.
pub const BACKFILLS_A_PAGE: usize = 3;
/// How long a gap of which no server had anything is left alone, in milliseconds.
pub const EMPTY_GAP_MS: u64 = 5 * 60 * 1_000;
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
pub const PENDING_EVENT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
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
/// What the signature of a policy server may take.
pub const SIGNATURE: Limits =
    Limits { max_answer_bytes: 16 * 1024, timeout: Duration::from_secs(10) };
/// Events of other servers which it is asked about at the same time.
pub const POLICY_ASKED_AT_ONCE: usize = 8;
/// How long those that come together are kept waiting for that, in milliseconds.
pub const POLICY_ALL_MS: u64 = 15_000;
/// How long an event of this server waits for those before it to be signed, in milliseconds.
pub const POLICY_WAIT_MS: u64 = 20_000;
/// Bytes of what a policy server says about an event that a client is told.
pub const POLICY_REASON_BYTES: usize = 1_000;
/// Rooms named by a join rule that are asked whether somebody is in them, at most.
pub const ALLOWED_ROOMS: usize = 32;
/// Those that are asked at the same time.
pub const ALLOWED_AT_ONCE: usize = 6;
/// How long each of them may take to answer, in milliseconds; then it could not be asked.
pub const ALLOWED_TIMEOUT_MS: u64 = 10_000;
