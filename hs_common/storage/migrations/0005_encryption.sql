-- End-to-end encryption: public keys, signatures, messages to devices, backups. The first group is written by the
-- master; of the inbox, workers delete what was received. The second group is written by workers and cached by nobody;
-- the master only ends in it what belongs to devices that end, by statements that wait for no other.

-- Identity keys of devices, as uploaded but for the signatures, which stand beside them.
CREATE TABLE device_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    keys text NOT NULL,                               -- JSON object without `signatures` and `unsigned`
    signatures text NOT NULL,                         -- JSON object: the device's own
    pos bigint NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

CREATE TABLE cross_signing_keys (
    user_id text NOT NULL,
    usage text NOT NULL,                              -- master, self_signing or user_signing
    public_key text NOT NULL,                         -- unpadded base64: also its name in key ids
    keys text NOT NULL,                               -- JSON object without `signatures` and `unsigned`
    signatures text NOT NULL,                         -- JSON object: those uploaded with it
    pos bigint NOT NULL,
    PRIMARY KEY (user_id, usage)
);

-- Signatures that were added to keys later. A target is a device id or the public key of a master key.
CREATE TABLE key_signatures (
    user_id text NOT NULL,
    target text NOT NULL,
    signer_id text NOT NULL,
    key_id text NOT NULL,                             -- of the signing key, with its algorithm
    signature text NOT NULL,
    pos bigint NOT NULL,
    PRIMARY KEY (user_id, target, signer_id, key_id)
);
CREATE INDEX key_signatures_signer ON key_signatures (signer_id, key_id);

-- When keys last changed for one user alone: by signatures or a key that only he can see.
CREATE TABLE private_key_changes (
    reader_id text NOT NULL,
    user_id text NOT NULL,
    pos bigint NOT NULL,
    PRIMARY KEY (reader_id, user_id)
) WITH (fillfactor = 70);

-- Messages to devices that wait to be fetched. seq counts each device's messages without holes, so that the number of
-- those that wait is known without counting them.
CREATE TABLE inbox (
    user_id text NOT NULL,
    device_id text NOT NULL,
    pos bigint NOT NULL,
    seq bigint NOT NULL,
    message text NOT NULL,                            -- JSON: type, sender, content
    PRIMARY KEY (user_id, device_id, pos)
);

-- Written by workers.

-- Each key is given out once, in the order of upload. Its row stays for a while, or a client that repeats an upload would
-- bring the key back.
CREATE TABLE one_time_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    key text NOT NULL,                                -- JSON
    claimed timestamptz,                              -- NULL: it waits
    PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE INDEX one_time_keys_waiting ON one_time_keys (user_id, device_id, algorithm, seq) WHERE claimed IS NULL;

CREATE TABLE fallback_keys (
    user_id text NOT NULL,
    device_id text NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    key text NOT NULL,                                -- JSON
    used boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, device_id, algorithm)
) WITH (fillfactor = 70);

-- Versions are never used twice, so deleted ones keep their row.
CREATE TABLE key_backups (
    user_id text NOT NULL,
    version bigint NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,                          -- JSON object
    etag bigint NOT NULL DEFAULT 0,                   -- counts the changes of its keys
    count bigint NOT NULL DEFAULT 0,                  -- of its keys
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, version)
) WITH (fillfactor = 70);

CREATE TABLE backed_up_keys (
    user_id text NOT NULL,
    version bigint NOT NULL,
    room_id text NOT NULL,
    session_id text NOT NULL,
    first_message_index bigint NOT NULL,
    forwarded_count bigint NOT NULL,
    is_verified boolean NOT NULL,
    session_data text NOT NULL,                       -- JSON object
    PRIMARY KEY (user_id, version, room_id, session_id)
);
