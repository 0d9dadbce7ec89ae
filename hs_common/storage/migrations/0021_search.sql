-- The words of messages, names and topics. Written by the master in the transaction that appends the event.

-- English stems; no word is too common to be found; what is not English is found as it is written.
CREATE TEXT SEARCH DICTIONARY viaduct_stem (TEMPLATE = snowball, LANGUAGE = english);
CREATE TEXT SEARCH CONFIGURATION viaduct (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION viaduct ALTER MAPPING REPLACE english_stem WITH viaduct_stem;

-- The room and the sender are among the words (no word of a text begins as these do), so that looking for a word in some
-- rooms does not look at all rooms.
CREATE FUNCTION searched_words(body text, room_id text, sender text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT array_to_tsvector(ARRAY[room_id, sender]) || to_tsvector('viaduct', body)
$$;

CREATE TABLE search (
    event_id text PRIMARY KEY,
    room_id text NOT NULL,
    sender text NOT NULL,
    key smallint NOT NULL,                            -- 0 content.body, 1 content.name, 2 content.topic
    origin_server_ts bigint NOT NULL,
    pos bigint NOT NULL,                              -- of the log item
    words tsvector NOT NULL
);
-- A short list of what is to be merged into the index: each search reads it, and merging it is dear for nobody.
CREATE INDEX search_words ON search USING gin (words) WITH (gin_pending_list_limit = 256);

INSERT INTO search (event_id, room_id, sender, key, origin_server_ts, pos, words)
SELECT t.event_id, t.room_id, t.sender, 0, t.origin_server_ts, e.pos,
       searched_words(left(e.json::jsonb -> 'content' ->> 'body', 8000), t.room_id, t.sender)
  FROM timeline AS t JOIN events AS e ON e.event_id = t.event_id
 WHERE t.type = 'm.room.message' AND t.state_key IS NULL AND position('\u0000' IN e.json) = 0
   AND jsonb_typeof(e.json::jsonb -> 'content' -> 'body') = 'string';
