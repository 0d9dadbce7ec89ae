-- What users told the operators of rooms, events and users. Written by the workers that take it, read by operators.

CREATE TABLE reports (
    report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_ts bigint NOT NULL,
    reporter text NOT NULL,
    room_id text,                                     -- NULL: a user was reported
    event_id text,                                    -- NULL: the room or the user
    user_id text,                                     -- the sender of the event, or the user
    reason text NOT NULL,
    score integer
);
CREATE INDEX reports_room ON reports (room_id, report_id);
CREATE INDEX reports_reporter ON reports (reporter, report_id);
