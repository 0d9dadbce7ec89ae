-- What goes to other servers, and how far each of them has received.

-- Events that this server brings into rooms that others are in. Written by the master.
ALTER TABLE relayed_events RENAME TO outgoing_events;
ALTER TABLE outgoing_events ADD COLUMN target text;   -- the server of the user it is about, where it may not be in the room
CREATE INDEX outgoing_events_pos ON outgoing_events (pos);
CREATE INDEX outgoing_events_target ON outgoing_events (target, pos) WHERE target IS NOT NULL;

-- Messages to devices of users of other servers, as EDUs. The master writes them, the sender deletes what was received.
CREATE TABLE outgoing_edus (
    destination text NOT NULL,
    pos bigint NOT NULL,
    edu text NOT NULL,
    PRIMARY KEY (destination, pos)
);

-- Which devices changed, as a JSON array; empty: cross-signing keys; NULL: not known, so all of them.
ALTER TABLE device_list_changes ADD COLUMN device_ids text;

INSERT INTO shares (duty, shard) SELECT 'federation-sender', generate_series(0, 255);

-- Every destination of a shard without a row of its own has received all up to here. Written by who holds the share.
CREATE TABLE federation_shards (
    shard smallint PRIMARY KEY,
    term bigint NOT NULL DEFAULT 0,
    clean_to bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO federation_shards (shard) SELECT generate_series(0, 255);

-- A destination that something waits for, or waited: how far it has received, and the transaction that is under way,
-- fixed before it is sent.
CREATE TABLE destinations (
    destination text PRIMARY KEY,
    term bigint NOT NULL,                             -- of the share: whoever holds an older one writes nothing
    is_behind boolean NOT NULL,
    events_to bigint NOT NULL,
    devices_to bigint NOT NULL,
    txn_id text,                                      -- NULL: nothing is under way
    txn_ts bigint,
    txn_events_to bigint,
    txn_devices_to bigint,
    txn_pdus text,                                    -- event ids, one space between them
    txn_edus text,                                    -- JSON array
    failures integer NOT NULL DEFAULT 0,              -- since the last success
    retry_at_ms bigint NOT NULL DEFAULT 0,
    last_error text
) WITH (fillfactor = 60);
CREATE INDEX destinations_behind ON destinations (destination) WHERE is_behind;
