-- The keys of devices, as they are given to others.
CREATE TABLE user_device_keys (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    -- NULL: the device is gone, of which others may still have to be told.
    json TEXT,
    -- When in the stream they changed.
    seq INTEGER NOT NULL,
    PRIMARY KEY (scope, device_id)
) STRICT, WITHOUT ROWID;

-- One-time keys. One that was claimed stays for a while, so that it does not come again.
CREATE TABLE user_one_time_keys (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- The order in which they were uploaded, or claimed.
    number INTEGER NOT NULL,
    is_claimed INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, device_id, algorithm, key_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_one_time_keys_by_number
    ON user_one_time_keys (scope, device_id, is_claimed, algorithm, number);

CREATE TABLE user_fallback_keys (
    scope INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    is_used INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (scope, device_id, algorithm)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_cross_signing_keys (
    scope INTEGER NOT NULL,
    usage TEXT NOT NULL,
    json TEXT NOT NULL,
    -- When in the stream it changed.
    seq INTEGER NOT NULL,
    PRIMARY KEY (scope, usage)
) STRICT, WITHOUT ROWID;

-- Signatures of this user on other users' master keys: nobody else sees them.
CREATE TABLE user_key_signatures (
    scope INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    -- The public key that is signed.
    key TEXT NOT NULL,
    signer TEXT NOT NULL,
    signature TEXT NOT NULL,
    -- When in the stream it came.
    seq INTEGER NOT NULL,
    PRIMARY KEY (scope, user_id, key, signer)
) STRICT, WITHOUT ROWID;
