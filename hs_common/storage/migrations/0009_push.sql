-- Pushers, and what is to be pushed. The first table is written by the master, the others by the workers that push.

CREATE TABLE pushers (
    pusher_id bigint PRIMARY KEY,                     -- the position at which it was made: nothing older is pushed
    user_id text NOT NULL,
    app_id text NOT NULL,
    pushkey text NOT NULL,
    kind text NOT NULL,                               -- 'http' or 'email'
    device_id text,                                   -- it goes with the device; NULL: an application service set it
    shard smallint NOT NULL,                          -- of the user, see hs_common/process/shares.py
    app_display_name text NOT NULL,
    device_display_name text NOT NULL,
    profile_tag text,
    lang text NOT NULL,
    data text NOT NULL,                               -- JSON object
    set_ms bigint NOT NULL,                           -- when it was last set: `pushkey_ts`
    pos bigint NOT NULL,
    UNIQUE (user_id, app_id, pushkey)
);
CREATE INDEX pushers_key ON pushers (app_id, pushkey);
CREATE INDEX pushers_shard ON pushers (shard);

INSERT INTO shares (duty, shard) SELECT 'push', generate_series(0, 255);

-- Up to where the log has been judged for the users of a shard: what notifies somebody is in push_queue.
CREATE TABLE push_shards (
    shard smallint PRIMARY KEY,
    term bigint NOT NULL DEFAULT 0,                   -- of the share: whoever holds an older one writes nothing
    judged_to bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO push_shards (shard) SELECT generate_series(0, 255);

-- What waits for each pusher, in the order of the log. A row goes when it was pushed, or was read meanwhile.
CREATE TABLE push_queue (
    pusher_id bigint NOT NULL,
    pos bigint NOT NULL,
    room_id text NOT NULL,
    event_id text,                                    -- NULL: only the counts changed
    thread_id text NOT NULL,                          -- '' unthreaded (invites), 'main', or a thread root
    tweaks text NOT NULL,                             -- JSON object
    at_ms bigint NOT NULL,
    PRIMARY KEY (pusher_id, pos)
);

-- How pushing goes: for people, for waiting before a retry, and so that no count is told twice.
CREATE TABLE push_states (
    pusher_id bigint PRIMARY KEY,
    badge integer,                                    -- the count that was last told
    failures integer NOT NULL DEFAULT 0,              -- since the last success
    last_error text,
    last_success_ms bigint
) WITH (fillfactor = 60);

-- When an email pusher last wrote of a room, and how long it waits before it does again.
CREATE TABLE push_mails (
    pusher_id bigint NOT NULL,
    room_id text NOT NULL,
    mailed_ms bigint NOT NULL,
    wait_ms bigint NOT NULL,
    PRIMARY KEY (pusher_id, room_id)
);
