-- What a service has received, and what is under way to it next: once for each transaction. A function, as a session
-- keeps its plans: planning took longer than all else of it. They are as for a long queue, however short it was then.
CREATE FUNCTION advance_service(
    its_service text, its_term bigint, its_before bigint, its_sent_to bigint, its_devices_before bigint,
    its_devices_sent_to bigint, its_txn_id text, its_txn_to bigint, its_ephemeral text, its_devices_to bigint,
    its_devices text
) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    UPDATE service_cursors
       SET sent_to = its_sent_to, devices_sent_to = its_devices_sent_to, txn_id = its_txn_id, txn_to = its_txn_to,
           ephemeral = its_ephemeral, devices_to = its_devices_to, devices = its_devices, failures = 0,
           last_error = NULL
     WHERE service_id = its_service AND term = its_term;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM service_events WHERE service_id = its_service AND pos > its_before AND pos <= its_sent_to;
    IF its_devices_sent_to > its_devices_before THEN
        WITH told AS (
            DELETE FROM service_to_device
             WHERE service_id = its_service AND pos > its_devices_before AND pos <= its_devices_sent_to
            RETURNING user_id, pos
        )
        DELETE FROM inbox AS i USING told, users AS u
         WHERE i.user_id = told.user_id AND i.pos = told.pos
           AND u.user_id = told.user_id AND u.appservice_id = its_service;
    END IF;
    RETURN true;
END
$$;
