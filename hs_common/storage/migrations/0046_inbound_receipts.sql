-- Receipts of other servers' users for events that are not here yet, which wait for them. Written by the workers that
-- serve other servers.
CREATE TABLE inbound_receipt (
    room_id text NOT NULL,
    user_id text NOT NULL,
    thread_id text NOT NULL,                          -- '' unthreaded, 'main', or the thread root's event id
    event_id text NOT NULL,
    ts bigint NOT NULL,
    origin text NOT NULL,                             -- the user's server, of which no more than so many are kept
    attempts smallint NOT NULL DEFAULT 0,
    retry_at timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id, thread_id)
);
CREATE INDEX inbound_receipt_due ON inbound_receipt (retry_at);
CREATE INDEX inbound_receipt_origin ON inbound_receipt (origin);
