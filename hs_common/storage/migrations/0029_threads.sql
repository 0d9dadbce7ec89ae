-- The newest replies in a room's threads, whichever thread they are in: its newest threads are theirs.
CREATE INDEX timeline_threaded ON timeline (room_id, order_pos, order_sub) WHERE thread_root IS NOT NULL;
