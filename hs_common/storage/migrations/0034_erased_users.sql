-- The few accounts whose owners asked for their content to be erased: whether there are any is asked for each reading.
CREATE INDEX users_erased ON users (user_id, pos) WHERE erased;
