-- The user's own status, as JSON: written when another one is told.
CREATE TABLE user_presence (
    scope INTEGER PRIMARY KEY,
    status TEXT NOT NULL
) STRICT;
