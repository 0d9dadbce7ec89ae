-- Events that users have the server send later (MSC4140). Written by the master; what is finalised stays for a while.
CREATE TABLE delayed_events (
    delay_id text PRIMARY KEY,
    user_id text NOT NULL,
    room_id text NOT NULL,
    type text NOT NULL,
    state_key text,                                   -- NULL: not a state event
    content text NOT NULL,                            -- JSON
    redacts text,
    device_id text,
    timestamp_ms bigint,                              -- an application service's massaged timestamp
    delay_ms bigint NOT NULL,
    since_ms bigint NOT NULL,                         -- when it was scheduled, or restarted last
    due_ms bigint NOT NULL,
    finalised_ms bigint,                              -- NULL: still scheduled
    event_id text,                                    -- of a sent one
    error text,                                       -- JSON; why it was not sent
    pos bigint NOT NULL
);
CREATE INDEX delayed_events_due ON delayed_events (due_ms) WHERE finalised_ms IS NULL;
CREATE INDEX delayed_events_user ON delayed_events (user_id, due_ms) WHERE finalised_ms IS NULL;
CREATE INDEX delayed_events_finalised ON delayed_events (finalised_ms) WHERE finalised_ms IS NOT NULL;
