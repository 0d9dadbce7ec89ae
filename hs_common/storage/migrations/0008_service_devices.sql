-- What application services are told of devices: messages to those of their users, device lists, key counts.

-- One row for each message call, interested service and addressed user; the messages themselves are in the inbox. The
-- master writes it, the sender deletes what was received, here and in the inbox.
CREATE TABLE service_to_device (
    service_id text NOT NULL,
    pos bigint NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (service_id, pos, user_id)
);

ALTER TABLE service_cursors
    ADD COLUMN devices_sent_to bigint NOT NULL DEFAULT 0,  -- messages to devices and device lists up to here
    ADD COLUMN devices_to bigint,                     -- those of the transaction are in (devices_sent_to, devices_to]
    ADD COLUMN devices text;                          -- its device lists and key counts, JSON object; NULL: none
UPDATE service_cursors SET devices_sent_to = sent_to;
