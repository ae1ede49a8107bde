-- The private store of a Room object. `scope` tells objects apart where they share a database.

-- One row: what cannot be derived from the events.
CREATE TABLE room_meta (
    scope INTEGER PRIMARY KEY,
    room_id TEXT NOT NULL,
    version TEXT NOT NULL,
    -- Every local member has been told of activity up to this position.
    notified INTEGER NOT NULL
) STRICT;

-- Every event, in order of arrival; `position` is the room's stream, shared with receipts and
-- typing. `state_chain` and `state_group` name the state before the event.
CREATE TABLE room_events (
    scope INTEGER NOT NULL,
    position INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    -- The signed PDU. Redacted in place: what a redaction removes is gone.
    json TEXT NOT NULL,
    state_chain INTEGER NOT NULL,
    state_group INTEGER NOT NULL,
    -- The position of the event whose place in the state this one took.
    replaces INTEGER,
    -- The position of the event that redacted this one.
    redacted_by INTEGER,
    -- Whether the default push rules notify of this event; 2: highlight for the whole room.
    notifies INTEGER NOT NULL,
    -- Users this event highlights for, a JSON array.
    mentions TEXT,
    -- The thread root's event ID.
    thread TEXT,
    -- The transaction that made this event: device and transaction ID, as JSON.
    sent_by TEXT,
    PRIMARY KEY (scope, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX room_events_by_id ON room_events (scope, event_id);

-- A transaction of a device and the event it made. `path` is the part of the request's path that
-- a transaction ID is unique within, and the ID.
CREATE TABLE room_transactions (
    scope INTEGER NOT NULL,
    sender TEXT NOT NULL,
    device_id TEXT NOT NULL,
    path TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (scope, sender, device_id, path)
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
    -- The event that the key has from this group on.
    position INTEGER NOT NULL,
    PRIMARY KEY (scope, chain, type, state_key, state_group)
) STRICT, WITHOUT ROWID;

-- How the room's current state changed along its stream: what /sync reads.
CREATE TABLE room_state_log (
    scope INTEGER NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    event INTEGER NOT NULL,
    previous INTEGER,
    PRIMARY KEY (scope, position, type, state_key)
) STRICT, WITHOUT ROWID;

-- Memberships of the current state.
CREATE TABLE room_members (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    -- The membership event.
    position INTEGER NOT NULL,
    -- The user, when local, has been told of the membership at this position.
    told INTEGER NOT NULL,
    -- The user wants to see nothing more of the room; until their membership changes.
    forgotten INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_members_by_membership ON room_members (scope, membership, position);

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

CREATE TABLE room_typing (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

-- When the set of typing users last changed, in the room's stream.
CREATE TABLE room_typing_changes (
    scope INTEGER PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
