-- Media of other servers, what pages tell of themselves, and what operators do with media. All written by media workers,
-- cached by nobody.

ALTER TABLE media
    ADD COLUMN accessed_ts bigint NOT NULL DEFAULT 0,       -- last sent, within some minutes; 0: never
    ADD COLUMN quarantined_by text,                         -- set: kept, and sent to nobody
    ADD COLUMN is_protected boolean NOT NULL DEFAULT false; -- is never quarantined
CREATE INDEX media_created ON media (created_ts);

-- A user's own limit, where the configured one is not for him.
ALTER TABLE media_usage ADD COLUMN most_bytes bigint;

-- Contents that nobody gets, under whatever id, now and later.
CREATE TABLE media_quarantined (
    sha256 bytea PRIMARY KEY,
    quarantined_by text NOT NULL,
    quarantined_ts bigint NOT NULL
);

-- Media of other servers. A row without content is being fetched: whoever wrote it does so until it expires.
CREATE TABLE remote_media (
    server_name text NOT NULL,
    media_id text NOT NULL,
    expires_ts bigint,                                      -- of the fetching; NULL: fetched
    sha256 bytea REFERENCES media_blobs,
    size bigint NOT NULL DEFAULT 0,
    content_type text NOT NULL DEFAULT '',
    file_name text,
    is_public boolean NOT NULL DEFAULT false,               -- fetched while media could be had without a token
    fetched_ts bigint NOT NULL,
    accessed_ts bigint NOT NULL DEFAULT 0,
    quarantined_by text,
    PRIMARY KEY (server_name, media_id),
    CHECK ((sha256 IS NULL) = (expires_ts IS NOT NULL))
);
CREATE INDEX remote_media_sha256 ON remote_media (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX remote_media_used ON remote_media (greatest(fetched_ts, accessed_ts));

-- What a page was found to tell of itself, or that it could not be had. `media_id` is its picture, a medium of nobody.
CREATE TABLE url_previews (
    url_hash bytea PRIMARY KEY,
    url text NOT NULL,
    fetched_ts bigint NOT NULL,
    expires_ts bigint NOT NULL,
    preview text NOT NULL,                                  -- JSON
    media_id text
);
CREATE INDEX url_previews_expires ON url_previews (expires_ts);
CREATE INDEX url_previews_media ON url_previews (media_id) WHERE media_id IS NOT NULL;
