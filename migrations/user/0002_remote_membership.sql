-- What is known of an invitation, a knock or their end that no room has told, because the room is
-- not here: JSON. NULL: the room has told the membership.
ALTER TABLE user_rooms ADD COLUMN remote TEXT;
