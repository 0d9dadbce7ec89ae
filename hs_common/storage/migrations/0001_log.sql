-- The log, who leads, who lives. The master writes all of it but `members`, where each process writes its own row.

-- One row per commit of the log; followers that missed an entry read it here.
CREATE TABLE outbox (
    pos    bigint PRIMARY KEY,           -- the last position of the commit
    prev   bigint NOT NULL UNIQUE,       -- at most one successor: the log cannot fork, by constraint
    epoch  bigint NOT NULL,
    batch  uuid NOT NULL,                -- answers "did it commit?" after a lost connection
    made   timestamptz NOT NULL DEFAULT clock_timestamp(),
    format smallint NOT NULL,
    body   bytea NOT NULL,
    CHECK (prev < pos)
);
ALTER TABLE outbox ALTER COLUMN body SET STORAGE EXTERNAL;  -- short-lived and already small: compressing costs the writer

-- One row per take-over. A position p is of a lost history exactly if a row has prev < p < first.
CREATE TABLE epochs (
    epoch  bigint PRIMARY KEY,
    prev   bigint NOT NULL,              -- the head that the take-over found
    first  bigint NOT NULL UNIQUE,       -- the first position of the epoch
    holder uuid,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The fence: one row, locked FOR SHARE by each write of the log, FOR UPDATE by a take-over.
CREATE TABLE leader (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch   bigint NOT NULL,
    beat    bigint NOT NULL,             -- counts up while the leader lives; no clocks are compared
    holder  uuid,
    address text,                        -- where workers call it
    format  smallint NOT NULL            -- the gate: the level at which the leader writes entries
) WITH (fillfactor = 50);
INSERT INTO leader (epoch, beat, format) VALUES (0, 0, 1);

-- What was answered to a call that its caller may repeat.
CREATE TABLE answers (
    key    bytea PRIMARY KEY,
    pos    bigint NOT NULL,
    answer bytea NOT NULL,
    kind   smallint NOT NULL,            -- 0: a worker's call; 1: a client's or server's transaction
    made   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX answers_to_prune ON answers (kind, made);

-- Items that the tables refused, or that killed a master: for the operator.
CREATE TABLE refused_items (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      bytea NOT NULL,
    sqlstate text NOT NULL,
    message  text NOT NULL,
    item     bytea NOT NULL,
    made     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row per process.
CREATE TABLE members (
    id            uuid PRIMARY KEY,
    roles         text[] NOT NULL,
    version       text NOT NULL,
    oldest_format smallint NOT NULL,
    newest_format smallint NOT NULL,
    address       text NOT NULL,
    http_port     integer,
    lag_ms        bigint NOT NULL DEFAULT 0,
    beat          bigint NOT NULL DEFAULT 0,
    started       timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen          timestamptz NOT NULL DEFAULT clock_timestamp()   -- for people and for sweeping; never a lease
) WITH (fillfactor = 50);

-- The first statement of each write of the log. VF001: fenced. It locks, so a take-over waits for the writes it must see.
CREATE FUNCTION append_to_log(
    its_epoch bigint, its_pos bigint, its_prev bigint, its_batch uuid, its_format smallint, its_body bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM leader WHERE epoch = its_epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fenced: epoch % is not the leader''s any more', its_epoch USING ERRCODE = 'VF001';
    END IF;
    INSERT INTO outbox (pos, prev, epoch, batch, format, body)
    VALUES (its_pos, its_prev, its_epoch, its_batch, its_format, its_body);
END
$$;
