-- What other servers bring: the state before events that are in no timeline, and events that we bring into rooms for them.

-- Soft failed and rejected events, which others may cite all the same. Written by the master.
CREATE TABLE event_state (
    event_id text PRIMARY KEY,
    room_id text NOT NULL,
    state_pos bigint NOT NULL,                        -- as in `timeline`
    delta_id bigint
);

-- Events of users of other servers that entered their room through this one, so that it sends them to the others.
CREATE TABLE relayed_events (
    room_id text NOT NULL,
    pos bigint NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (room_id, pos)
);

CREATE INDEX held_redactions_room ON held_redactions (room_id);
