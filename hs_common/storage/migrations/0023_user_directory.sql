-- Users as they are found by name. Written by the master: this server's with their profiles, others when they join.

CREATE TABLE user_directory (
    user_id text PRIMARY KEY,
    display_name text,
    avatar_url text,
    words tsvector NOT NULL
);
CREATE INDEX user_directory_words ON user_directory USING gin (words) WITH (gin_pending_list_limit = 256);

INSERT INTO user_directory (user_id, display_name, avatar_url, words)
SELECT u.user_id, n.name, a.url,
       array_to_tsvector(array_remove(regexp_split_to_array(
           lower(u.user_id || ' ' || split_part(substr(u.user_id, 2), ':', 1) || ' ' || coalesce(n.name, '')), '\s+'), ''))
  FROM users AS u
  LEFT JOIN LATERAL (SELECT p.value::jsonb #>> '{}' AS name FROM profiles AS p
                      WHERE p.user_id = u.user_id AND p.field = 'displayname' AND position('\u0000' IN p.value) = 0
  ) AS n ON true
  LEFT JOIN LATERAL (SELECT p.value::jsonb #>> '{}' AS url FROM profiles AS p
                      WHERE p.user_id = u.user_id AND p.field = 'avatar_url' AND position('\u0000' IN p.value) = 0
  ) AS a ON true
 WHERE NOT u.deactivated AND NOT u.is_guest;
