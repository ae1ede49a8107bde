-- What every object has, whatever its kind. `scope` tells objects apart where they share a database.

-- What is to be done at a later time: one row a kind of thing.
CREATE TABLE agenda (
    scope INTEGER NOT NULL,
    due TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, due)
) STRICT, WITHOUT ROWID;
