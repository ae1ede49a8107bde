//! Statements that read all rows of a table or of an object, or all from somewhere on, and why they
//! may. Each is named without its number, where a function has several.

// What has a bound. Names in capitals are those of the limits.

const REMOVES_ALL: &str = "everything is removed";
const ONE_ROW: &str = "the first or the last row of an index";
const PAGE: &str = "a page in the order of an index, as large as its limit says";
const ANY_PAGE: &str = "any rows, so many as its limit says";
const BY_OPERATOR: &str = "rows that the operator makes: a few";
const STAGED: &str = "once for a join: STAGED_EVENTS";
const PENDING: &str = "PENDING_EVENTS";
const UNVERIFIED: &str = "UNVERIFIED_EVENTS";
const EXPIRY: &str = "hourly: what a day brought; an index would cost a row with every message";
const DEVICES: &str = "DEVICES";
const FILTERS: &str = "FILTERS";
const ACCOUNT_DATA: &str = "ACCOUNT_DATA_TOTAL_BYTES";
const INBOXES: &str = "to_device::MAX_MESSAGES for each device: once when it is loaded";
const SEEN: &str = "TO_DEVICE_SEEN";
const BACKUPS: &str = "MAX_VERSIONS and MAX_DELETED";
const QUEUE: &str = "QUEUE_EDUS: once when it is loaded, and what is too old";
const LISTS: &str = "MAX_LISTS, without the lists: when new ones are kept";
const SIGNATURES: &str = "DEVICES and SIGNED_USERS: once when a user is loaded, or after a change";

// What grows, with what, and how often it is read.

const STEPS: &str = "MAX_CHANGES: where there are more they are not read";
const DIRECTORY: &str = "a page in the order of an index, but a search may find none: the bucket \
                         `directory` says how often";
const STATE: &str = "a whole state is wanted: grows with all changes there were of it";
const CHANGES: &str = "what changed of the state was asked for: grows with that";
const MEMBERSHIPS: &str = "for other servers: grows with all changes of memberships";
const MEMBERS: &str = "all members: once when a room is loaded, or somebody asked for them";
const ENCRYPTED_MEMBERS: &str =
    "all members of an encrypted room: when somebody joins or leaves it";
const DEVICE_CHANGES: &str =
    "members whose devices have changed since somebody has read: a row each";
const ROOMS: &str = "grows with the rooms of the user";
const SERVERS: &str = "other servers in the room: when it is joined, or somebody looks for some";
const DESTINATION_ROOMS: &str = "rooms that another server is in: once when it is loaded";
const PASSED_OVER: &str = "a page in the order of an index: what was not accepted is passed over";

const OUTGOING_RECEIPTS: &str = "a page in the order of an index: receipts of other servers' users \
                                 since this server was given some are passed over";

