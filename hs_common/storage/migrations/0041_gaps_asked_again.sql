-- Nobody who was asked knows more of what is missing in a timeline: how often that was so, and when it is worth to ask
-- again, as others may have the same gap, and who has been away comes back.
ALTER TABLE room_gap
    ADD COLUMN in_vain smallint NOT NULL DEFAULT 0,
    ADD COLUMN again_ms bigint NOT NULL DEFAULT 0;

-- What is missing from the timeline behind an event that is in none itself, as it was soft failed or rejected: ids, one
-- space between them. Who builds on it has the gap before him. NULL: written by a version that did not note it.
ALTER TABLE event_state ADD COLUMN absent text;
