//! The limits of a user, in one place. Marks: [`skerry_core::user_stream::MAX_MARKS_PER_ROOM`].

use std::num::NonZeroUsize;

use crate::objects::held::{Bound, Total};

/// What all users of a process hold in memory, of which so many bytes are not too much.
pub static USERS: Total = Total::new(16 << 20);
/// Bytes of the content of one piece of account data.
pub const ACCOUNT_DATA_BYTES: usize = 256 * 1024;
/// Bytes of all account data of the user and of their rooms: contents, types and room IDs. All
/// of it comes with an initial sync. Somebody in ten thousand rooms, with a read marker and a
/// tag in each, has half of it.
pub const ACCOUNT_DATA_TOTAL_BYTES: u64 = 4 * 1024 * 1024;
/// Pieces of account data of the user, and of each room.
pub const ACCOUNT_DATA_TYPES: u64 = 500;
/// Bytes of a type of account data, as of an event.
pub const ACCOUNT_DATA_TYPE_BYTES: usize = 255;
/// Tags of one room.
pub const TAGS_PER_ROOM: usize = 100;
/// Bytes of a tag ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-tagging
pub const TAG_BYTES: usize = 255;
/// Bytes of what a client says of a tag: its order in known ones.
pub const TAG_INFO_BYTES: usize = 1024;
/// Users that `m.ignored_user_list` may have an effect on; more are not ignored.
pub const IGNORED_USERS: usize = 5_000;
/// Stored filters; the oldest goes when one more is stored.
pub const FILTERS: usize = 100;
/// Bytes of a filter as it is stored: what it may name ([`skerry_core::filter::MAX_BYTES`]), as
/// JSON.
pub const FILTER_BYTES: usize = 48 * 1024;
/// Bytes of all stored filters; the oldest go when one more is stored. A hundred filters of
/// known clients have a tenth of it.
pub const FILTERS_BYTES: usize = 1024 * 1024;
/// Tokens that tell others who the user is; those that end first go when one more is made.
pub const OPENID_TOKENS: u64 = 100;
/// Devices.
pub const DEVICES: usize = 1_000;
/// Characters of a device's name; the rest is cut off.
pub const DEVICE_NAME_CHARS: usize = 100;
/// Devices that are gone of which it is kept that they are, so that other servers learn of it.
pub const GONE_DEVICES: u64 = 100;
/// Devices of which it is in memory how many keys they have left.
pub const COUNTED_DEVICES: NonZeroUsize = NonZeroUsize::new(20).unwrap();
/// Of the keys that other users are shown, so much stays in memory: some forty devices.
pub const SHOWN_KEYS_BYTES: Bound = Bound { most: 64 << 10, share: 4 << 10 };
/// Signatures of the user on others' master keys.
pub const SIGNED_USERS: u64 = 5_000;
/// Events of stripped state kept of an invitation or a knock.
pub const STRIPPED_STATE_EVENTS: usize = 100;
/// Invitations of rooms that are not here, which the user has not answered. Each keeps what other
/// servers say.
pub const REMOTE_INVITES: u64 = 500;
/// Bytes of the names of members that are remembered as sent to this user's devices: some ten
/// thousand.
pub const SENT_MEMBERS_BYTES: Bound = Bound { most: 1 << 20, share: 32 << 10 };
/// Rooms with receipts or typing that are kept in memory for clients.
pub const EPHEMERAL_ROOMS: NonZeroUsize = NonZeroUsize::new(500).unwrap();
/// Memories of a user that are told apart by what they hold of that: a token carries it.
pub const EPHEMERAL_EPOCHS: u64 = 1 << 20;
/// Devices of which it is kept when they asked last.
pub const EPHEMERAL_DEVICES: NonZeroUsize = NonZeroUsize::new(100).unwrap();
/// How long after it has asked a device counts as there: longer than a client waits for news.
pub const PRESENT_MS: u64 = 100_000;
/// Clients that hear at once of what is new, at a time. Who comes after them takes the place of
/// the one that has waited longest. Tests take all places: a few are enough for them.
pub const WAITING: usize = if cfg!(feature = "test-routes") { 16 } else { 1_000 };
/// How often a client that waits without a place looks, in milliseconds.
pub const WAITING_LOOK_MS: u64 = 5_000;
/// Users whose statuses are kept for clients.
pub const STATUSES: NonZeroUsize = NonZeroUsize::new(500).unwrap();
/// Bytes of the names and values of a profile together.
pub const PROFILE_BYTES: usize = 64 * 1024;
/// How long the access token of a session may have been expired before the session ends, in
/// milliseconds: half a year.
pub const SESSION_IDLE_MS: u64 = 182 * 24 * 60 * 60 * 1000;
/// Sessions that are ended in one batch because they have lapsed.
pub const LAPSED_PER_ROUND: usize = 100;
/// Messages to a device that are dropped in one batch, where too many wait.
pub const TO_DEVICE_DROPPED_AT_ONCE: usize = 500;
/// Messages to devices that are known to have come. Where there are more, a quarter is forgotten.
pub const TO_DEVICE_SEEN: u64 = 50_000;
/// Keys of backups that are written by one statement, whose values have less than 2 MB at the edge.
pub const BACKUP_KEYS_PER_STMT: usize = 10;
/// Keys that no backup has any more which are removed in one batch.
pub const BACKUP_KEYS_PER_ROUND: usize = 2_000;
/// How often what need not be kept any longer is removed, in milliseconds.
pub const CLEAN_MS: u64 = 24 * 60 * 60 * 1000;
/// Entries of the outbox that are tried at the same time.
pub const OUTBOX_AT_ONCE: usize = 8;
/// Entries of the outbox that are tried in one round.
pub const OUTBOX_PER_ROUND: u64 = 50;
/// Rounds before the outbox waits for an alarm to go on.
pub const OUTBOX_ROUNDS: usize = 4;
/// How soon an entry of the outbox is tried again, at first, in milliseconds.
pub const OUTBOX_RETRY_MS: u64 = 30_000;
/// How often that time is doubled at most: to 17 hours.
pub const OUTBOX_RETRY_DOUBLINGS: u64 = 11;
/// How long one attempt of an entry of the outbox may take, in milliseconds; then it has
/// failed.
pub const OUTBOX_ATTEMPT_MS: u64 = 15_000;
/// How often other servers are told, at most, that an invitation to a room which is not here is
/// turned down, as long as they are not reached: for about a week.
pub const LEAVE_ATTEMPTS: u64 = 20;
/// Servers that are told of it, at most.
pub const LEAVE_SERVERS: usize = 3;
/// Users who are asked at once for somebody else, by [errands](crate::messages::user::RunErrands).
pub const ERRANDS_AT_ONCE: usize = 256;
/// How long a reply waits for the outbox, where the client would miss what it brings about, in
/// milliseconds.
pub const OUTBOX_WAIT_MS: u64 = 1_000;
