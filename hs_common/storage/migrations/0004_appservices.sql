-- Application services, what they are to be told, and who tells them. The first group is written by the master; the
-- second by the workers that send.

CREATE TABLE appservices (
    service_id text PRIMARY KEY,
    registration text NOT NULL,                       -- JSON, without tokens
    as_token_hash bytea NOT NULL UNIQUE,              -- SHA-256, as of access tokens
    hs_token text NOT NULL,                           -- sent to the service with each request, so kept as it is
    source text NOT NULL,                             -- 'file': of a file that the config lists; 'command'
    paused boolean NOT NULL DEFAULT false,
    made_pos bigint NOT NULL,                         -- nothing from before this position is sent
    pos bigint NOT NULL
);

-- Rooms that a service is interested in, as intervals, one for each cause: '' members in its namespace (from the first
-- to the last), '!' the room's id, or the alias in its namespace.
CREATE TABLE as_room (
    service_id text NOT NULL,
    room_id text NOT NULL,
    cause text NOT NULL,
    from_pos bigint NOT NULL,
    to_pos bigint NOT NULL DEFAULT 9223372036854775807,
    PRIMARY KEY (room_id, service_id, cause, from_pos)
);
CREATE INDEX as_room_alive ON as_room (service_id, room_id) WHERE to_pos = 9223372036854775807;

-- One row for each event and interested service. The master writes them, the sender deletes what was received.
CREATE TABLE service_events (
    service_id text NOT NULL,
    pos bigint NOT NULL,
    event_id text NOT NULL,
    at_ms bigint NOT NULL,                            -- when it was appended: how long it has been waiting
    PRIMARY KEY (service_id, pos)
);

-- Duties that workers share: who holds which part. The term grows with each taking; 256 parts of each duty.
CREATE TABLE shares (
    duty text NOT NULL,
    shard smallint NOT NULL,
    holder uuid,
    term bigint NOT NULL DEFAULT 0,
    beat bigint NOT NULL DEFAULT 0,                   -- counts up while the holder lives; no clocks are compared
    PRIMARY KEY (duty, shard)
) WITH (fillfactor = 50);
INSERT INTO shares (duty, shard) SELECT 'appservice', generate_series(0, 255);

-- How far each service has received, and the transaction that is under way: written before it is sent.
CREATE TABLE service_cursors (
    service_id text PRIMARY KEY,
    term bigint NOT NULL,                             -- of the share: whoever holds an older one writes nothing
    sent_to bigint NOT NULL,
    txn_id text,                                      -- NULL: nothing is under way
    txn_to bigint,                                    -- its events are those in (sent_to, txn_to]
    ephemeral text,                                   -- its ephemeral events, JSON array; NULL: none
    failures integer NOT NULL DEFAULT 0,              -- since the last success
    last_error text
) WITH (fillfactor = 60);

-- The directories of rooms that services publish for their networks; nothing caches them.
CREATE TABLE appservice_directory (
    service_id text NOT NULL,
    network_id text NOT NULL,
    room_id text NOT NULL,
    PRIMARY KEY (service_id, network_id, room_id)
);
CREATE INDEX appservice_directory_network ON appservice_directory (network_id, room_id);
