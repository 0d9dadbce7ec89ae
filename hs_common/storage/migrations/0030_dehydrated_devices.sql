-- Devices that nobody holds: their secrets are kept here, encrypted by the user's clients. Written by workers.
CREATE TABLE dehydrated_devices (
    user_id text PRIMARY KEY,
    device_id text NOT NULL,
    device_data text NOT NULL                         -- JSON
);
