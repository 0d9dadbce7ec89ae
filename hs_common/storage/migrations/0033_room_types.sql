-- What kind of room it is, by its create event: m.space, or '' where that names none. NULL: to be read there.
ALTER TABLE rooms ADD COLUMN room_type text;
UPDATE rooms SET room_type = CASE json_typeof(e.json::json->'content'->'type')
                             WHEN 'string' THEN e.json::json->'content'->>'type' ELSE '' END
  FROM state AS s JOIN events AS e ON e.event_id = s.event_id
 WHERE s.room_id = rooms.room_id AND s.type = 'm.room.create' AND s.state_key = '' AND position('\u0000' IN e.json) = 0;
