-- The private store of a Room object. `scope` tells objects apart where they share a database.
-- Long texts stand last in their rows: what is read of many rows is found without reading those.

-- One row: what cannot be derived from the events.
CREATE TABLE room_meta (
    scope INTEGER PRIMARY KEY,
    version TEXT NOT NULL,
    -- Numbers up to this one are taken, beyond those that stand in other tables. More than zero:
    -- the room is not linear.
    taken INTEGER NOT NULL,
    -- The forward extremities, a JSON array of numbers; NULL: the newest event that clients see.
    extremities TEXT,
    -- 1: the room directory shows the room.
    listed INTEGER NOT NULL,
    -- The alias that was reserved for the room when it was created.
    alias TEXT
) STRICT;

-- Every event the room knows. Its number is given in the order of storing, so that the events
-- that authorize an event have smaller ones; numbers are shared with receipts.
CREATE TABLE room_events (
    scope INTEGER NOT NULL,
    num INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    -- When it was stored, in microseconds since the Unix epoch: never less than what the number
    -- before has, so that it is found by halving where the room was at a time.
    stored_us INTEGER NOT NULL,
    -- 0: accepted, 1: soft-failed, 2: rejected.
    verdict INTEGER NOT NULL,
    -- Its position in the room's stream, where that is not its number: history that came later
    -- stands before what clients have seen.
    moved_to INTEGER,
    -- The state before the event. NULL: an outlier, known only because others name it.
    state_chain INTEGER,
    state_group INTEGER,
    -- The state after it, where it differs.
    after_chain INTEGER,
    after_group INTEGER,
    -- The numbers of the events that authorize it, a JSON array; of state events that were not
    -- rejected.
    auth_events TEXT,
    -- The number of the event whose place in the state this one took.
    replaces INTEGER,
    -- 1: it came here to be handed on to the other servers in the room.
    handed_on INTEGER NOT NULL DEFAULT 0,
    -- The number of the event that redacted this one.
    redacted_by INTEGER,
    -- Whether the default push rules notify of this event; 2: highlight for the whole room.
    notifies INTEGER NOT NULL,
    -- Users this event highlights for, a JSON array.
    mentions TEXT,
    -- The thread root's event ID.
    thread TEXT,
    -- The transaction that made this event: device and transaction ID, as JSON.
    sent_by TEXT,
    -- Of a redacted event: what authorization reads of the content it had.
    auth_content TEXT,
    -- The signed PDU. Redacted in place: what a redaction removes is gone.
    json TEXT NOT NULL,
    PRIMARY KEY (scope, num)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX room_events_by_id ON room_events (scope, event_id);

CREATE INDEX room_events_moved ON room_events (scope, moved_to) WHERE moved_to IS NOT NULL;

-- A transaction of a device and the event it made. A transaction ID is unique within its endpoint
-- (`send` or `redact`) and what stands before it in the path: the event's type, or the event that
-- is redacted. Each part is a column of its own, since any of them may have any character.
CREATE TABLE room_transactions (
    scope INTEGER NOT NULL,
    sender TEXT NOT NULL,
    device_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    subject TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, sender, device_id, endpoint, subject, transaction_id)
) STRICT, WITHOUT ROWID;

-- Which state events name which among their auth events: the way from an event to those that
-- build on it.
CREATE TABLE room_auth_edges (
    scope INTEGER NOT NULL,
    cited INTEGER NOT NULL,
    citer INTEGER NOT NULL,
    PRIMARY KEY (scope, cited, citer)
) STRICT, WITHOUT ROWID;