/// Name and reason.
pub(crate) const WHOLE_READS: &[(&str, &str)] = &[
    ("agenda::list", "a row for each kind of thing that an object has to do"),
    ("agenda::remove_all", REMOVES_ALL),
    ("destination::device_lists::find_size", LISTS),
    ("destination::device_lists::list_oldest", LISTS),
    ("destination::device_lists::list_stale", PAGE),
    ("destination::devices::list_changed", ANY_PAGE),
    ("destination::edus::find", QUEUE),
    ("destination::edus::list_first", PAGE),
    ("destination::edus::list_first_sizes", PAGE),
    ("destination::edus::remove_older", QUEUE),
    ("destination::edus::remove_until", "what the server has taken"),
    ("destination::rooms::list", DESTINATION_ROOMS),
    ("global::accounts::exist", ONE_ROW),
    ("global::directory::LIST_AFTER", DIRECTORY),
    ("global::directory::LIST_BEFORE", DIRECTORY),
    ("global::directory::count", "MAX_COUNTED"),
    ("global::registration_tokens::insert_for_admin", BY_OPERATOR),
    ("global::registration_tokens::remove_for_admin", BY_OPERATOR),
    ("global::registration_tokens::reserve_first", ONE_ROW),
    ("global::signing_keys::insert", BY_OPERATOR),
    ("global::signing_keys::insert_first", BY_OPERATOR),
    ("global::signing_keys::list", BY_OPERATOR),
    ("local::src::store::last_scope", ONE_ROW),
    ("local::src::store::list_alarms", PAGE),
    ("migrations::find_table", "the tables of the schema"),
    ("room::device_changes::list", DEVICE_CHANGES),
    ("room::device_changes::list_outgoing", DEVICE_CHANGES),
    ("room::events::find_head", ONE_ROW),
    ("room::events::find_newest", PASSED_OVER),
    ("room::events::page", PASSED_OVER),
    ("room::expiry::find_next", EXPIRY),
    ("room::expiry::remove_page", EXPIRY),
    ("room::gaps::list", "grows with events that other servers name and that never come"),
    ("room::gaps::list_missing", "as `list`: when somebody reads up to a gap"),
    ("room::given::adopt", STAGED),
    ("room::given::insert", STAGED),
    ("room::given::insert_removed", STATE),
    ("room::given::list", STAGED),
    ("room::given::remove", STAGED),
    ("room::given::upsert_members", STAGED),
    ("room::graph::find_tip", "the chain of a fork, which has what differs: never chain 0"),
    (
        "room::graph::list_deltas",
        "what forks differ in; of chain 0 only where a state is compared with the empty one",
    ),
    ("room::graph::list_entries", STATE),
    ("room::members::count", MEMBERS),
    ("room::members::is_wanted", "when somebody forgets a room: up to the first of this server"),
    ("room::members::list", PAGE),
    ("room::members::list_joined_events", MEMBERS),
    ("room::members::list_joined_local", "index entries, up to so many of this server"),
    ("room::members::list_joined_local_behind", "all members, once: the room became encrypted"),
    ("room::members::list_joined_upto", ENCRYPTED_MEMBERS),
    ("room::members::list_undelivered", "all members: by an alarm, until all have heard"),
    ("room::meta::find", PENDING),
    ("room::meta::remove_beginnings", REMOVES_ALL),
    ("room::pending::count", PENDING),
    ("room::pending::find_excess", PENDING),
    ("room::pending::find_next", PENDING),
    ("room::pending::find_root", PENDING),
    ("room::pending::list_root_ids", PENDING),
    ("room::pending::list_servers", PENDING),
    ("room::pending::remove_all", PENDING),
    ("room::pending::remove_of", PENDING),
    ("room::outgoing::list", PASSED_OVER),
    ("room::outgoing::list_newest", PASSED_OVER),
    ("room::readers::insert_servers", SERVERS),
    ("room::readers::list", MEMBERS),
    ("room::receipts::list_after", PAGE),
    ("room::receipts::list_outgoing", OUTGOING_RECEIPTS),
    ("room::redactions::remove_excess", "WAITING_REDACTIONS"),
    ("room::removal::PAGES", ANY_PAGE),
    ("room::staged::find_ambiguous", STAGED),
    ("room::staged::find_attempt", ONE_ROW),
    ("room::servers::list", SERVERS),
    ("room::servers::list_all", SERVERS),
    ("room::servers::list_before", SERVERS),
    ("room::servers::recount", SERVERS),
    ("room::staged::list_links", PAGE),
    ("room::staged::remove_attempt", REMOVES_ALL),
    ("room::state::find_head", ONE_ROW),
    ("room::state::has_member", MEMBERSHIPS),
    ("room::state::list", STATE),
    ("room::state::list_changes", CHANGES),
    ("room::state::list_present", MEMBERSHIPS),
    ("room::state::list_present_after", MEMBERSHIPS),
    ("room::state::withdraw", "when an event is rejected late: a row for each fork there was"),
    ("room::steps::has_changes", PAGE),
    ("room::steps::list", STEPS),
    ("room::stored_us::find_newest", ONE_ROW),
    ("room::stored_us::find_position_before", ONE_ROW),
    ("room::timestamps::find_join", "all members, once: a server came to an encrypted room"),
    ("room::timestamps::list", PASSED_OVER),
    ("room::unread::list", "UNREAD_SCANNED_EVENTS"),
    ("room::unverified::begin", STAGED),
    ("room::unverified::count", UNVERIFIED),
    ("room::unverified::list", UNVERIFIED),
    ("room::unverified::list_keys", UNVERIFIED),
    ("room::unverified::list_known", UNVERIFIED),
    ("user::account_data::find_bytes", ACCOUNT_DATA),
    ("user::account_data::list_since", ACCOUNT_DATA),
    ("user::account_data::remove_all", REMOVES_ALL),
    ("user::backup_keys::find_set_after", ONE_ROW),
    ("user::backup_keys::list", PAGE),
    ("user::backups::list", BACKUPS),
    ("user::backups::remove_all", REMOVES_ALL),
    ("user::backups::remove_deleted", BACKUPS),
    ("user::cross_signing::count_signatures", SIGNATURES),
    ("user::cross_signing::find", "three keys"),
    ("user::cross_signing::list_signed_since", SIGNATURES),
    ("user::cross_signing::remove_all", REMOVES_ALL),
    ("user::cross_signing::remove_signatures", REMOVES_ALL),
    ("user::device_keys::find_newest", SIGNATURES),
    ("user::device_keys::list_published", DEVICES),
    ("user::device_keys::list_since", DEVICES),
    ("user::device_keys::remove_all", REMOVES_ALL),
    ("user::device_keys::remove_surplus", DEVICES),
    ("user::devices::list", DEVICES),
    ("user::devices::remove_all", REMOVES_ALL),
    ("user::filters::find_by_json", FILTERS),
    ("user::filters::list_sizes", FILTERS),
    ("user::filters::remove_all", REMOVES_ALL),
    ("user::filters::remove_until", FILTERS),
    ("user::meta::find_seq", ROOMS),
    ("user::openid_tokens::remove_all", REMOVES_ALL),
    ("user::openid_tokens::remove_surplus", "OPENID_TOKENS"),
    ("user::outbox::find_next_due_ms", ROOMS),
    ("user::outbox::list_due", ROOMS),
    ("user::outbox::remove_kind", ROOMS),
    ("user::outbox::upsert_all", ROOMS),
    ("user::outbox::upsert_joined", ROOMS),
    ("user::profile::list", "PROFILE_BYTES"),
    ("user::profile::remove_all", REMOVES_ALL),
    ("user::rooms::count_remote", ROOMS),
    ("user::rooms::list", ROOMS),
    ("user::rooms::list_by_membership", ROOMS),
    ("user::rooms::list_for_index", ROOMS),
    ("user::rooms::list_joined_latest", ROOMS),
    ("user::to_device::count_seen", SEEN),
    ("user::to_device::list_sizes", INBOXES),
    ("user::to_device::remove_all", REMOVES_ALL),
    ("user::to_device::remove_first_seen", SEEN),
    ("user::to_device::remove_seen", SEEN),
    ("user::tokens::list", DEVICES),
    ("user::tokens::remove_all", REMOVES_ALL),
];
