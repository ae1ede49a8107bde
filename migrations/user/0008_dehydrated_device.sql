-- One row: the dehydrated device. It stands in `user_devices` too, and has keys and messages as any device,
-- and no tokens: a device is there as long as tokens of it are, or as long as it is named here.
CREATE TABLE user_dehydrated_device (
    scope INTEGER PRIMARY KEY,
    device_id TEXT NOT NULL,
    -- What its client needs to take it up again. JSON.
    data TEXT NOT NULL
) STRICT;
