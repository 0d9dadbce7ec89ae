-- Third-party identifiers of accounts, and how they are confirmed. Written by workers; nothing caches them. Those of a
-- user who is gone are deleted by the job that ends his account.

CREATE TABLE user_threepids (
    medium text NOT NULL,
    address text NOT NULL,                            -- canonical
    user_id text NOT NULL,
    validated_at_ms bigint NOT NULL,
    added_at_ms bigint NOT NULL,
    PRIMARY KEY (medium, address)                     -- an identifier belongs to one account
);
CREATE INDEX user_threepids_user ON user_threepids (user_id);

-- What was published at identity servers through this server, so that it can be taken back.
CREATE TABLE threepid_bindings (
    user_id text NOT NULL,
    medium text NOT NULL,
    address text NOT NULL,
    id_server text NOT NULL,
    PRIMARY KEY (user_id, medium, address, id_server)
);

CREATE TABLE threepid_sessions (
    session_id text PRIMARY KEY,
    purpose text NOT NULL,                            -- which requestToken endpoint began it
    medium text NOT NULL,
    address text NOT NULL,
    secret_hash bytea NOT NULL,                       -- SHA-256 of client_secret
    send_attempt bigint NOT NULL,                     -- the greatest for which a message was sent
    next_link text,
    token_hashes bytea[] NOT NULL DEFAULT '{}',       -- SHA-256; every message has its own
    sent_ms bigint NOT NULL,
    validated_at_ms bigint,
    UNIQUE (purpose, medium, address, secret_hash)
);
CREATE INDEX threepid_sessions_sent ON threepid_sessions (sent_ms);
