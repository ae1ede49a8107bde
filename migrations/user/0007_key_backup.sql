-- Backups of room keys. One that was deleted keeps its row, so that its version is never another's.
CREATE TABLE user_backups (
    scope INTEGER NOT NULL,
    version INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    -- JSON.
    auth_data TEXT NOT NULL,
    -- Which set of keys is its own. When all are removed it gets a set that has none.
    key_set INTEGER NOT NULL,
    -- Of the keys: how many, and how many bytes.
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- Grows with every change of the keys.
    etag INTEGER NOT NULL,
    PRIMARY KEY (scope, version)
) STRICT, WITHOUT ROWID;

-- Keys of sessions. Those of a set that no backup has are removed by the page.
CREATE TABLE user_backup_keys (
    scope INTEGER NOT NULL,
    key_set INTEGER NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    is_verified INTEGER NOT NULL,
    first_message_index INTEGER NOT NULL,
    forwarded_count INTEGER NOT NULL,
    -- JSON.
    session_data TEXT NOT NULL,
    PRIMARY KEY (scope, key_set, room_id, session_id)
) STRICT, WITHOUT ROWID;
