-- Keys of other servers, as they or notaries said. Written by workers.

CREATE TABLE server_keys (
    server text NOT NULL,
    key_id text NOT NULL,
    public_key text NOT NULL,          -- base64
    valid_until_ms bigint NOT NULL,    -- for a key in use: until when it may be believed; for an old one: its end
    is_old boolean NOT NULL,           -- signs nothing new any more
    fetched_ms bigint NOT NULL,
    answer bytea NOT NULL,             -- the server's own signed answer that names it, as a notary gives it out
    PRIMARY KEY (server, key_id)
);
