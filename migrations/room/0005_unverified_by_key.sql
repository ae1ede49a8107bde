-- No question is asked by it any more: what is not verified is looked up in memory.
DROP INDEX room_unverified_by_key;
