-- What a window of sliding sync and a page of results ask of the database each time, as functions: a session keeps their
-- plans, which to make took as long as what they do. As in 0043, whatever is looked for is looked up by its key, so that
-- a plan made when tables were small, or that expects another number of rooms, reads no more for it.

CREATE FUNCTION timeline_events(ids text[])
RETURNS TABLE (
    room_id text, order_pos bigint, order_sub integer, event_id text, sender text, type text, state_key text,
    origin_server_ts bigint, thread_root text, state_pos bigint, delta_id bigint, device_id text, txn_id text,
    replaces_state text, redacted_by text, json text
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT t.room_id, t.order_pos, t.order_sub, t.event_id, t.sender, t.type, t.state_key, t.origin_server_ts,
           t.thread_root, t.state_pos, t.delta_id, t.device_id, t.txn_id, e.replaces_state, e.redacted_by, e.json
      FROM timeline AS t JOIN events AS e ON e.event_id = t.event_id WHERE t.event_id = ANY (ids);
END
$$;

CREATE FUNCTION newest_of_timelines(rooms text[], lows bigint[], highs bigint[], most integer)
RETURNS TABLE (
    room_id text, order_pos bigint, order_sub integer, event_id text, sender text, type text, state_key text,
    origin_server_ts bigint, thread_root text, state_pos bigint, delta_id bigint, device_id text, txn_id text,
    replaces_state text, redacted_by text, json text
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.room_id, t.order_pos, t.order_sub, t.event_id, t.sender, t.type, t.state_key, t.origin_server_ts,
           t.thread_root, t.state_pos, t.delta_id, t.device_id, t.txn_id, e.replaces_state, e.redacted_by, e.json
      FROM unnest(rooms, lows, highs) AS w (room_id, low, high)
      CROSS JOIN LATERAL (SELECT * FROM timeline WHERE timeline.room_id = w.room_id
                             AND order_pos > w.low AND order_pos <= w.high
                           ORDER BY order_pos DESC, order_sub DESC LIMIT most) AS t
      -- A join keeps no order by itself, whatever stands inside of it.
      JOIN events AS e ON e.event_id = t.event_id ORDER BY t.order_pos DESC, t.order_sub DESC;
END
$$;

CREATE FUNCTION state_entries(rooms text[], types text[], keys text[], starts bigint[], highs bigint[])
RETURNS TABLE (
    room_id text, type text, state_key text, event_id text, membership text, from_pos bigint, to_pos bigint
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.room_id, s.type, s.state_key, s.event_id, s.membership, s.from_pos, s.to_pos
      FROM unnest(rooms, types, keys, starts, highs) AS w (room_id, type, state_key, start, high)
      CROSS JOIN LATERAL (SELECT * FROM state
                           WHERE room_id = w.room_id AND type = w.type AND state_key = w.state_key
                             AND to_pos + 0 > w.start AND from_pos <= w.high OFFSET 0) AS s;
END
$$;

CREATE FUNCTION related_kinds(parents text[], upto bigint) RETURNS TABLE (parent text, kind text) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT p.parent_id, k.rel_type FROM unnest(parents) AS p (parent_id)
     CROSS JOIN (VALUES ('m.reference'), ('m.replace'), ('m.thread')) AS k (rel_type)
     WHERE EXISTS (SELECT FROM relations AS r
                    WHERE r.parent_id = p.parent_id AND r.rel_type = k.rel_type AND r.order_pos <= upto OFFSET 0);
END
$$;

CREATE FUNCTION bumping_events(rooms text[], upto bigint, types text[], scanned integer)
RETURNS TABLE (room text, newest bigint, oldest bigint) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT w.room_id, (SELECT n.order_pos FROM (SELECT t.order_pos, t.type FROM timeline AS t
                                                 WHERE t.room_id = w.room_id AND t.order_pos <= upto AND t.order_sub = 0
                                                 ORDER BY t.order_pos DESC LIMIT scanned) AS n
                        WHERE n.type = ANY (types) LIMIT 1),
           (SELECT min(t.order_pos) FROM timeline AS t WHERE t.room_id = w.room_id)
      FROM unnest(rooms) AS w (room_id);
END
$$;

CREATE FUNCTION newest_own_events(rooms text[], lows bigint[], author text, upto bigint)
RETURNS TABLE (room text, thread text, newest bigint) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT w.room_id, t.thread_root, t.last FROM unnest(rooms, lows) AS w (room_id, low)
     CROSS JOIN LATERAL (SELECT thread_root, max(order_pos) AS last FROM timeline
                          WHERE room_id = w.room_id AND sender = author AND order_pos > w.low AND order_pos <= upto
                            AND order_sub = 0
                          GROUP BY thread_root OFFSET 0) AS t;
END
$$;

-- Joins may be by hashes here: there may be thousands of events of a room, and of threads.
CREATE FUNCTION unread_groups(
    rooms text[], lows bigint[], reader text, upto bigint, most integer,
    thread_rooms text[], thread_ids text[], thread_lows bigint[]
) RETURNS TABLE (
    room text, thread text, author text, redacts boolean, bits bigint, target boolean, mentioned boolean,
    number bigint, newest bigint
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT w.room_id, coalesce(t.thread_root, 'main'), t.sender, t.type = 'm.room.redaction', t.rule_bits,
           t.type = 'm.room.member' AND t.state_key = reader, m.user_id IS NOT NULL, count(*), max(t.order_pos)
      FROM unnest(rooms, lows) AS w (room_id, low)
      CROSS JOIN LATERAL (SELECT * FROM timeline WHERE timeline.room_id = w.room_id AND order_pos > w.low
                             AND order_pos <= upto AND order_sub = 0 ORDER BY order_pos DESC LIMIT most) AS t
      LEFT JOIN unnest(thread_rooms, thread_ids, thread_lows) AS b (room_id, thread_id, low)
             ON b.room_id = t.room_id AND b.thread_id = coalesce(t.thread_root, 'main')
      LEFT JOIN mentions AS m ON m.user_id = reader AND m.room_id = t.room_id AND m.order_pos = t.order_pos
                             AND m.order_sub = 0
     WHERE t.sender <> reader AND t.order_pos > coalesce(b.low, 0)
     GROUP BY 1, 2, 3, 4, 5, 6, 7;
END
$$;