-- State groups form chains: within a chain each group adds its deltas to the one before. A fork
-- begins a new chain that hangs on a group of its parent.
CREATE TABLE room_state_chains (
    scope INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    parent_chain INTEGER,
    parent_group INTEGER,
    PRIMARY KEY (scope, chain)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_state_deltas (
    scope INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    state_group INTEGER NOT NULL,
    -- The number of the event that the key has from this group on; NULL: none.
    event INTEGER,
    PRIMARY KEY (scope, chain, type, state_key, state_group)
) STRICT, WITHOUT ROWID;

-- How the room's current state changed along its stream: what /sync reads. The deltas of chain 0
-- again, by position; `event` and `previous` are numbers of events.
CREATE TABLE room_state_log (
    scope INTEGER NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    event INTEGER,
    previous INTEGER,
    PRIMARY KEY (scope, position, type, state_key)
) STRICT, WITHOUT ROWID;

-- Memberships of the current state.
CREATE TABLE room_members (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    -- Since when in the room's stream.
    position INTEGER NOT NULL,
    -- The number of the membership event; NULL: a fork took it away.
    event INTEGER,
    -- The membership at this position has been delivered to the user, when local.
    delivered INTEGER NOT NULL,
    -- The user wants to see nothing more of the room; until their membership changes.
    forgotten INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_members_by_membership ON room_members (scope, membership, position);

-- Other servers of which users are joined, or were.
CREATE TABLE room_servers (
    scope INTEGER NOT NULL,
    server TEXT NOT NULL,
    -- How many users are joined.
    joined INTEGER NOT NULL,
    -- Where the first of them joined.
    since INTEGER NOT NULL,
    -- Where the last of them left; NULL: some are joined.
    until INTEGER,
    PRIMARY KEY (scope, server)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_receipts (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    -- 'm.read' or 'm.read.private'
    kind TEXT NOT NULL,
    -- '' unthreaded, 'main', or the thread root's event ID
    thread TEXT NOT NULL,
    event_id TEXT NOT NULL,
    -- Where the event is.
    event_position INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    -- When it was set, in the room's stream.
    position INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id, kind, thread)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_receipts_by_position ON room_receipts (scope, position);

-- Members who may have read everything, and are to hear of the next event. Each is written before
-- the answer of a read goes out, and removed when it has turned out to be needless.
CREATE TABLE room_readers (
    scope INTEGER NOT NULL,
    reader TEXT NOT NULL,
    PRIMARY KEY (scope, reader)
) STRICT, WITHOUT ROWID;

-- Events that were named as coming before an accepted one and whose state is not known: where
-- the history that the room has breaks off.
CREATE TABLE room_missing (
    scope INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    wanted_by INTEGER NOT NULL,
    -- The gap it stands in: the position of the first event after the gap.
    gap INTEGER NOT NULL,
    PRIMARY KEY (scope, event_id, wanted_by)
) STRICT, WITHOUT ROWID;

-- Positions left free for history that may come: from `after` up to below `next`.
CREATE TABLE room_gaps (
    scope INTEGER NOT NULL,
    gap INTEGER NOT NULL,
    after INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (scope, gap)
) STRICT, WITHOUT ROWID;

-- Verified events that wait for events they name; a bounded number.
CREATE TABLE room_pending (
    scope INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    -- Whose events wait: a flood of one server pushes out its own.
    server TEXT NOT NULL,
    -- The IDs of the events that it waits for, a JSON array: its rows in `room_awaited`.
    awaited TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_awaited (
    scope INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    awaited_by TEXT NOT NULL,
    PRIMARY KEY (scope, event_id, awaited_by)
) STRICT, WITHOUT ROWID;

-- Events of a join that have been verified and not yet authorized.
CREATE TABLE room_staged (
    scope INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    -- Whether it is part of the state, or else only of its auth chain.
    is_state INTEGER NOT NULL,
    -- The IDs of the events that authorize it, a JSON array.
    auth_events TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, seq)
) STRICT, WITHOUT ROWID;

-- The attempt to join that events are staged for.
CREATE TABLE room_join_attempt (
    scope INTEGER PRIMARY KEY,
    attempt TEXT NOT NULL,
    version TEXT NOT NULL,
    -- When the last of them came.
    staged_ms INTEGER NOT NULL
) STRICT;

-- Redactions that came before what they redact.
CREATE TABLE room_redactions (
    scope INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    redaction INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, event_id, redaction)
) STRICT, WITHOUT ROWID;
