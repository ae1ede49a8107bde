-- The global store: what must be found without knowing an object's name. D1 at the edge, the same
-- tables in the native database. No blobs: D1 makes arrays of numbers of them.

-- The accounts, for administrators: a list that the users' objects bring here when something
-- changes. Nothing is decided by it.
CREATE TABLE accounts (
    user_id TEXT NOT NULL PRIMARY KEY,
    is_admin INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    deactivated_at_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Tokens with which accounts may be registered, by their SHA-256.
CREATE TABLE registration_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    -- NULL: any number.
    uses_allowed INTEGER,
    -- 1: made at the first start, for the account of who runs the server.
    makes_admin INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who uses the registration tokens that have a limit, and the operator's token where it makes the
-- first account. A use is reserved before the account is registered; where no account came to be,
-- the use becomes free again.
CREATE TABLE registration_token_uses (
    token_hash TEXT NOT NULL,
    user_id TEXT NOT NULL,
    makes_admin INTEGER NOT NULL,
    reserved_at_ms INTEGER NOT NULL,
    -- 1: the account is there.
    is_spent INTEGER NOT NULL,
    PRIMARY KEY (token_hash, user_id)
) STRICT, WITHOUT ROWID;

-- There is one first account.
CREATE UNIQUE INDEX registration_token_uses_admin ON registration_token_uses (makes_admin)
    WHERE makes_admin = 1;

-- The keys that sign this server's events. The newest one is in use.
CREATE TABLE signing_keys (
    version TEXT NOT NULL PRIMARY KEY,
    -- Unpadded base64 of the ed25519 seed.
    seed TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The keys of other servers, current and old ones.
CREATE TABLE server_keys (
    server_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- Unpadded base64.
    public_key TEXT NOT NULL,
    -- Until when what is signed with it is believed.
    valid_until_ms INTEGER NOT NULL,
    -- Since when it is not in use; NULL: it is a current key.
    expired_ms INTEGER,
    PRIMARY KEY (server_name, key_id)
) STRICT, WITHOUT ROWID;

-- What each of these servers has answered last when it was asked for its keys, as it has signed it:
-- for whoever asks this server as a notary.
CREATE TABLE server_key_answers (
    server_name TEXT NOT NULL PRIMARY KEY,
    json TEXT NOT NULL,
    valid_until_ms INTEGER NOT NULL
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
