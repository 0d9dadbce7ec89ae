-- Users whom the authentication service lets replace their cross-signing keys. Written by workers; nothing caches it.

CREATE TABLE cross_signing_resets (
    user_id text PRIMARY KEY,
    until_ms bigint NOT NULL
);
