-- What the pages of authentication stages know a session by: the flows that its client was told. NULL: begun before.

ALTER TABLE uia_sessions ADD COLUMN flows text;       -- JSON: arrays of stages
