-- Key queries are answered from the device lists of other servers' users. A list's version changes with whatever is
-- written of it, so that an answer that comes late overwrites nothing newer; and a list is worth something only while
-- its user has shared a room with users here without a break since the position at which it was asked for. Of lists
-- that were kept before nobody knows that: they are begun anew.
CREATE SEQUENCE remote_device_list_versions;
ALTER TABLE remote_device_lists
    ADD COLUMN version bigint NOT NULL DEFAULT nextval('remote_device_list_versions'),
    ADD COLUMN since_pos bigint NOT NULL DEFAULT 9223372036854775807;
