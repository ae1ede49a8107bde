-- The private store of a Destination object: another server. `scope` tells objects apart where they
-- share a database.

-- What the server has been given of each room, and whether something waits there for it.
CREATE TABLE destination_rooms (
    scope INTEGER NOT NULL,
    room_id TEXT NOT NULL,
    -- Up to this position of the room's stream it has acknowledged everything; NULL: from where on it
    -- is to be given events is for the room to say.
    sent INTEGER,
    -- Something waits up to this position; nothing, where it is not more than `sent`.
    waiting INTEGER NOT NULL,
    PRIMARY KEY (scope, room_id)
) STRICT, WITHOUT ROWID;

-- One row, as long as the server does not answer.
CREATE TABLE destination_failures (
    scope INTEGER PRIMARY KEY,
    -- In a row.
    failures INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    -- Before this time it is not asked again.
    next_ms INTEGER NOT NULL
) STRICT;
