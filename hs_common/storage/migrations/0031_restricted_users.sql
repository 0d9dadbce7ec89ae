-- The few accounts that are locked or suspended: a new leader reads them at once.
CREATE INDEX users_restricted ON users (user_id) WHERE locked OR suspended;
