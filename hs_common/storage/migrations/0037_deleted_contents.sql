-- An upload puts its bytes in place and then records them, in one statement, without having claimed them before. So
-- whoever deletes a content says so in its row first, and the row outlives the bytes for a while: an upload that wrote
-- before them or beside them finds it, and writes once more.
--
-- Workers from before this claim a content (`touched_ts`) before they write, and record it after. Their sweepers delete
-- under a lock, which such uploads do not see; so they must not sweep any more: the check refuses what they note as a
-- stray before they delete it, and the trigger keeps the row that they would delete before its bytes.

ALTER TABLE media_blobs
    ALTER COLUMN touched_ts DROP NOT NULL,                  -- last claimed; NULL: never, or not since it was deleted
    ADD COLUMN deletion_ts bigint,                          -- set: what was put in place before that is perhaps gone
    ADD COLUMN is_deleting boolean NOT NULL DEFAULT false;  -- the deletion has not ended yet, or its worker died
ALTER TABLE media_blobs ADD CONSTRAINT media_blobs_claimed CHECK (touched_ts > 0) NOT VALID;

CREATE FUNCTION media_blob_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END
$$;
CREATE TRIGGER media_blobs_of_old_sweepers BEFORE DELETE ON media_blobs FOR EACH ROW
    WHEN (OLD.touched_ts IS NOT NULL) EXECUTE FUNCTION media_blob_stays();

-- What is recorded of an upload, in one call. Functions, as a session keeps their plans: planning took longer than all
-- else of it.

CREATE FUNCTION record_content(its_sha256 bytea, its_size bigint, its_accepted bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    -- Whether it was deleted is read from the row as it is once it is locked.
    INSERT INTO media_blobs AS known (sha256, size) VALUES (its_sha256, its_size)
        ON CONFLICT (sha256) DO UPDATE SET size = excluded.size, deletion_ts = NULL, is_deleting = false
         WHERE known.deletion_ts IS NULL OR known.deletion_ts = its_accepted;
    RETURN FOUND;
END
$$;

-- Counts one more of a user's media; false, and nothing is counted, if that is more than he may have.
CREATE FUNCTION count_upload(its_user_id text, its_size bigint, its_most bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO media_usage AS used (user_id, bytes, count)
    SELECT its_user_id, its_size, 1
     WHERE its_most IS NULL OR its_size <= its_most
        OR EXISTS (SELECT FROM media_usage known WHERE known.user_id = its_user_id AND most_bytes IS NOT NULL)
        ON CONFLICT (user_id) DO UPDATE SET bytes = used.bytes + excluded.bytes, count = used.count + 1
     WHERE (used.bytes + excluded.bytes <= coalesce(used.most_bytes, its_most)) IS NOT FALSE;
    RETURN FOUND;
END
$$;

CREATE FUNCTION add_upload(
    its_media_id text, its_user_id text, its_now bigint, its_sha256 bytea, its_size bigint, its_content_type text,
    its_file_name text, its_is_public boolean, its_most bigint, its_accepted bigint
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF NOT record_content(its_sha256, its_size, its_accepted) THEN
        RETURN 'deleted';
    END IF;
    IF NOT count_upload(its_user_id, its_size, its_most) THEN
        RETURN 'refused';
    END IF;
    INSERT INTO media (media_id, user_id, created_ts, sha256, size, content_type, file_name, is_public)
    VALUES (its_media_id, its_user_id, its_now, its_sha256, its_size, its_content_type, its_file_name, its_is_public);
    RETURN 'recorded';
END
$$;

CREATE FUNCTION fill_upload(
    its_media_id text, its_now bigint, its_sha256 bytea, its_size bigint, its_content_type text, its_file_name text,
    its_is_public boolean, its_most bigint, its_accepted bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    its_user_id text;
BEGIN
    IF NOT record_content(its_sha256, its_size, its_accepted) THEN
        RETURN 'deleted';
    END IF;
    SELECT user_id INTO its_user_id FROM media WHERE media_id = its_media_id AND expires_ts > its_now FOR UPDATE;
    IF NOT FOUND OR NOT count_upload(its_user_id, its_size, its_most) THEN
        RETURN 'refused';
    END IF;
    UPDATE media
       SET sha256 = its_sha256, size = its_size, content_type = its_content_type, file_name = its_file_name,
           is_public = its_is_public, expires_ts = NULL
     WHERE media_id = its_media_id;
    RETURN 'recorded';
END
$$;
