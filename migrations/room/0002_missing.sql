-- How often the servers in the room were asked for what an event waits for, and when they are asked
-- again (milliseconds since the Unix epoch).
ALTER TABLE room_pending ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE room_pending ADD COLUMN next_ms INTEGER NOT NULL DEFAULT 0;
