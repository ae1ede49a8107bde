-- What the server has sent that was not taken, in all: one row.
CREATE TABLE destination_faults (
    scope INTEGER PRIMARY KEY,
    dropped INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    soft_failed INTEGER NOT NULL
) STRICT;
