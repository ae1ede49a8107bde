-- When something happened in the room, as far as the user knows: an instant, by which lists are in
-- order. Zero: it is not known.
ALTER TABLE user_rooms ADD COLUMN active_us INTEGER NOT NULL DEFAULT 0;
-- The type of the room; NULL: it has none, or `is_encrypted` is NULL.
ALTER TABLE user_rooms ADD COLUMN room_type TEXT;
-- Whether it is encrypted, as far as the user knows; NULL: neither this nor the type is known.
ALTER TABLE user_rooms ADD COLUMN is_encrypted INTEGER;

-- Connections of sliding sync: what the client of a device has been given on each.
CREATE TABLE user_connections (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    conn_id TEXT NOT NULL,
    -- When it was given something last: an instant. The oldest goes when there are too many.
    used_us INTEGER NOT NULL,
    -- JSON.
    state TEXT NOT NULL,
    PRIMARY KEY (scope, device_id, conn_id)
) STRICT, WITHOUT ROWID;
