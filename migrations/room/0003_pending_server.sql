-- Whose events wait: a flood of one server pushes out its own.
ALTER TABLE room_pending ADD COLUMN server TEXT NOT NULL DEFAULT '';
