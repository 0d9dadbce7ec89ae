-- What comes from other servers and waits to be taken in, and what is known of their users' devices. Written by workers.

-- Events received in transactions, until the master has answered what became of them.
CREATE TABLE inbound_pdu (
    room_id text NOT NULL,
    event_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,          -- the order in which they came
    shard smallint NOT NULL,                          -- of the room: who holds it works it off
    origin text NOT NULL,
    json text NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    retry_at timestamptz NOT NULL DEFAULT '-infinity',
    received timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (room_id, event_id)
) WITH (fillfactor = 70);
CREATE INDEX inbound_pdu_shard ON inbound_pdu (shard, seq);
CREATE INDEX inbound_pdu_origin ON inbound_pdu (origin);

INSERT INTO shares (duty, shard) SELECT 'inbound', shard FROM generate_series(0, 255) AS shard;
INSERT INTO shares (duty, shard) SELECT 'device lists', shard FROM generate_series(0, 255) AS shard;

-- Rooms that a user of this server is just joining through another server: what comes for them meanwhile is kept.
CREATE TABLE joining_rooms (
    room_id text PRIMARY KEY,
    version text NOT NULL,
    joiner uuid NOT NULL,                             -- of the attempt, so that only it ends itself
    until timestamptz NOT NULL                        -- an attempt whose process died ends by itself
);

-- Device lists of users elsewhere who share a room with users here.
CREATE TABLE remote_device_lists (
    user_id text PRIMARY KEY,
    shard smallint NOT NULL,
    stream_id bigint NOT NULL,                        -- the last update that is part of the list
    stale boolean NOT NULL,                           -- updates were missed: the list has to be asked for
    failures smallint NOT NULL DEFAULT 0,
    retry_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 70);
CREATE INDEX remote_device_lists_stale ON remote_device_lists (shard, retry_at) WHERE stale;

CREATE TABLE remote_devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    display_name text,
    keys text,                                        -- JSON: the identity keys with their signatures; NULL: none
    PRIMARY KEY (user_id, device_id)
);

CREATE TABLE remote_cross_signing_keys (
    user_id text NOT NULL,
    usage text NOT NULL,                              -- master or self_signing
    key text NOT NULL,                                -- JSON, with signatures
    PRIMARY KEY (user_id, usage)
);
