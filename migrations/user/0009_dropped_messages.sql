-- One row: messages to devices of the user that went because too many waited, in all.
CREATE TABLE user_dropped_messages (
    scope INTEGER PRIMARY KEY,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
