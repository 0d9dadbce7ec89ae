-- Media that users of this server uploaded. All written by media workers, cached by nobody.

-- What the storage holds: each content once, under the SHA-256 of its bytes. A row is there before its bytes are and goes
-- after them, so bytes without a row and rows that nothing points at are what sweepers look for. Their lock on a row
-- keeps an upload of the same bytes waiting until the old ones are gone.
CREATE TABLE media_blobs (
    sha256 bytea PRIMARY KEY,
    size bigint NOT NULL,
    touched_ts bigint NOT NULL                        -- last claimed by an upload; a fresh one is never swept
) WITH (fillfactor = 80);

CREATE TABLE media (
    media_id text PRIMARY KEY,
    user_id text NOT NULL,
    created_ts bigint NOT NULL,
    expires_ts bigint,                                -- set until the content is there: when the id goes unused
    sha256 bytea REFERENCES media_blobs,              -- NULL: created, and not yet uploaded
    size bigint NOT NULL DEFAULT 0,
    content_type text NOT NULL DEFAULT '',
    file_name text,
    is_public boolean NOT NULL DEFAULT false,         -- uploaded while media could be had without a token
    CHECK ((sha256 IS NULL) = (expires_ts IS NOT NULL))
);
CREATE INDEX media_user ON media (user_id, created_ts);
CREATE INDEX media_sha256 ON media (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX media_expires ON media (expires_ts) WHERE expires_ts IS NOT NULL;

-- Of a content, whoever uploaded it. `source` itself where the picture is small enough already.
CREATE TABLE media_thumbnails (
    source bytea NOT NULL REFERENCES media_blobs,
    method text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    animated boolean NOT NULL,
    sha256 bytea NOT NULL REFERENCES media_blobs,
    content_type text NOT NULL,
    PRIMARY KEY (source, method, width, height, animated)
);
CREATE INDEX media_thumbnails_sha256 ON media_thumbnails (sha256);

-- What a user's media take together, each counted whole.
CREATE TABLE media_usage (
    user_id text PRIMARY KEY,
    bytes bigint NOT NULL,
    count bigint NOT NULL
) WITH (fillfactor = 80);
