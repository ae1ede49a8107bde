-- What the server was told of the devices and cross-signing keys of this server's users: the newest
-- change of each.
CREATE TABLE destination_devices (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    devices INTEGER NOT NULL,
    signing INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;

-- Users of the server whose devices have changed, as long as not all rooms were told.
CREATE TABLE destination_changed_users (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    -- Which change: a later one takes the place of an earlier one.
    change INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id)
) STRICT, WITHOUT ROWID;
