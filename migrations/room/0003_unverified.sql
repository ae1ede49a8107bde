-- Events of the state that a join was answered with, and of its auth chain, that could not be
-- verified, because the keys that signed them were not to be had; and those that such events
-- authorize.
CREATE TABLE room_unverified (
    scope INTEGER NOT NULL,
    -- The group of the first chain that is the state before the join; 0: the join has not come to
    -- its end.
    state_group INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    -- Whether it is part of the state, or else only of its auth chain.
    is_state INTEGER NOT NULL,
    -- When it came, in milliseconds since the Unix epoch.
    received_ms INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, state_group, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_unverified_by_key ON room_unverified (scope, type, state_key, is_state);
