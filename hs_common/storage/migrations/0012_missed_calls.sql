-- Calls (the bit of .m.rule.call), for counting the missed ones.
CREATE INDEX timeline_calls ON timeline (room_id, order_pos) WHERE rule_bits & 256 <> 0;
