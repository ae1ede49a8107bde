-- The private store of a User object. `scope` tells objects apart where they share a database.

-- One row: how far the user's stream had got when it changed without another row that says so.
CREATE TABLE user_meta (
    scope INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

-- The rooms the user has or had to do with.
CREATE TABLE user_rooms (
    scope INTEGER NOT NULL,
    room_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    -- Where in the room the membership was set: what was told before is not taken in again.
    membership_position INTEGER NOT NULL,
    -- When in the stream the membership became what it is.
    membership_seq INTEGER NOT NULL,
    -- Who set it.
    sender TEXT NOT NULL,
    -- What an invitation or a knock shows of the room, a JSON array.
    stripped_state TEXT,
    -- The highest position of the room that the stream has heard of, and when.
    known_position INTEGER NOT NULL,
    known_seq INTEGER NOT NULL,
    -- The furthest that any client has read since the user joined; NULL: nothing.
    read_position INTEGER,
    -- How far the room was read, and when: a JSON array of [seq, position], "whoever has seen the
    -- stream at seq has read the room up to position".
    marks TEXT NOT NULL,
    forgotten INTEGER NOT NULL,
    -- When anything of this row or of the room's account data changed last.
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (scope, room_id)
) STRICT, WITHOUT ROWID;

-- Account data; `room_id` is empty for what belongs to no room. Tags are the type `m.tag`.
CREATE TABLE user_account_data (
    scope INTEGER NOT NULL,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    content TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (scope, room_id, type)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_account_data_by_seq ON user_account_data (scope, seq);

CREATE TABLE user_devices (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    last_seen_ms INTEGER,
    last_seen_ip TEXT,
    PRIMARY KEY (scope, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_filters (
    scope INTEGER NOT NULL,
    filter_id INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, filter_id)
) STRICT, WITHOUT ROWID;

-- What rooms are still to be asked. A row is removed when its room has answered.
CREATE TABLE user_outbox (
    scope INTEGER NOT NULL,
    room_id TEXT NOT NULL,
    -- The command, as JSON.
    command TEXT NOT NULL,
    -- When it was written: a later command replaces an earlier one, also while that is under way.
    seq INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (scope, room_id)
) STRICT, WITHOUT ROWID;
