-- Single sign-on. Written by workers; nothing caches these. A tie to a provider outlives its account, so that whoever
-- is deactivated here does not come back as somebody new.

CREATE TABLE external_ids (
    provider_id text NOT NULL,
    subject text NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (provider_id, subject)
);
CREATE INDEX external_ids_user ON external_ids (user_id);

-- A browser on its way to a provider and back. Known by a cookie; the provider brings the state back.
CREATE TABLE sso_sessions (
    cookie_hash bytea PRIMARY KEY,                    -- SHA-256
    state_hash bytea NOT NULL,                        -- SHA-256
    provider_id text NOT NULL,
    nonce text NOT NULL,
    code_verifier text NOT NULL,
    redirect_url text,                                -- the client that gets a login token …
    uia_session_id text,                              -- … or the authentication that goes on
    made_ms bigint NOT NULL,
    subject text,                                     -- what the provider said, once it did
    user_id text,
    details text NOT NULL DEFAULT '{}'                -- JSON: the names it suggests
);
CREATE INDEX sso_sessions_made ON sso_sessions (made_ms);
