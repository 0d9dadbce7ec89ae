-- The newest matches of a search in rooms that are not encrypted by now, the newest or best first, and whether the reader
-- may see whatever was said in the room. A function, as a session keeps its plan: to plan it takes a third of its time.
--
-- What depends on the room is looked up once for each room with a match, not for each match, nor for each of the rooms
-- that the reader is in, which may be thousands. IN stands where a hash table is made of it whatever the planner expects
-- (IS TRUE): as a join it may compare every match with every room. The words of thousands of events are read where the
-- rank asks for them, by their place in the table.
--
-- Of a room's visibilities those are recognised that plainly show members everything. To read them as JSON takes ten
-- times as long, and fails where a string has a NUL; what a string contains cannot look like this, as its quotation marks
-- are escaped.
CREATE FUNCTION search_matches(
    asked tsquery, scoped tsquery, reader text, named text[], unwanted text[], wanted_keys smallint[], last bigint,
    best boolean, most integer
) RETURNS TABLE (event text, room text, author text, is_whole boolean, head bigint) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    IF numnode(asked) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH hits AS MATERIALIZED (
        SELECT s.ctid AS place, s.event_id, s.room_id, s.sender, s.origin_server_ts
          FROM search AS s
         WHERE s.words @@ scoped AND s.room_id <> ALL (unwanted) AND s.key = ANY (wanted_keys)
           AND (last IS NULL OR s.pos <= last)
    ), rooms AS MATERIALIZED (
        SELECT d.room_id,
               m.membership = 'join'
               AND NOT EXISTS (
                   SELECT FROM state AS v JOIN events AS e ON e.event_id = v.event_id
                    WHERE v.room_id = d.room_id AND v.type = 'm.room.history_visibility' AND v.state_key = ''
                      AND e.json !~ ('^\{"auth_events":\[[^]]*\],"content":\{"history_visibility":'
                                     '"(shared|world_readable)"\},"depth":')
                   OFFSET 0)
               AND NOT EXISTS (SELECT FROM (SELECT user_id FROM users WHERE erased ORDER BY user_id LIMIT 1) AS one)
               AS is_open
          FROM (SELECT DISTINCT hits.room_id FROM hits) AS d
          LEFT JOIN LATERAL (SELECT membership, forgotten FROM local_membership
                              WHERE user_id = reader AND to_pos = 9223372036854775807 AND room_id = d.room_id
                              LIMIT 1) AS m ON true
         WHERE CASE WHEN named IS NULL THEN m.membership IN ('join', 'leave', 'ban') AND NOT m.forgotten
                    ELSE d.room_id = ANY (named) END
           AND NOT EXISTS (SELECT FROM state AS c
                            WHERE c.room_id = d.room_id AND c.type = 'm.room.encryption' AND c.state_key = ''
                              AND c.to_pos = 9223372036854775807 OFFSET 0)
    )
    SELECT found.event_id, found.room_id, found.sender,
           found.room_id IN (SELECT r.room_id FROM rooms AS r WHERE r.is_open),
           (SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1)
      FROM (SELECT hits.* FROM hits WHERE (hits.room_id IN (SELECT r.room_id FROM rooms AS r)) IS TRUE
             ORDER BY hits.origin_server_ts DESC, hits.event_id LIMIT most) AS found
     ORDER BY CASE WHEN best
                   THEN (SELECT ts_rank_cd(s.words, asked) FROM search AS s WHERE s.ctid = found.place) END DESC,
              found.origin_server_ts DESC, found.event_id;
END
$$;
