-- What connections of sliding sync have been sent; may be lost at any time. Written by sync workers.
CREATE UNLOGGED TABLE sliding_connections (
    user_id text NOT NULL,
    device_id text NOT NULL,                          -- '' for who has none
    conn_id text NOT NULL,
    version text NOT NULL,                            -- a hash of the body
    made timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea NOT NULL,                              -- msgpack: rooms, up to where, in what detail
    PRIMARY KEY (user_id, device_id, conn_id, version)
);
CREATE INDEX sliding_connections_made ON sliding_connections (made);
