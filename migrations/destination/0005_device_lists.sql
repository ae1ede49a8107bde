-- Users of the server whose device lists are kept.
CREATE TABLE destination_tracked_users (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    -- An encrypted room that they share with a user of this server: therefore the server tells of
    -- their devices.
    room_id TEXT NOT NULL,
    -- IDs of updates that the list has, a JSON array.
    known TEXT NOT NULL,
    -- Since when the list is to be fetched again; NULL: it is what the server has said last.
    stale_ms INTEGER,
    fetched_ms INTEGER NOT NULL,
    -- The bytes of the list.
    bytes INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX destination_tracked_users_by_room ON destination_tracked_users (scope, room_id);

CREATE INDEX destination_tracked_users_stale ON destination_tracked_users (scope, stale_ms, user_id)
    WHERE stale_ms IS NOT NULL;

-- Their lists, JSON: apart, since much is asked about those users without them.
CREATE TABLE destination_device_lists (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    list TEXT NOT NULL,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;
