-- Rooms that operators delete, or keep this server's users out of.

-- Written by the master.
CREATE TABLE room_deletions (
    delete_id text PRIMARY KEY,
    room_id text NOT NULL,
    status text NOT NULL,                             -- shutting_down, purging, complete
    told text NOT NULL,                               -- JSON: who was put out, and the aliases
    started_ts bigint NOT NULL
);
CREATE INDEX room_deletions_room ON room_deletions (room_id);

-- Written by the workers that operators ask.
CREATE TABLE blocked_rooms (
    room_id text PRIMARY KEY,
    user_id text NOT NULL,                            -- who blocked it
    blocked_ts bigint NOT NULL
);

-- Events of no timeline, so that those of one room are found when it is deleted.
CREATE INDEX events_of_no_timeline ON events (room_id) WHERE status <> 0;
