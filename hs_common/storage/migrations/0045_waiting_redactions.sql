-- Redactions that nobody is shown, as what they redact is not here yet: what is known of them by then.
-- Rows of before are of redactions that were shown at once: they have NULL in all three.

ALTER TABLE held_redactions
    ADD COLUMN by_power boolean,        -- whether its sender may redact everybody's events, not those of his server alone
    ADD COLUMN order_pos bigint,        -- the place that is kept for it among history, if it came with such
    ADD COLUMN order_sub integer;

-- Such a one that came with history: of the state before it no more is known than what readers need.
ALTER TABLE event_state ADD COLUMN is_partial boolean NOT NULL DEFAULT false;
