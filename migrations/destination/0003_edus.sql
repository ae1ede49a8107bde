-- What is no event and must not get lost, until the server has it: in the order in which it is sent.
CREATE TABLE destination_edus (
    scope INTEGER NOT NULL,
    number INTEGER NOT NULL,
    queued_ms INTEGER NOT NULL,
    -- The bytes of the EDU.
    bytes INTEGER NOT NULL,
    -- JSON.
    edu TEXT NOT NULL,
    PRIMARY KEY (scope, number)
) STRICT, WITHOUT ROWID;
