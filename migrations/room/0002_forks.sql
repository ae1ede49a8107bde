-- Rooms that other servers are in: forks, what of their events became of them, history that comes
-- later.

-- Numbers up to this one are taken, beyond those that stand in other tables. More than zero: the
-- room has had more than one forward extremity.
ALTER TABLE room_meta ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
-- The forward extremities, a JSON array of numbers; NULL: the newest event that clients see.
ALTER TABLE room_meta ADD COLUMN extremities TEXT;

-- Every event the room knows. Its number is given in the order of storing, so that the events
-- that authorize an event have smaller ones; numbers are shared with receipts and typing.
CREATE TABLE new_room_events (
    scope INTEGER NOT NULL,
    num INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    -- The signed PDU. Redacted in place: what a redaction removes is gone.
    json TEXT NOT NULL,
    -- 0: accepted, 1: soft-failed, 2: rejected.
    verdict INTEGER NOT NULL DEFAULT 0,
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
    -- Of a redacted event: what authorization reads of the content it had.
    auth_content TEXT,
    -- The number of the event whose place in the state this one took.
    replaces INTEGER,
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
    PRIMARY KEY (scope, num)
) STRICT, WITHOUT ROWID;

INSERT INTO new_room_events (scope, num, event_id, type, state_key, sender, json, state_chain, state_group,
    after_chain, after_group, replaces, redacted_by, notifies, mentions, thread, sent_by)
SELECT scope, position, event_id, type, state_key, sender, json, state_chain, state_group,
    iif(state_key IS NULL, NULL, 0), iif(state_key IS NULL, NULL, position), replaces,
    redacted_by, notifies, mentions, thread, sent_by FROM room_events;
DROP TABLE room_events;
ALTER TABLE new_room_events RENAME TO room_events;

CREATE UNIQUE INDEX room_events_by_id ON room_events (scope, event_id);
CREATE INDEX room_events_moved ON room_events (scope, moved_to) WHERE moved_to IS NOT NULL;

UPDATE room_events SET auth_events = (SELECT json_group_array(e.num)
    FROM json_each(room_events.json, '$.auth_events') a
    CROSS JOIN room_events e ON e.scope = room_events.scope AND e.event_id = a.value)
WHERE state_key IS NOT NULL;

-- Which state events name which among their auth events: the way from an event to those that
-- build on it.
CREATE TABLE room_auth_edges (
    scope INTEGER NOT NULL,
    cited INTEGER NOT NULL,
    citer INTEGER NOT NULL,
    PRIMARY KEY (scope, cited, citer)
) STRICT, WITHOUT ROWID;

INSERT INTO room_auth_edges (scope, cited, citer)
SELECT e.scope, a.value, e.num FROM room_events e, json_each(e.auth_events) a
WHERE e.auth_events IS NOT NULL;

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
    json TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
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
    json TEXT NOT NULL,
    -- Whether it is part of the state, or else only of its auth chain.
    is_state INTEGER NOT NULL,
    PRIMARY KEY (scope, seq)
) STRICT, WITHOUT ROWID;

-- Redactions that came before what they redact.
CREATE TABLE room_redactions (
    scope INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    redaction INTEGER NOT NULL,
    PRIMARY KEY (scope, event_id, redaction)
) STRICT, WITHOUT ROWID;

CREATE TABLE new_room_state_deltas (
    scope INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    state_group INTEGER NOT NULL,
    -- The number of the event that the key has from this group on; NULL: none.
    event INTEGER,
    PRIMARY KEY (scope, chain, type, state_key, state_group)
) STRICT, WITHOUT ROWID;

INSERT INTO new_room_state_deltas (scope, chain, type, state_key, state_group, event)
SELECT scope, chain, type, state_key, state_group, position FROM room_state_deltas;
DROP TABLE room_state_deltas;
ALTER TABLE new_room_state_deltas RENAME TO room_state_deltas;

-- How the room's current state changed along its stream: what /sync reads. The deltas of chain 0
-- again, by position; `event` and `previous` are numbers of events.
CREATE TABLE new_room_state_log (
    scope INTEGER NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    event INTEGER,
    previous INTEGER,
    PRIMARY KEY (scope, position, type, state_key)
) STRICT, WITHOUT ROWID;

INSERT INTO new_room_state_log (scope, position, type, state_key, event, previous)
SELECT scope, position, type, state_key, event, previous FROM room_state_log;
DROP TABLE room_state_log;
ALTER TABLE new_room_state_log RENAME TO room_state_log;

-- Memberships of the current state.
CREATE TABLE new_room_members (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    -- Since when in the room's stream.
    position INTEGER NOT NULL,
    -- The number of the membership event; NULL: a fork took it away.
    event INTEGER,
    -- The user, when local, has been told of the membership at this position.
    told INTEGER NOT NULL,
    -- The user wants to see nothing more of the room; until their membership changes.
    forgotten INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

INSERT INTO new_room_members (scope, user_id, membership, position, event, told, forgotten)
SELECT scope, user_id, membership, position, position, told, forgotten FROM room_members;
DROP TABLE room_members;
ALTER TABLE new_room_members RENAME TO room_members;

CREATE INDEX room_members_by_membership ON room_members (scope, membership, position);
