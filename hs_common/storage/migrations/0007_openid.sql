-- Tokens by which a user proves to another service who he is. Written by workers; read by whoever that service asks.

CREATE TABLE openid_tokens (
    token_hash bytea PRIMARY KEY,                     -- SHA-256
    user_id text NOT NULL,
    expires_at_ms bigint NOT NULL
);
CREATE INDEX openid_tokens_expiry ON openid_tokens (expires_at_ms);
