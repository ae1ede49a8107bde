-- Where in the stream of an encrypted room the devices of a member changed last. A row is never
-- removed: it has taken its position.
CREATE TABLE room_device_changes (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_device_changes_by_position ON room_device_changes (scope, position);
