-- Accounts and what belongs to them. The first group is written by the master, with positions; the last by workers.

CREATE TABLE users (
    user_id text PRIMARY KEY,
    created_ts bigint NOT NULL,
    password_hash text,                               -- NULL: no password login
    is_guest boolean NOT NULL DEFAULT false,
    admin boolean NOT NULL DEFAULT false,
    locked boolean NOT NULL DEFAULT false,
    suspended boolean NOT NULL DEFAULT false,
    deactivated boolean NOT NULL DEFAULT false,
    erased boolean NOT NULL DEFAULT false,
    appservice_id text,
    pos bigint NOT NULL
);

CREATE TABLE devices (
    user_id text NOT NULL,
    device_id text NOT NULL,
    display_name text,
    created_ts bigint NOT NULL,
    pos bigint NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- Tokens are stored as SHA-256 digests only.
CREATE TABLE access_tokens (
    token_hash bytea PRIMARY KEY,
    user_id text NOT NULL,
    device_id text,
    expires_at_ms bigint,                             -- NULL: never
    refresh_hash bytea,                               -- the refresh token that was given out with it
    pos bigint NOT NULL
);
CREATE INDEX access_tokens_user ON access_tokens (user_id, device_id);

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    user_id text NOT NULL,
    device_id text NOT NULL,
    next_hash bytea,                                  -- given out in exchange; this one dies when that one is first used
    expires_at_ms bigint,
    pos bigint NOT NULL
);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id, device_id);
CREATE INDEX refresh_tokens_next ON refresh_tokens (next_hash) WHERE next_hash IS NOT NULL;

CREATE TABLE profiles (
    user_id text NOT NULL,
    field text NOT NULL,
    value text NOT NULL,                              -- JSON
    pos bigint NOT NULL,
    PRIMARY KEY (user_id, field)
);

CREATE TABLE account_data (
    user_id text NOT NULL,
    room_id text NOT NULL,                            -- '' global
    type text NOT NULL,
    content text NOT NULL,                            -- JSON object
    pos bigint NOT NULL,
    PRIMARY KEY (user_id, room_id, type)
);
CREATE INDEX account_data_begins ON account_data (user_id, pos);

CREATE TABLE device_list_changes (
    pos bigint PRIMARY KEY,
    user_id text NOT NULL
);
CREATE INDEX device_list_changes_user ON device_list_changes (user_id, pos);

-- Work that takes many small appends (profile fan-out, deactivation); the leader runs and resumes it.
CREATE TABLE jobs (
    job_id bigint PRIMARY KEY,                        -- the position that created it
    kind text NOT NULL,
    user_id text NOT NULL,
    body bytea NOT NULL,                              -- msgpack
    progress text NOT NULL DEFAULT ''
);
CREATE INDEX jobs_user ON jobs (user_id);

-- Written by workers; nothing else caches them.

CREATE TABLE filters (
    user_id text NOT NULL,
    filter_id text NOT NULL,                          -- a hash of the filter, so equal filters are one row
    json text NOT NULL,
    PRIMARY KEY (user_id, filter_id)
);

CREATE TABLE uia_sessions (
    session_id text PRIMARY KEY,
    made timestamptz NOT NULL DEFAULT now(),
    operation text NOT NULL,                          -- method and path: a session cannot be used elsewhere
    body_hash bytea NOT NULL,
    user_id text,
    completed text[] NOT NULL DEFAULT '{}',
    details text NOT NULL DEFAULT '{}'                -- JSON: what stages remember (registration token)
);
CREATE INDEX uia_sessions_made ON uia_sessions (made);

CREATE TABLE login_tokens (
    token_hash bytea PRIMARY KEY,
    user_id text NOT NULL,
    expires_at_ms bigint NOT NULL
);

CREATE TABLE registration_tokens (
    token text PRIMARY KEY,
    uses_allowed integer,
    pending integer NOT NULL DEFAULT 0,
    completed integer NOT NULL DEFAULT 0,
    expires_at_ms bigint
);

CREATE TABLE device_seen (
    user_id text NOT NULL,
    device_id text NOT NULL,
    ip text NOT NULL,
    user_agent text NOT NULL,
    ts bigint NOT NULL,
    PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 60);

-- Counted so far per reader, room and thread; may be lost at any time.
CREATE UNLOGGED TABLE unread_cache (
    user_id text NOT NULL,
    room_id text NOT NULL,
    thread_id text NOT NULL,
    bound_pos bigint NOT NULL,                        -- the lower bound that the count started from
    bound_sub integer NOT NULL,
    counted_to bigint NOT NULL,
    notifications integer NOT NULL,
    highlights integer NOT NULL,
    PRIMARY KEY (user_id, room_id, thread_id)
) WITH (fillfactor = 60);
