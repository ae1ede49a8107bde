-- The global store: what must be found without knowing an object's name. D1 at the edge, the same
-- tables in the native database. No blobs: D1 makes arrays of numbers of them.

-- A deactivated account keeps its row, so that nobody else can ever have its ID.
CREATE TABLE accounts (
    user_id TEXT NOT NULL PRIMARY KEY,
    -- argon2id in PHC form; NULL: no password logs in.
    password_hash TEXT,
    is_admin INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    deactivated_at_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Access tokens by their SHA-256. On the path of every request: one read by primary key.
CREATE TABLE access_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    -- NULL: it does not expire.
    expires_at_ms INTEGER,
    -- The refresh token that was given together with it.
    refresh_hash TEXT,
    -- 1: made by a refresh and not used yet, so what it replaces is still valid.
    unconfirmed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX access_tokens_by_device ON access_tokens (user_id, device_id);

-- Refresh tokens by their SHA-256.
CREATE TABLE refresh_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_device ON refresh_tokens (user_id, device_id);

-- Profiles, a row a field; the value is JSON.
CREATE TABLE profiles (
    user_id TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (user_id, field)
) STRICT, WITHOUT ROWID;

-- Tokens that allow to register, by their SHA-256.
CREATE TABLE registration_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    -- NULL: any number.
    uses_allowed INTEGER,
    uses INTEGER NOT NULL,
    -- 1: made at the first start, for the account of who runs the server.
    makes_admin INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The keys that sign this server's events. The newest one is in use.
CREATE TABLE signing_keys (
    version TEXT NOT NULL PRIMARY KEY,
    -- Unpadded base64 of the ed25519 seed.
    seed TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- This server's room aliases.
CREATE TABLE aliases (
    alias TEXT NOT NULL PRIMARY KEY,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL,
    -- Until when it is reserved for a room that is being created; NULL: it leads to the room.
    pending_until_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX aliases_by_room ON aliases (room_id, alias);

-- The rooms that the directory shows, and what it shows of them. Each room keeps its own entry.
CREATE TABLE room_directory (
    room_id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    topic TEXT,
    avatar_url TEXT,
    canonical_alias TEXT,
    joined_members INTEGER NOT NULL,
    join_rule TEXT NOT NULL,
    world_readable INTEGER NOT NULL,
    guest_can_join INTEGER NOT NULL,
    room_type TEXT,
    -- Name, topic and alias in lower case, to be searched.
    search TEXT NOT NULL,
    -- The room's position this was true at: older news do not overwrite newer.
    updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX room_directory_by_size ON room_directory (joined_members DESC, room_id);
