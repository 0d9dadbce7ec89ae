-- What decides who may read rooms, and the events around others, as functions: a session keeps their plans, which to make
-- took longer than what they do. Each room is looked up for itself, by all of a key: a plan that was made when rooms were
-- small, or that expects other rooms, reads no more for it. That is also why no bitmaps are made.

CREATE FUNCTION room_views(rooms text[], reader text)
RETURNS TABLE (room text, kind text, said text, began bigint, ended bigint) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT '', 'head', '', coalesce((SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1), 0), 0::bigint
    UNION ALL
    SELECT r.room_id, 'room', r.version, r.pos, 0 FROM rooms AS r WHERE r.room_id = ANY (room_views.rooms)
    UNION ALL
    SELECT w.room_id, 'member', s.membership, s.from_pos, s.to_pos
      FROM unnest(room_views.rooms) AS w (room_id)
      CROSS JOIN LATERAL (SELECT membership, from_pos, to_pos FROM state
                           WHERE room_id = w.room_id AND type = 'm.room.member' AND state_key = reader OFFSET 0) AS s
    UNION ALL
    SELECT w.room_id, 'visibility', e.json, s.from_pos, s.to_pos
      FROM unnest(room_views.rooms) AS w (room_id)
      CROSS JOIN LATERAL (SELECT event_id, from_pos, to_pos FROM state
                           WHERE room_id = w.room_id AND type = 'm.room.history_visibility' AND state_key = ''
                          OFFSET 0) AS s
      JOIN events AS e ON e.event_id = s.event_id
    UNION ALL
    -- The first at or after what is looked for is it, if it is there: in no other order is that found.
    SELECT w.room_id, 'now', m.membership, m.from_pos, CASE WHEN m.forgotten THEN 1 ELSE 0 END
      FROM unnest(room_views.rooms) AS w (room_id)
      CROSS JOIN LATERAL (SELECT * FROM local_membership
                           WHERE (user_id, to_pos, room_id) >= (reader, 9223372036854775807, w.room_id)
                           ORDER BY user_id, to_pos, room_id, from_pos LIMIT 1) AS m
     WHERE m.user_id = reader AND m.to_pos = 9223372036854775807 AND m.room_id = w.room_id
    UNION ALL
    SELECT '', 'ignored', d.content, 0, 0 FROM account_data AS d
     WHERE d.user_id = reader AND d.room_id = '' AND d.type = 'm.ignored_user_list'
    UNION ALL
    SELECT '', 'erasures', '', 0, 0 WHERE EXISTS (
           SELECT FROM (SELECT user_id FROM users WHERE erased ORDER BY user_id LIMIT 1) AS one);
END
$$;

CREATE FUNCTION events_around(
    rooms text[], low_poss bigint[], low_subs integer[], poss bigint[], subs integer[], high_poss bigint[],
    high_subs integer[], before integer, after integer
) RETURNS TABLE (
    number bigint, is_after boolean, room_id text, order_pos bigint, order_sub integer, event_id text, sender text,
    type text, state_key text, origin_server_ts bigint, thread_root text, state_pos bigint, delta_id bigint,
    device_id text, txn_id text, replaces_state text, redacted_by text, json text
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH wanted AS (
        SELECT * FROM unnest(rooms, low_poss, low_subs, poss, subs, high_poss, high_subs)
            WITH ORDINALITY AS u (room_id, low_pos, low_sub, pos, sub, high_pos, high_sub, number)
    ), near AS (
        SELECT w.number, false AS is_after, t.*
          FROM wanted AS w CROSS JOIN LATERAL (
               SELECT * FROM timeline
                WHERE room_id = w.room_id AND (order_pos, order_sub) > (w.low_pos, w.low_sub)
                  AND (order_pos, order_sub) < (w.pos, w.sub)
                ORDER BY order_pos DESC, order_sub DESC LIMIT before) AS t
        UNION ALL
        SELECT w.number, true, t.*
          FROM wanted AS w CROSS JOIN LATERAL (
               SELECT * FROM timeline
                WHERE room_id = w.room_id AND (order_pos, order_sub) > (w.pos, w.sub)
                  AND (order_pos, order_sub) <= (w.high_pos, w.high_sub)
                ORDER BY order_pos, order_sub LIMIT after) AS t
    )
    SELECT t.number, t.is_after, t.room_id, t.order_pos, t.order_sub, t.event_id, t.sender, t.type, t.state_key,
           t.origin_server_ts, t.thread_root, t.state_pos, t.delta_id, t.device_id, t.txn_id, e.replaces_state,
           e.redacted_by, e.json
      FROM near AS t JOIN events AS e ON e.event_id = t.event_id;
END
$$;

CREATE FUNCTION members_at(rooms text[], users text[], positions bigint[])
RETURNS TABLE (room text, member text, at bigint, event text) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT w.room_id, w.user_id, w.pos, e.json
      FROM unnest(rooms, members_at.users, positions) AS w (room_id, user_id, pos)
      CROSS JOIN LATERAL (SELECT event_id FROM state
                           WHERE room_id = w.room_id AND type = 'm.room.member' AND state_key = w.user_id
                             AND to_pos + 0 > w.pos AND from_pos <= w.pos OFFSET 0) AS s
      JOIN events AS e ON e.event_id = s.event_id;
END
$$;
