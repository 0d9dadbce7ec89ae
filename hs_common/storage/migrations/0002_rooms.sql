-- Rooms, events, timelines and state. Written by the master alone, inside the transaction that appends.
-- 9223372036854775807 (the largest bigint) in a to_pos column means "still so".

CREATE TABLE rooms (
    room_id text PRIMARY KEY,
    version text NOT NULL,
    creator text NOT NULL,
    pos bigint NOT NULL,
    is_public boolean NOT NULL DEFAULT false          -- listed in this server's room directory
);
CREATE INDEX rooms_public ON rooms (room_id) WHERE is_public;

-- The PDU as it was signed (canonical JSON, no unsigned). Changed only by redaction.
CREATE TABLE events (
    event_id text PRIMARY KEY,
    room_id text NOT NULL,
    pos bigint NOT NULL,
    status smallint NOT NULL DEFAULT 0,               -- 0 accepted, 1 soft failed, 2 rejected, 3 event without state
    replaces_state text,                              -- the event that this state event replaced
    redacted_by text,
    json text NOT NULL
);

-- The order of a room, which is not the order of the log: history found later comes earlier here.
CREATE TABLE timeline (
    room_id text NOT NULL,
    order_pos bigint NOT NULL,
    order_sub integer NOT NULL,                       -- 0 for live events, -1, -2 … for history found before (order_pos, 0)
    event_id text NOT NULL UNIQUE,
    sender text NOT NULL,
    type text NOT NULL,
    state_key text,                                   -- NULL: not a state event
    origin_server_ts bigint NOT NULL,
    thread_root text,                                 -- NULL: the main timeline
    rule_bits bigint NOT NULL,                        -- which predefined push rules' reader-independent conditions hold
    state_pos bigint NOT NULL,                        -- state before this event = state at this position …
    delta_id bigint,                                  -- … with these overrides (NULL unless the event graph forks)
    device_id text,                                   -- of the sender's request: unsigned.transaction_id goes to that device alone
    txn_id text,
    PRIMARY KEY (room_id, order_pos, order_sub)
);
CREATE INDEX timeline_sender ON timeline (room_id, sender, order_pos);
CREATE INDEX timeline_time ON timeline (room_id, origin_server_ts);
CREATE INDEX timeline_thread ON timeline (room_id, thread_root, order_pos, order_sub) WHERE thread_root IS NOT NULL;

-- Where events are missing in a timeline: before (before_pos, next_sub] we lack the wanted events.
CREATE TABLE room_gap (
    room_id text NOT NULL,
    before_pos bigint NOT NULL,
    next_sub integer NOT NULL,
    wanted text[] NOT NULL,
    PRIMARY KEY (room_id, before_pos)
);

-- Forward extremities of a room that has more than one; without a row it is the newest live event.
CREATE TABLE room_fork (
    room_id text PRIMARY KEY,
    event_ids text[] NOT NULL,
    depth bigint NOT NULL
);

-- History of the resolved current state: one row per change.
CREATE TABLE state (
    room_id text NOT NULL,
    type text NOT NULL,
    state_key text NOT NULL,
    event_id text NOT NULL,
    membership text,                                  -- of m.room.member
    from_pos bigint NOT NULL,
    to_pos bigint NOT NULL DEFAULT 9223372036854775807,
    PRIMARY KEY (room_id, type, state_key, from_pos)
);
CREATE INDEX state_alive ON state (room_id, to_pos, from_pos);
CREATE INDEX state_begins ON state (room_id, from_pos);
CREATE INDEX state_member ON state (state_key, room_id) WHERE type = 'm.room.member' AND to_pos = 9223372036854775807;
CREATE INDEX state_membership ON state (room_id, membership)
    WHERE type = 'm.room.member' AND to_pos = 9223372036854775807;

-- Overrides against the resolved state at a position, for the state before events on a fork. event_id NULL: absent.
CREATE TABLE state_delta (
    delta_id bigint NOT NULL,
    type text NOT NULL,
    state_key text NOT NULL,
    event_id text,
    PRIMARY KEY (delta_id, type, state_key)
);

-- Memberships of this server's users: what /sync reads instead of rooms. Profile changes open no row.
CREATE TABLE local_membership (
    user_id text NOT NULL,
    room_id text NOT NULL,
    membership text NOT NULL,
    event_id text NOT NULL,
    sender text NOT NULL,
    stripped_state text,                              -- JSON array, of invites and knocks
    out_of_band boolean NOT NULL DEFAULT false,       -- this server is not in the room
    forgotten boolean NOT NULL DEFAULT false,
    from_pos bigint NOT NULL,
    to_pos bigint NOT NULL DEFAULT 9223372036854775807,
    PRIMARY KEY (user_id, to_pos, room_id, from_pos)
);
CREATE INDEX local_membership_room ON local_membership (room_id, to_pos);
CREATE INDEX local_membership_begins ON local_membership (user_id, from_pos);

-- Servers with at least one joined member, as intervals.
CREATE TABLE room_servers (
    room_id text NOT NULL,
    server text NOT NULL,
    from_pos bigint NOT NULL,
    to_pos bigint NOT NULL DEFAULT 9223372036854775807,
    PRIMARY KEY (room_id, server, from_pos)
);
CREATE INDEX room_servers_server ON room_servers (server, to_pos);

CREATE TABLE relations (
    event_id text PRIMARY KEY,
    room_id text NOT NULL,
    parent_id text NOT NULL,
    rel_type text NOT NULL,
    sender text NOT NULL,
    type text NOT NULL,
    key text,                                         -- of annotations
    order_pos bigint NOT NULL,
    order_sub integer NOT NULL
);
CREATE INDEX relations_parent ON relations (parent_id, rel_type, order_pos, order_sub);

-- Joined local users whom an event mentions (m.mentions).
CREATE TABLE mentions (
    user_id text NOT NULL,
    room_id text NOT NULL,
    order_pos bigint NOT NULL,
    order_sub integer NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (user_id, room_id, order_pos, order_sub)
);
CREATE INDEX mentions_event ON mentions (event_id);

-- Redactions whose target is not here yet.
CREATE TABLE held_redactions (
    target_id text NOT NULL,
    event_id text NOT NULL,
    room_id text NOT NULL,
    PRIMARY KEY (target_id, event_id)
);

CREATE TABLE aliases (
    alias text PRIMARY KEY,
    room_id text NOT NULL,
    creator text NOT NULL,
    pos bigint NOT NULL
);
CREATE INDEX aliases_room ON aliases (room_id);

CREATE TABLE receipts (
    room_id text NOT NULL,
    user_id text NOT NULL,
    receipt_type text NOT NULL,
    thread_id text NOT NULL,                          -- '' unthreaded, 'main', or the thread root's event id
    event_id text NOT NULL,
    order_pos bigint NOT NULL,                        -- of the event, for comparing receipts
    order_sub integer NOT NULL,
    ts bigint NOT NULL,
    pos bigint NOT NULL,
    PRIMARY KEY (room_id, user_id, receipt_type, thread_id)
);
CREATE INDEX receipts_begins ON receipts (room_id, pos);
CREATE INDEX receipts_user ON receipts (user_id, pos);
