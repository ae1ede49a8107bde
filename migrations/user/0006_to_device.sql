-- Messages to devices of the user that no client has said to have: from when they came until then, or
-- until the device goes.
CREATE TABLE user_to_device (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    -- When in the stream it came.
    seq INTEGER NOT NULL,
    -- The bytes of the event.
    bytes INTEGER NOT NULL,
    -- JSON, as clients get it.
    event TEXT NOT NULL,
    PRIMARY KEY (scope, device_id, seq)
) STRICT, WITHOUT ROWID;

-- Messages that have come, by a hash of their sender and ID: who repeats one does not send it twice.
CREATE TABLE user_to_device_seen (
    scope INTEGER NOT NULL,
    key TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
