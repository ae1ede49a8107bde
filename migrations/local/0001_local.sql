-- What the native host itself keeps: where the objects' rows are, and when to wake them.

-- `scope` is the value of the column of that name in all tables of the object. An object that
-- never wrote anything is not here: who only asks about it must not make the store grow.
CREATE TABLE objects (
    scope INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (kind, name)
) STRICT;

CREATE TABLE alarms (
    scope INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX alarms_by_time ON alarms (at_ms);
