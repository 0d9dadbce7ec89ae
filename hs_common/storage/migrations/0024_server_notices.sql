-- The room in which the server itself writes to a user; one for each. Written by the workers that send notices.
CREATE TABLE server_notice_rooms (
    user_id text PRIMARY KEY,
    room_id text NOT NULL
);
