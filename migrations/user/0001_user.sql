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
    -- The highest position of the room that the stream has heard of, and when.
    known_position INTEGER NOT NULL,
    known_seq INTEGER NOT NULL,
    -- The furthest that any client has read since the user joined; NULL: nothing.
    read_position INTEGER,
    forgotten INTEGER NOT NULL,
    -- When anything of this row or of the room's account data changed last.
    last_seq INTEGER NOT NULL,
    -- How far the room was read, and when: a JSON array of [seq, position], "whoever has seen the
    -- stream at seq has read the room up to position".
    marks TEXT NOT NULL,
    -- What an invitation or a knock shows of the room, a JSON array.
    stripped_state TEXT,
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

-- One row: the account. As long as there is none, nobody has registered the name. A deactivated
-- account keeps its row, so that nobody else can ever have its ID.
CREATE TABLE user_account (
    scope INTEGER PRIMARY KEY,
    -- argon2id in PHC form; NULL: no password logs in.
    password_hash TEXT,
    is_admin INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    deactivated_at_ms INTEGER,
    -- The registration token of which the account is a use, by its hash, if it is one.
    registration_token TEXT
) STRICT;

-- Access tokens by their SHA-256, each with the refresh token that was given together with it.
CREATE TABLE user_tokens (
    scope INTEGER NOT NULL,
    access_hash TEXT NOT NULL,
    refresh_hash TEXT,
    device_id TEXT NOT NULL,
    -- When the access token expires; NULL: never.
    expires_at_ms INTEGER,
    -- 1: made by a refresh and not used yet, so what it replaces is still valid.
    is_unconfirmed INTEGER NOT NULL,
    PRIMARY KEY (scope, access_hash)
) STRICT, WITHOUT ROWID;

-- A device is here as long as tokens of it are; a dehydrated one, until it is replaced or removed.
CREATE TABLE user_devices (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    last_seen_ms INTEGER,
    last_seen_ip TEXT,
    PRIMARY KEY (scope, device_id)
) STRICT, WITHOUT ROWID;

-- The profile, a row a field; the value is JSON.
CREATE TABLE user_profile (
    scope INTEGER NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_filters (
    scope INTEGER NOT NULL,
    filter_id INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, filter_id)
) STRICT, WITHOUT ROWID;

-- What must still be done elsewhere for what was committed here. A row is removed when it has been
-- done; rows of a kind that the program does not know stay.
CREATE TABLE user_outbox (
    scope INTEGER NOT NULL,
    kind TEXT NOT NULL,
    -- The room it is about; empty: none.
    about TEXT NOT NULL,
    -- What the kind needs to know besides, JSON.
    command TEXT NOT NULL,
    -- When in the stream it was written: a later entry replaces an earlier one, also while that
    -- is under way.
    seq INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    -- Not to be tried before.
    due_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, kind, about)
) STRICT, WITHOUT ROWID;
