-- One row: the push rules that the user has changed or added.
CREATE TABLE user_push_rules (
    scope INTEGER PRIMARY KEY,
    -- What differs from the server-default rules, JSON.
    rules TEXT NOT NULL,
    -- The version of the server-default rules that clients were told of.
    server_default INTEGER NOT NULL,
    -- When in the stream any of it changed.
    seq INTEGER NOT NULL
) STRICT;
