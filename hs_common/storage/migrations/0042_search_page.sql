-- A page of the newest matches of a search, the newest or best first, and how many others there are: what 0039's function
-- tells, but not each match. It stays for workers of the version before.
--
-- Told are the matches of places from `first` on, `told` of them, and all those of rooms where the reader may not see
-- whatever was said. Of the others a row for each sender says how many there are, and one of their rooms.
--
-- That a room's visibility plainly shows members everything is read by prefixes, a fifth of the time of a regular
-- expression: what follows the first square bracket that closes, which ends the ids of the auth events.
CREATE FUNCTION search_page(
    asked tsquery, scoped tsquery, reader text, named text[], unwanted text[], wanted_keys smallint[], last bigint,
    best boolean, most integer, first bigint, told bigint
) RETURNS TABLE (event text, room text, author text, is_whole boolean, number bigint, matches bigint, head bigint)
LANGUAGE plpgsql STABLE
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
                      AND NOT (starts_with(e.json, '{"auth_events":[')
                               AND (starts_with(split_part(e.json, ']', 2),
                                                ',"content":{"history_visibility":"shared"},"depth":')
                                    OR starts_with(split_part(e.json, ']', 2),
                                                   ',"content":{"history_visibility":"world_readable"},"depth":')))
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
    ), numbered AS MATERIALIZED (
        SELECT found.event_id, found.room_id, found.sender,
               found.room_id IN (SELECT r.room_id FROM rooms AS r WHERE r.is_open) AS is_open,
               row_number() OVER (
                   ORDER BY CASE WHEN best
                                 THEN (SELECT ts_rank_cd(s.words, asked) FROM search AS s
                                        WHERE s.ctid = found.place) END DESC,
                            found.origin_server_ts DESC, found.event_id) - 1 AS place
          FROM (SELECT hits.* FROM hits WHERE (hits.room_id IN (SELECT r.room_id FROM rooms AS r)) IS TRUE
                 ORDER BY hits.origin_server_ts DESC, hits.event_id LIMIT most) AS found
    )
    SELECT n.event_id, n.room_id, n.sender, n.is_open, n.place, 1::bigint,
           (SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1)
      FROM numbered AS n WHERE NOT n.is_open OR (n.place >= first AND n.place < first + told)
    UNION ALL
    SELECT NULL, min(n.room_id), n.sender, true, NULL, count(*), (SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1)
      FROM numbered AS n WHERE n.is_open AND (n.place < first OR n.place >= first + told)
     GROUP BY n.sender;
END
$$;
